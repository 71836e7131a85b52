"""
Figures of a benchmark, drawn with matplotlib.

All use the values of the benchmark's JSON file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
import io
from typing import Any, TYPE_CHECKING

from mtl_perception.benchmark.bars import (
    BAR,
    bar,
    finish_bars,
    grouped_bars,
    INK,
    KINDS,
    label_bar,
    MULTITASK,
    OTHER,
    remove_legend,
    SOFT,
    Values,
    WARNING,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PART_COLORS = ('#0072B2', '#56B4E9', '#009E73', '#F0E442', '#E69F00', '#D55E00', '#CC79A7',
               '#8C8C8C', '#C9C9C9')

AXES = {'input_size': 'side of the input, pixels', 'batch': 'images in a batch',
        'threads': 'threads', 'classes': 'classes to detect'}
"""Axis of the sweep -> its title."""

_STYLE = {
    'font.family': 'sans-serif', 'font.size': 13, 'text.color': INK, 'axes.labelcolor': SOFT,
    'axes.edgecolor': '#D0D7DE', 'axes.spines.top': False, 'axes.spines.right': False,
    'axes.titlesize': 15, 'axes.titleweight': 'bold', 'axes.titlelocation': 'left',
    'axes.titlepad': 14, 'xtick.color': SOFT, 'ytick.color': INK, 'figure.facecolor': 'white',
    # Dollar signs in names are no formulas.
    'text.parse_math': False, 'svg.fonttype': 'none', 'svg.hashsalt': 'mtl_perception'}

_RATIOS = {'sequential': 'single_sequential_over_multitask',
           'parallel': 'single_parallel_over_multitask'}

_SURE = 0.1
"""Relative width of a ratio's interval above which the headline includes it."""

Draw = Callable[['Axes', Values], None]


def overview_png(result: Values) -> bytes:
    """Return a figure of 16:9 with the main figures of a benchmark: PNG, 1920x1080."""
    panels = [(draw, height) for draw, height in (
        (draw_memory, _rows(memory_rows(result))), (draw_peers, _rows(peer_rows(result))),
        (draw_limits, _rows(limit_rows(result)))) if height]
    import matplotlib
    from matplotlib.figure import Figure
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(16, 9), dpi=120)
        figure.text(0.025, 0.925, headline(result), fontsize=27, fontweight='bold')
        figure.text(0.025, 0.88, subtitle(result), fontsize=15, color=SOFT)
        figure.text(0.025, 0.032, footnote(result), fontsize=11.5, color=SOFT)
        if result.get('warnings'):
            figure.text(0.025, 0.008, _shortened(f'Warning: {result["warnings"][0]}', 150),
                        fontsize=11.5, color=WARNING, fontweight='bold')
        left = figure.add_gridspec(1, 1, left=0.09, right=0.45 if panels else 0.97, top=0.8,
                                   bottom=0.13)
        axes = figure.add_subplot(left[0, 0])
        draw_times(axes, result)
        handles, names = axes.get_legend_handles_labels()
        remove_legend(axes)
        figure.legend(handles, names, loc='lower left', bbox_to_anchor=(0.018, 0.058), ncols=3,
                      frameon=False, fontsize=14, handlelength=1, handletextpad=0.5)
        if panels:
            right = figure.add_gridspec(
                len(panels), 1, left=0.66, right=0.985, top=0.8, bottom=0.13, hspace=0.42,
                height_ratios=[height + 1.5 for _, height in panels])
            for index, (draw, _) in enumerate(panels):
                draw(figure.add_subplot(right[index, 0]), result)
        return _bytes(figure, 'png')


def panel_svg(draw: Draw, result: Values, rows: int) -> str:
    """Return one panel as SVG; `rows` is the number of its bars."""
    return _svg((11, 1.25 + 0.42 * rows), 1,
                lambda figure: draw(figure.add_subplot(), result))


def sweep_svg(result: Values) -> str:
    """Return the plots of time over each axis of the sweep as SVG."""
    names = [name for name in AXES if any(item['axis'] == name for item in result['sweep'])]

    def draw(figure: Figure) -> None:
        for index, name in enumerate(names):
            draw_sweep(figure.add_subplot(-(-len(names) // 2), 2, index + 1), result, name)

    return _svg((11, 3.9 * -(-len(names) // 2)), len(names), draw)


def headline(result: Values) -> str:
    """Return the result in one line, with the interval if it is wide."""
    ratio = (result.get('ratios') or {}).get('single_sequential_over_multitask')
    if not ratio or ratio['low'] <= 1:
        return 'Time per frame: one network and two'
    text = f'One network instead of two: {ratio["median"]:.2f}× faster'
    if ratio['high'] - ratio['low'] > _SURE * ratio['median']:
        text += f' ({ratio["low"]:.2f} to {ratio["high"]:.2f})'
    return text


def subtitle(result: Values) -> str:
    """Return the measured configuration in one line."""
    model, frames = result['model'], result['frames']
    name = '-'.join(filter(None, (model.get('architecture'), model.get('backbone'))))
    cpu = (result.get('machine') or {}).get('cpu')
    return ', '.join(filter(None, (
        name, f'{_size(model["input_size"])} input', f'{_size(frames["size"])} frames', cpu)))


def footnote(result: Values) -> str:
    """Return the method, and whether results are incomplete, in one line."""
    text = (f'From decoded frame to boxes and label map. Median of {result["rounds"]} interleaved '
            'rounds; error bars: 95 % bootstrap interval over rounds.')
    if result.get('interrupted'):
        text += ' Interrupted: results are incomplete.'
    return text


def time_rows(result: Values) -> list[tuple[str, list[Values]]]:
    """Return the subjects of each target: one network and the two that it replaces."""
    groups: dict[str, list[Values]] = {}
    for subject in result['subjects']:
        if subject['what'] in KINDS:
            groups.setdefault(subject['target'], []).append(subject)
    order = list(KINDS)
    return [(name, sorted(items, key=lambda item: order.index(item['what'])))
            for name, items in groups.items()]


def memory_rows(result: Values) -> list[tuple[str, list[Values]]]:
    """Return the `time_rows` with known peak memory."""
    rows = [(name, [item for item in items if item.get('peak_bytes')])
            for name, items in time_rows(result)]
    return [(name, items) for name, items in rows if items]


def peer_rows(result: Values) -> list[Values]:
    """Return the pairs of peers, fastest first, and our fastest; empty without peers."""
    peers = [item for item in result['subjects'] if item['what'].startswith('peers')]
    ours = [item for item in result['subjects'] if item['what'] == 'multitask']
    if not peers:
        return []
    return sorted(ours, key=_median)[:1] + sorted(peers, key=_median)


def limit_rows(result: Values) -> list[tuple[str, Values]]:
    """Return the smallest memory limits of each target; empty if none were found."""
    limits = (result.get('memory_limit') or {}).get('runtimes') or {}
    return [(name, values) for name, values in limits.items() if values.get('multitask_mib')]


def part_rows(result: Values) -> dict[str, list[tuple[str, float]]]:
    """Return the parts of the network with their milliseconds for each target."""
    groups: dict[str, list[tuple[str, float]]] = {}
    for item in result.get('parts') or []:
        groups.setdefault(item['target'], []).append((item['part'], item['milliseconds']))
    return groups


def draw_times(axes: Axes, result: Values) -> None:
    """Draw a bar for the time of each subject, its interval and its ratio to one network."""
    grouped_bars(axes, time_rows(result), _median, lambda value: f'{value:.0f} ms' if value >= 100
             else f'{value:.1f} ms', lambda item: (item['milliseconds']['low'],
                                                   item['milliseconds']['high']),
             lambda item: _paired(result, item))
    axes.set_title('Time per frame, milliseconds')


def draw_memory(axes: Axes, result: Values) -> None:
    """Draw a bar for the peak resident memory of each subject."""
    grouped_bars(axes, memory_rows(result), lambda item: item['peak_bytes'] / 2**20,
             lambda value: f'{value:.0f} MiB')
    axes.set_title('Peak memory of fresh processes, MiB')
    remove_legend(axes)


def draw_limits(axes: Axes, result: Values) -> None:
    """Draw a bar for the smallest memory limit under which each subject runs."""
    keys = {'multitask_mib': 'multitask', 'one_process_mib': 'sequential',
            'two_processes_mib': 'parallel'}
    grouped_bars(axes, [(name, [{'what': what, 'mib': values[key]} for key, what in keys.items()
                            if values.get(key)]) for name, values in limit_rows(result)],
             lambda item: item['mib'], lambda value: f'{value:.0f} MiB')
    axes.set_title('Smallest memory limit, MiB')
    remove_legend(axes)


def draw_peers(axes: Axes, result: Values) -> None:
    """Draw a bar for each pair of peers, and its ratio to our fastest."""
    rows = peer_rows(result)
    ours = next((_median(item) for item in rows if item['what'] == 'multitask'), None)
    for index, item in enumerate(rows):
        is_ours = item['what'] == 'multitask'
        bar(axes, index, _median(item), MULTITASK if is_ours else OTHER,
             (item['milliseconds']['low'], item['milliseconds']['high']))
        over = item.get('over_multitask')
        value = over['median'] if over else _median(item) / ours if ours else None
        ratio = '' if is_ours or value is None else f'   {value:.1f}×'
        label_bar(axes, index, max(_median(item), item['milliseconds']['high']),
               f'{_median(item):.0f} ms', ratio)
    finish_bars(axes, range(len(rows)), [item['name'] for item in rows], len(rows))
    axes.tick_params(axis='y', labelsize=10.5)
    axes.set_title('Public pairs, milliseconds per frame')


def draw_parts(axes: Axes, result: Values) -> None:
    """Draw the time of each part of the network, stacked, one bar for each target."""
    groups = part_rows(result)
    names = list(dict.fromkeys(name for rows in groups.values() for name, _ in rows))
    colors = {name: PART_COLORS[index % len(PART_COLORS)] for index, name in enumerate(names)}
    longest = max((sum(value for _, value in rows) for rows in groups.values()), default=1) or 1
    for index, rows in enumerate(groups.values()):
        left = 0.0
        for name, value in rows:
            axes.barh(index, value, left=left, height=BAR, color=colors[name],
                      edgecolor='white', label=name if index == 0 else None)
            if value > 0.05 * longest:
                dark = colors[name] in ('#F0E442', '#56B4E9', '#C9C9C9', '#E69F00')
                axes.text(left + value / 2, index, f'{value:.1f}', ha='center', va='center',
                          color=INK if dark else 'white', fontsize=11)
            left += value
        label_bar(axes, index, left, f'{left:.1f} ms', '')
    finish_bars(axes, range(len(groups)), list(groups), len(groups))
    axes.set_xlim(0, 1.14 * longest)
    axes.legend(frameon=False, ncols=min(len(names), 6), loc='upper left',
                bbox_to_anchor=(-0.01, -0.02), fontsize=11, handlelength=1, columnspacing=1.2)
    axes.set_title('Time of each part of the network, milliseconds')


def draw_sweep(axes: Axes, result: Values, axis: str) -> None:
    """Draw time over one axis of the sweep, a line for each runtime; and the machine's limit."""
    rows = [item for item in result['sweep'] if item['axis'] == axis]
    names = list(dict.fromkeys(item['target'] for item in rows))
    for index, name in enumerate(names):
        points = sorted((item['value'], item['milliseconds']['median'],
                         item['milliseconds']['low'], item['milliseconds']['high'])
                        for item in rows if item['target'] == name)
        x, y, low, high = zip(*points, strict=True)
        color = PART_COLORS[(0, 5, 2, 4, 6)[index % 5]]
        axes.fill_between(x, low, high, color=color, alpha=0.2, linewidth=0)
        axes.plot(x, y, color=color, marker='o', markersize=5, linewidth=2)
        axes.annotate(name, (x[-1], y[-1]), (6, 0), textcoords='offset points', va='center',
                      color=color, fontsize=11)
    least = sorted({(item['value'], item['least_milliseconds']) for item in rows
                    if item.get('least_milliseconds')})
    if least:
        x, y = zip(*least, strict=True)
        axes.plot(x, y, color=SOFT, linewidth=1.5, linestyle=(0, (4, 3)))
        axes.annotate('FP32 arithmetic alone', (x[-1], y[-1]), (6, 0), color=SOFT, va='center',
                      textcoords='offset points', fontsize=11)
    axes.set_ylim(bottom=0)
    values = sorted({item['value'] for item in rows})
    if axis == 'classes':
        axes.set_xscale('log', base=2)
        axes.minorticks_off()
        reach = values[-1] * (values[-1] / values[0]) ** 0.42
    else:
        reach = values[-1] + 0.42 * (values[-1] - values[0])
    axes.set_xticks(values, [str(value) for value in values])
    # If they would overlap, those in between have no number.
    if len(values) > 5:
        axes.set_xticks(values, [str(value) if index in (0, len(values) - 1) or index % 2 == 0
                                 else '' for index, value in enumerate(values)])
    axes.grid(axis='y', color='#EAEEF2')
    axes.set_axisbelow(True)
    axes.margins(x=0.02)
    axes.set_xlim(right=reach + (reach == values[0]))
    axes.set_xlabel(AXES[axis])
    axes.set_title('ms' + (' per batch' if axis == 'batch' else ' per frame'), fontsize=12)


def _rows(rows: Sequence[Any]) -> int:
    """Return the number of bars of a panel."""
    return sum(len(row[1]) if isinstance(row, tuple) and isinstance(row[1], list)
               else 3 if isinstance(row, tuple) else 1 for row in rows)


def _paired(result: Values, item: Values) -> float | None:
    """Return the ratio of a subject to one network within rounds; None: unknown."""
    ratios = (result.get('ratios_by_runtime') or {}).get(item['target']) or {}
    found = ratios.get(_RATIOS.get(item['what'], ''))
    return found['median'] if found else None


def _shortened(text: str, length: int) -> str:
    return text if len(text) <= length else text[:length - 1] + '…'


def _median(item: Values) -> float:
    return float(item['milliseconds']['median'])


def _size(size: Sequence[int]) -> str:
    return '×'.join(map(str, size))


def _svg(inches: tuple[float, float], panels: int, draw: Callable[[Figure], None]) -> str:
    import matplotlib
    from matplotlib.figure import Figure
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=inches, layout='constrained')
        if panels > 1:
            figure.set_layout_engine('constrained', wspace=0.06, hspace=0.08)
        draw(figure)
        text = _bytes(figure, 'svg').decode()
    # Without the XML declaration it can be embedded in a page.
    return text[text.index('<svg'):]


def _bytes(figure: Figure, kind: str) -> bytes:
    buffer = io.BytesIO()
    # No date, so that equal values give equal files.
    figure.savefig(buffer, format=kind, metadata={'Date': None} if kind == 'svg' else None)
    return buffer.getvalue()
