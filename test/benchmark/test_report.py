from copy import deepcopy
from html.parser import HTMLParser
import importlib.util
from pathlib import Path
import sys

import cv2
import numpy as np
import pytest

from mtl_perception.benchmark import bars, figure
from mtl_perception.benchmark.report import FIGURE, PAGE, report_page, write_report
from mtl_perception.errors import DataError, StartError

_EXAMPLE = importlib.util.spec_from_file_location(
    'example_result', Path(__file__).with_name('example_result.py'))
_MODULE = importlib.util.module_from_spec(_EXAMPLE)
_EXAMPLE.loader.exec_module(_MODULE)

drawn = pytest.mark.skipif(importlib.util.find_spec('matplotlib') is None,
                           reason='needs matplotlib')


@pytest.fixture
def result():
    return _MODULE.example_result()


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.titles, self.links, self.tags, self._in_title = [], [], [], False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self._in_title = tag == 'h2'
        self.links += [value for name, value in attributes if name in ('src', 'href')]

    def handle_data(self, data):
        if self._in_title:
            self.titles.append(data)
            self._in_title = False


def test_headline_is_supported_by_interval(result):
    ratios = result['ratios']
    assert figure.headline(result) == 'One network instead of two: 1.57× faster'
    ratios['single_sequential_over_multitask'] = {'median': 2.0, 'low': 1.1, 'high': 3.0}
    assert figure.headline(result).endswith('2.00× faster (1.10 to 3.00)')
    ratios['single_sequential_over_multitask'] = {'median': 2.0, 'low': 0.9, 'high': 3.0}
    assert 'faster' not in figure.headline(result)
    ratios['single_sequential_over_multitask'] = None
    assert 'faster' not in figure.headline(result)
    result['ratios'] = {}
    assert 'faster' not in figure.headline(result)


@pytest.mark.slow
@drawn
def test_ratios_are_paired_by_round_if_available(result):
    from matplotlib.figure import Figure
    result['ratios_by_runtime']['torch fp32']['single_sequential_over_multitask']['median'] = 1.9
    result['subjects'][-1]['over_multitask'] = {'median': 18.5, 'low': 18, 'high': 19}
    axes = Figure().subplots(2)
    figure.draw_times(axes[0], result)
    figure.draw_peers(axes[1], result)
    texts = [text.get_text().strip() for text in (*axes[0].texts, *axes[1].texts)]
    assert texts.count('1.90×') == 1 and texts.count('18.5×') == 1


def test_peers_follow_fastest_runtime(result):
    rows = figure.peer_rows(result)
    assert [item['milliseconds']['median'] for item in rows] == [36.0, 52.0, 620.0]
    assert rows[0]['what'] == 'multitask'
    result['subjects'] = [item for item in result['subjects'] if 'peers' not in item['what']]
    assert figure.peer_rows(result) == []


@pytest.mark.slow
@drawn
def test_page_and_figure_are_written(result, tmp_path):
    folder = tmp_path / 'new' / 'report'
    assert write_report(result, folder) == [folder / PAGE, folder / FIGURE]
    image = cv2.imread(str(folder / FIGURE))
    assert image.shape == (1080, 1920, 3)
    # Bars of all three kinds, in their colours.
    for color in (bars.MULTITASK, bars.SEQUENTIAL, bars.PARALLEL, bars.OTHER):
        bgr = [int(color[index:index + 2], 16) for index in (5, 3, 1)]
        assert (np.abs(image.astype(int) - bgr).max(axis=2) <= 2).sum() > 1000
    page = Page((folder / PAGE).read_text('utf-8'))
    assert page.titles == ['Time', 'Memory', 'Memory limit', 'Parts', 'Public pairs', 'Scaling',
                           'Ratios', 'All measurements', 'How it was measured']
    assert page.links and all(link.startswith('data:') for link in page.links)
    assert 'script' not in page.tags


@drawn
def test_bar_length_follows_time(result):
    from matplotlib.figure import Figure
    axes = Figure().add_subplot()
    figure.draw_times(axes, result)
    widths = [bar.get_width() for bar in axes.patches]
    assert widths == [item['milliseconds']['median']
                      for _, items in figure.time_rows(result) for item in items]
    texts = [text.get_text().strip() for text in axes.texts]
    assert texts.count('1.57×') == texts.count('1.66×') == 4
    assert '63.0 ms' in texts


@pytest.mark.slow
@drawn
def test_unmeasured_parts_are_omitted_with_note(result):
    bare = deepcopy(result)
    bare.update(parts=None, memory_limit=None, sweep=None, interrupted=True, bare_loop={},
                warnings=['the machine was busy'])
    bare['subjects'] = [item for item in bare['subjects'] if 'peers' not in item['what']]
    text = report_page(bare)
    assert Page(text).titles == ['Time', 'Memory', 'Ratios', 'All measurements',
                                 'How it was measured']
    for line in ('was interrupted', 'the machine was busy', 'no public pairs', 'no scaling',
                 'no smallest memory limit', 'no time per part'):
        assert line in text
    assert figure.overview_png(bare).startswith(b'\x89PNG')
    bare.update(subjects=[], ratios={}, ratios_by_runtime={})
    assert 'no time of one network compared with two' in report_page(bare)
    assert figure.overview_png(bare).startswith(b'\x89PNG')


@pytest.mark.slow
@drawn
def test_hostile_names_are_escaped(result):
    bad = '<script>$\\frac{x$ &amp;'
    result['model']['file'] = result['model']['backbone'] = bad
    for item in result['subjects']:
        item['name'] = bad
    result['machine']['cpu'] = bad
    result['warnings'] = [bad]
    text = report_page(result)
    assert '<script' not in text and '&lt;script&gt;' in text
    assert figure.overview_png(result).startswith(b'\x89PNG')


@pytest.mark.slow
@drawn
def test_page_is_deterministic(result):
    assert report_page(result) == report_page(deepcopy(result))


@pytest.mark.slow
@drawn
def test_invalid_output_folder_is_reported(result, tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(DataError, match='file: cannot be created: File exists'):
        write_report(result, tmp_path / 'file')


def test_missing_matplotlib_is_reported(result, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'matplotlib', None)
    monkeypatch.setitem(sys.modules, 'matplotlib.figure', None)
    with pytest.raises(StartError, match=r'matplotlib.* is not installed'):
        write_report(result, tmp_path)
    assert not list(tmp_path.iterdir())
