from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

from mtl_perception.data.manifest import load_manifest
from mtl_perception.data.readers import DataSet, open_set

WIDTH, HEIGHT = 40, 30


@pytest.fixture
def open_tree(tmp_path: Path) -> Callable[..., DataSet]:
    """Open the set in `tmp_path`/set, as described by the keys of its manifest entry."""
    def open_it(**entry: Any) -> DataSet:
        manifest = {'detection': {'names': ['car', 'bus']},
                    'segmentation': {'names': ['road', 'grass', 'house']},
                    'sets': {'set': entry}}
        path = tmp_path / 'manifest.yaml'
        path.write_text(yaml.safe_dump(manifest, sort_keys=False))
        loaded = load_manifest(path, tmp_path)
        return open_set(loaded.sets[0], loaded)
    return open_it


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return a set's folder with one image, `a.png`, red on its left half, in both splits."""
    folder = tmp_path / 'set'
    (folder / 'images').mkdir(parents=True)
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    image[:, :WIDTH // 2, 2] = 200
    cv2.imwrite(str(folder / 'images' / 'a.png'), image)
    (folder / 'train.txt').write_text('a\n')
    (folder / 'val.txt').write_text('a\n')
    return folder
