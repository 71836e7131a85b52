"""Real layouts of public data sets, in small: what each reader makes of them."""

from collections.abc import Callable
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from mtl_perception.data.crops import CroppedSet
from mtl_perception.data.manifest import load_manifest
from mtl_perception.data.readers import DataSet, open_set
from mtl_perception.data.set_spec import Crops

Opener = Callable[..., DataSet]
CONFIG = Path(__file__).parents[3] / 'config' / 'public_aerial.yaml'
BOXES = {'classes': {'car': 'car', 'bus': 'bus'}, 'complete': ['car', 'bus']}
MASKS = {'tarmac': 'road', 'green': 'grass', 'roof': 'house'}
W, H = 40, 30


def write_image(path: Path, value: int = 50, size: tuple[int, int] = (W, H)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((size[1], size[0], 3), value, np.uint8))


def test_visdrone(tmp_path: Path, open_tree: Opener) -> None:
    for split in ('train', 'val'):
        folder = tmp_path / 'set' / f'VisDrone2019-DET-{split}'
        write_image(folder / 'images' / f'{split}_a.jpg')
        (folder / 'annotations').mkdir()
        (folder / 'annotations' / f'{split}_a.txt').write_text(
            '1,2,10,20,1,4,0,0\n3,4,5,6,1,9,0,1,\n0,0,8,8,0,0,0,0\n9,9,4,4,0,5,0,0\n')
    data = open_tree(reader='visdrone', boxes=BOXES)
    assert list(data.stems('val')) == ['VisDrone2019-DET-val/images/val_a']
    sample = data.read('val', 0)
    assert sample.boxes is not None
    assert sample.boxes.boxes.tolist() == [[1, 2, 11, 22], [3, 4, 8, 10]]
    assert sample.boxes.classes.tolist() == [0, 1]
    # An ignored region, and a van with the score 0, which needs no mapping.
    assert sample.boxes.ignore.tolist() == [[0, 0, 8, 8], [9, 9, 13, 13]]


def test_uavdt(tmp_path: Path, open_tree: Opener) -> None:
    root = tmp_path / 'set'
    for number in range(1, 6):
        write_image(root / 'UAV-benchmark-M' / 'M0101' / f'img{number:06}.jpg', number)
    labels = root / 'UAV-benchmark-MOTD_v1.0' / 'GT'
    labels.mkdir(parents=True)
    (labels / 'M0101_gt_whole.txt').write_text('1,1,2,3,10,8,1,1,1\n3,1,4,3,10,8,1,1,3\n')
    (labels / 'M0101_gt_ignore.txt').write_text('3,1,20,10,5,5,1,-1,-1\n')
    (root / 'M_attr' / 'train').mkdir(parents=True)
    (root / 'M_attr' / 'train' / 'M0101_attr.txt').write_text('1,0,0\n')
    data = open_tree(reader='uavdt', boxes=BOXES, options={'every': 2})
    assert list(data.stems('train')) == [f'M0101/img{number:06}' for number in (1, 3, 5)]
    boxes = [data.read('train', index).boxes for index in range(3)]
    assert [b.boxes.tolist() for b in boxes if b] == [[[2, 3, 12, 11]], [[4, 3, 14, 11]], []]
    assert [b.classes.tolist() for b in boxes if b] == [[0], [1], []]
    assert boxes[1] is not None and boxes[1].ignore.tolist() == [[20, 10, 25, 15]]


def test_dota_boxes_become_upright_and_end_at_the_edge(tmp_path: Path, open_tree: Opener) -> None:
    root = tmp_path / 'set' / 'train'
    write_image(root / 'images' / 'P1.png')
    (root / 'labelTxt').mkdir()
    (root / 'labelTxt' / 'P1.txt').write_text(
        'imagesource:GoogleEarth\ngsd:0.146\n10 5 15 10 10 15 5 10 car 0\n'
        '-9 1 4 1 4 6 -9 6 bus 1\n')
    sample = open_tree(reader='dota', boxes=BOXES).read('train', 0)
    assert sample.boxes is not None
    assert sample.boxes.boxes.tolist() == [[5, 5, 15, 15]]
    assert sample.boxes.ignore.tolist() == [[0, 1, 4, 6]]


def test_coco_masks_of_all_kinds_agree_with_its_own_tools(
        tree: Path, open_tree: Opener) -> None:
    from pycocotools import mask as coco
    polygon = [4.0, 3.0, 30.0, 5.5, 21.0, 25.0, 3.5, 20.0]
    whole = np.zeros((H, W), np.uint8, order='F')
    whole[5:25, 10:33] = 1
    small = np.zeros((H, W), np.uint8, order='F')
    small[7:9, 12:15] = small[0, 0] = 1
    packed = coco.encode(whole)
    edges = np.flatnonzero(np.diff(np.concatenate(([0], small.ravel('F'), [2]))))
    runs = np.diff(np.concatenate(([0], edges))).tolist()
    size = [H, W]
    (tree / 'train.json').write_text(json.dumps({
        'images': [{'id': 1, 'file_name': 'a.png', 'width': W, 'height': H}],
        'categories': [{'id': k, 'name': name} for k, name in enumerate(MASKS)],
        'annotations': [
            {'id': 1, 'image_id': 1, 'category_id': 2,
             'segmentation': {'size': size, 'counts': runs}},
            {'id': 2, 'image_id': 1, 'category_id': 1, 'segmentation': [polygon]},
            {'id': 3, 'image_id': 1, 'category_id': 0,
             'segmentation': {'size': size, 'counts': packed['counts'].decode()}}]}))
    filled = coco.decode(coco.merge(coco.frPyObjects([polygon], H, W))).astype(bool)
    layers = sorted(((filled, 1), (whole.astype(bool), 0), (small.astype(bool), 2)),
                    key=lambda layer: -layer[0].sum())
    for background, rest in (('', 255), ('green', 1)):
        expected = np.full((H, W), rest)
        for pixels, label in layers:
            expected[pixels] = label
        sample = open_tree(reader='coco', masks=MASKS,
                           options={'background': background}).read('train', 0)
        assert sample.boxes is None and sample.mask is not None
        assert (sample.mask == expected).all()


def test_cvat(tree: Path, open_tree: Opener) -> None:
    (tree / 'train.xml').write_text("""<?xml version="1.0" encoding="utf-8"?>
<annotations><version>1.1</version><meta><task><name>x</name></task></meta>
<image id="0" name="a.png" width="40" height="30">
<box label="car" occluded="0" xtl="1" ytl="2" xbr="11" ybr="22" z_order="0">
<attribute name="color">red</attribute></box>
<box label="bus" occluded="0" xtl="10" ytl="10" xbr="20" ybr="14" rotation="90" z_order="0"/>
<mask label="roof" occluded="0" rle="2,3,2,3,2" left="30" top="20" width="6" height="2"
 z_order="1"/>
<polygon label="tarmac" occluded="0" points="28,18;38,18;38,28;28,28" z_order="0"/>
<tag label="sunny" source="manual"/>
</image></annotations>
""")
    sample = open_tree(reader='cvat', boxes=BOXES, masks=MASKS).read('train', 0)
    assert sample.boxes is not None and sample.mask is not None
    assert np.allclose(sample.boxes.boxes, [[1, 2, 11, 22], [13, 7, 17, 17]])
    assert sample.boxes.classes.tolist() == [0, 1]
    # The mask lies on top of the polygon by its order, though it comes first.
    assert sample.mask[20, 30:36].tolist() == [0, 0, 2, 2, 2, 0]
    assert sample.mask[21, 30:36].tolist() == [0, 2, 2, 2, 0, 0]
    assert (sample.mask[:17] == 255).all() and sample.mask[19, 29] == 0


@pytest.mark.parametrize(('name', 'image', 'mask'), [
    ('uavid', 'uavid_train/seq1/Images/000000.png', 'uavid_train/seq1/Labels/000000.png'),
    ('semantic_drone', 'training_set/images/000.jpg',
     'training_set/gt/semantic/label_images/000.png'),
    ('potsdam', '2_Ortho_RGB/top_potsdam_2_10_RGB.tif',
     '5_Labels_all/top_potsdam_2_10_label.tif'),
    ('vaihingen', 'top/top_mosaic_09cm_area1.tif',
     'gts_for_participants/top_mosaic_09cm_area1.tif')])
def test_colors_of_public_sets(tmp_path: Path, name: str, image: str, mask: str) -> None:
    manifest = load_manifest(CONFIG, tmp_path)
    spec = manifest.set_named(name)
    assert spec.masks is not None and spec.masks.colors is not None
    colors = np.array(spec.masks.colors, np.uint8)
    write_image(spec.path / image, size=(len(colors), 1))
    (spec.path / mask).parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(spec.path / mask), colors[None, :, ::-1])
    if 'semantic' in name:
        (spec.path / 'train.txt').write_text('000\n')
    sample = open_set(spec, manifest).read('train', 0)
    assert sample.mask is not None
    # Labels of the same classes have one value.
    expected = [spec.masks.same_as.get(k, k) for k in range(len(colors))]
    assert sample.mask.tolist() == [expected]
    assert any(spec.masks.same_as.values()) == (len(set(expected)) < len(expected))


def test_large_image_is_read_in_crops(tree: Path, tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    pixels = random.integers(0, 255, (50, 110, 3), np.uint8)
    cv2.imwrite(str(tree / 'images' / 'a.png'), pixels)
    (tree / 'labels').mkdir()
    (tree / 'classes.txt').write_text('car\n')
    # 2..12 x 10..30, and 38..58 x 0..20, of which a tenth lies left of x 40.
    (tree / 'labels' / 'a.txt').write_text(
        f'0 {7 / 110} {20 / 50} {10 / 110} {20 / 50}\n0 {48 / 110} {10 / 50} {20 / 110} {20 / 50}')
    path = tmp_path / 'manifest.yaml'
    path.write_text(json.dumps({'detection': {'names': ['car']}, 'sets': {'set': {
        'reader': 'yolo', 'boxes': {'classes': {'car': 'car'}, 'complete': ['car']}}}}))
    manifest = load_manifest(path, tmp_path)
    whole: Any = open_set(manifest.sets[0], manifest)
    data = CroppedSet(whole, Crops(40, 4))
    names = list(data.stems('train'))
    assert names == [f'a@{x},{y}' for y in (0, 10) for x in (0, 35, 70)]
    seen = np.zeros((50, 110), bool)
    for index, name in enumerate(names):
        x, y = (int(value) for value in name[2:].split(','))
        sample = data.read('train', index)
        assert sample.name == f'set/{name}'
        assert (sample.image == pixels[y:y + 40, x:x + 40, ::-1]).all()
        seen[y:y + 40, x:x + 40] = True
    assert seen.all()
    first, second = data.read('train', 0).boxes, data.read('train', 1).boxes
    assert first is not None and second is not None
    assert np.allclose(first.boxes, [[2, 10, 12, 30]], atol=1e-3)
    assert np.allclose(first.ignore, [[38, 0, 40, 20]], atol=1e-3)
    assert np.allclose(second.boxes, [[3, 0, 23, 20]], atol=1e-3)


def test_image_that_is_small_enough_stays_whole(tree: Path, open_tree: Opener) -> None:
    (tree / 'masks').mkdir()
    cv2.imwrite(str(tree / 'masks' / 'a.png'), np.ones((H, W), np.uint8))
    whole: Any = open_tree(reader='mask_folder', masks=MASKS)
    data = CroppedSet(whole, Crops(40, 0))
    assert list(data.stems('train')) == ['a']
    assert data.read('train', 0).name == 'set/a'
