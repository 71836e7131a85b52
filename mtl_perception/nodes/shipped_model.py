"""Where the model that comes with the package lies."""

from __future__ import annotations

import contextlib
from pathlib import Path

from ament_index_python.packages import get_package_share_directory, PackageNotFoundError

import mtl_perception
from mtl_perception.errors import ModelError

NAME = 'aerial_mobilenet_v2.onnx'


def shipped_model() -> Path:
    """
    Return the path of the model that comes with the package; ModelError where it is missing.

    It lies in the package's share folder, or in the sources where they are used in place.
    """
    sources = Path(mtl_perception.__file__).resolve().parents[1]
    folders = [sources / 'resource' / 'models']
    with contextlib.suppress(PackageNotFoundError, ValueError):
        folders.insert(0, Path(get_package_share_directory('mtl_perception')) / 'models')
    for folder in folders:
        if (folder / NAME).is_file():
            return folder / NAME
    raise ModelError(
        f'the model {NAME} that comes with the package is in none of '
        f'{", ".join(map(str, folders))}: install the package again, or set the parameter model')
