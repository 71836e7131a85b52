from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from mtl_perception.data.readers import DataSet
from mtl_perception.errors import DataError

ENTRY: dict[str, Any] = {
    'reader': 'mask_folder', 'masks': {'tarmac': 'road', 'green': ['grass'], 'odd': []}}

Opener = Callable[..., DataSet]


@pytest.fixture
def mask(tree: Path) -> np.ndarray:
    (tree / 'masks').mkdir()
    mask = np.random.default_rng(1).choice(np.array([0, 1, 2, 255], np.uint8), (30, 40))
    cv2.imwrite(str(tree / 'masks' / 'a.png'), mask)
    return mask


def test_reads_image_and_source_labels(mask: np.ndarray, open_tree: Opener) -> None:
    sample = open_tree(**ENTRY).read('train', 0)
    assert sample.name == 'set/a'
    assert sample.boxes is None
    assert sample.mask is not None
    assert sample.mask.dtype == np.uint8
    assert (sample.mask == mask).all()


def test_value_without_a_class_names_its_place(
        mask: np.ndarray, tree: Path, open_tree: Opener) -> None:
    mask[:] = 255
    mask[4, 9] = 3
    cv2.imwrite(str(tree / 'masks' / 'a.png'), mask)
    with pytest.raises(DataError, match=r'masks/a.png: value 3 at x 9, y 4 has no class; .* 0..2'):
        open_tree(**ENTRY).read('train', 0)


def test_mask_of_another_size(mask: np.ndarray, tree: Path, open_tree: Opener) -> None:
    cv2.imwrite(str(tree / 'masks' / 'a.png'), mask[:20])
    with pytest.raises(DataError, match=r'masks/a.png: has 40x20 pixels, but its image 40x30'):
        open_tree(**ENTRY).read('train', 0)


def test_missing_mask(mask: np.ndarray, tree: Path, open_tree: Opener) -> None:
    (tree / 'masks' / 'a.png').unlink()
    with pytest.raises(DataError, match=r'masks/a.png: cannot be read'):
        open_tree(**ENTRY).read('train', 0)


def test_agreeing_class_list(mask: np.ndarray, tree: Path, open_tree: Opener) -> None:
    (tree / 'classes.txt').write_text('tarmac\ngreen\nodd\n')
    assert open_tree(**ENTRY).read('val', 0).mask is not None


def test_class_list_in_another_order(mask: np.ndarray, tree: Path, open_tree: Opener) -> None:
    (tree / 'classes.txt').write_text('green\ntarmac\nodd\n')
    with pytest.raises(DataError, match=r'classes.txt: lists the labels green, tarmac, odd, but'):
        open_tree(**ENTRY)


def test_suffix_of_a_mask_may_be_in_another_case(tree: Path, open_tree: Opener) -> None:
    (tree / 'masks').mkdir()
    cv2.imwrite(str(tree / 'masks' / 'b.png'), np.ones((30, 40), np.uint8))
    (tree / 'masks' / 'b.png').rename(tree / 'masks' / 'a.PNG')
    data = open_tree(reader='mask_folder', masks={'tarmac': 'road', 'green': 'grass'})
    mask = data.read('train', 0).mask
    assert mask is not None and (mask == 1).all()
