"""config/voc.yaml on a small tree in the layout of VOCdevkit, and some steps of training on it."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from mtl_perception.data.manifest import load_manifest
from mtl_perception.data.readers import open_set
from mtl_perception.data.set_spec import Manifest
from mtl_perception.main import main

CONFIG = Path(__file__).parents[2] / 'config' / 'voc.yaml'
WIDTH, HEIGHT = 60, 40

LISTS = {'VOC2007': {'Main/trainval': ['000001', '000002'], 'Main/test': ['000003']},
         'VOC2012': {'Main/trainval': ['2008_000001', '2008_000002', '2008_000003'],
                     'Segmentation/train': ['2008_000001', '2008_000002'],
                     'Segmentation/val': ['2008_000003']}}


def palette() -> list[int]:
    """Return VOC's colours: the bits of an index, three at a time, from the top bit down."""
    colors = []
    for index in range(256):
        color = [0, 0, 0]
        for bit in range(8):
            for channel in range(3):
                color[channel] |= (index >> (3 * bit + channel) & 1) << (7 - bit)
        colors += color
    return colors


def write_image(year: Path, stem: str, masked: bool) -> None:
    """Write an image of a red car and a difficult dog, with its annotations."""
    pillow = pytest.importorskip('PIL.Image')
    image = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    image[10:20, 5:25] = 0, 0, 220
    cv2.imwrite(str(year / 'JPEGImages' / f'{stem}.jpg'), image)
    (year / 'Annotations' / f'{stem}.xml').write_text(f"""<annotation>
	<folder>{year.name}</folder>
	<filename>{stem}.jpg</filename>
	<size><width>{WIDTH}</width><height>{HEIGHT}</height><depth>3</depth></size>
	<segmented>{masked:d}</segmented>
	<object>
		<name>car</name><pose>Left</pose><truncated>0</truncated><difficult>0</difficult>
		<bndbox><xmin>6</xmin><ymin>11</ymin><xmax>25</xmax><ymax>20</ymax></bndbox>
		<part><name>wheel</name>
			<bndbox><xmin>7</xmin><ymin>17</ymin><xmax>9</xmax><ymax>20</ymax></bndbox></part>
	</object>
	<object>
		<name>dog</name><pose>Unspecified</pose><truncated>0</truncated><difficult>1</difficult>
		<bndbox><xmin>40</xmin><ymin>20</ymin><xmax>60</xmax><ymax>40</ymax></bndbox>
	</object>
</annotation>
""")
    if masked:
        mask = np.zeros((HEIGHT, WIDTH), np.uint8)
        mask[9:21, 4:26] = 255
        mask[10:20, 5:25] = 7
        mask[22:, 42:] = 12
        drawn = pillow.fromarray(mask, 'P')
        drawn.putpalette(palette())
        drawn.save(year / 'SegmentationClass' / f'{stem}.png')


@pytest.fixture(scope='module')
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp('voc')
    for name, lists in LISTS.items():
        year = top / 'VOCdevkit' / name
        for folder in ('JPEGImages', 'Annotations', 'SegmentationClass', 'ImageSets/Main',
                       'ImageSets/Segmentation'):
            (year / folder).mkdir(parents=True)
        masked = {stem for key, stems in lists.items() if 'Segm' in key for stem in stems}
        for key, stems in lists.items():
            (year / 'ImageSets' / f'{key}.txt').write_text(''.join(f'{s}\n' for s in stems))
            for stem in stems:
                write_image(year, stem, stem in masked)
    return top


@pytest.fixture
def manifest(root: Path) -> Manifest:
    return load_manifest(CONFIG, root)


def test_splits_of_both_years(manifest: Manifest) -> None:
    found = {spec.name: {split: list(open_set(spec, manifest).stems(split))
                         for split in spec.splits} for spec in manifest.sets}
    assert found == {
        'voc2007': {'train': ['000001', '000002'], 'val': ['000003']},
        # The image that segmentation is scored on is not used to train detection.
        'voc2012': {'train': ['2008_000001', '2008_000002']},
        'voc2012_segmentation': {'train': ['2008_000001', '2008_000002'],
                                 'val': ['2008_000003']}}


def test_boxes_count_from_one_and_difficult_ones_are_ignored(manifest: Manifest) -> None:
    sample = open_set(manifest.set_named('voc2007'), manifest).read('val', 0)
    assert sample.boxes is not None and manifest.detection is not None
    assert sample.boxes.boxes.tolist() == [[5, 10, 25, 20]]
    assert [manifest.detection.names[c] for c in sample.boxes.classes] == ['car']
    assert sample.boxes.ignore.tolist() == [[39, 19, 60, 40]]
    assert sample.mask is None


def test_masks_have_the_palettes_indices(manifest: Manifest) -> None:
    spec = manifest.set_named('voc2012_segmentation')
    sample = open_set(spec, manifest).read('val', 0)
    assert sample.mask is not None and spec.masks is not None and sample.boxes is None
    assert np.unique(sample.mask).tolist() == [0, 7, 12, 255]
    assert (sample.mask[10:20, 5:25] == spec.masks.names.index('car')).all()
    assert (sample.mask[22:, 42:] == spec.masks.names.index('dog')).all()


def test_colors_are_those_of_vocs_masks(manifest: Manifest) -> None:
    assert manifest.segmentation is not None
    assert [c for color in manifest.segmentation.colors for c in color] == palette()[:63]


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_trains_on_both_tasks(root: Path, tmp_path: Path) -> None:
    pytest.importorskip('torch')
    assert main(['train', '--config', str(CONFIG), '--data', str(root), '--output',
                 str(tmp_path / 'run'), '--input-size', '64x64', '--crop-size', '64',
                 '--detection-images', '2', '--segmentation-images', '2', '--steps', '3',
                 '--warmup-steps', '1', '--workers', '0', '--device', 'cpu']) == 0
    rows = (tmp_path / 'run' / 'log.csv').read_text().splitlines()
    assert len(rows) == 4
    assert (tmp_path / 'run' / 'model.pt').is_file()
