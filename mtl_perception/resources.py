"""
Locations of the files shipped with the package: models, configurations, launch files.

They are beside the package in its source tree (which an editable install uses too), and in
`share/mtl_perception` of the prefix to which pip or colcon installed it.
"""

from __future__ import annotations

from collections.abc import Iterator
import os
from pathlib import Path

from mtl_perception.errors import ConfigError, ModelError

DEFAULT_MODEL = 'aerial_mobilenet_v2.onnx'

_PACKAGE = 'mtl_perception'
_MARKER = 'package.xml'


def model_path(name: str = DEFAULT_MODEL) -> Path:
    """
    Return the path of a shipped model, by its file name.

    :raises ModelError: there is none of that name.
    """
    path = _find('models', name)
    if path is None:
        raise ModelError(f'{name}: no model of that name is shipped with {_PACKAGE}; give a path')
    return path


def config_path(name: str) -> Path:
    """
    Return the path of a shipped configuration, by its file name.

    :raises ConfigError: there is none of that name.
    """
    path = _find('config', name)
    if path is None:
        raise ConfigError(
            f'{name}: no configuration of that name is shipped with {_PACKAGE}; give a path')
    return path


def _find(kind: str, name: str) -> Path | None:
    # A name with a folder in it could leave the searched folders.
    if name != Path(name).name:
        return None
    candidates = (folder / name for folder in _folders(kind))
    return next((path for path in candidates if path.is_file()), None)


def _folders(kind: str) -> Iterator[Path]:
    # colcon's --symlink-install links modules back to the source tree: hence resolve.
    here = Path(__file__).resolve()
    source = here.parents[1]
    if (source / _MARKER).is_file():
        yield source / ('resource/models' if kind == 'models' else kind)
    sourced = filter(None, os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep))
    for prefix in (*here.parents, *map(Path, sourced)):
        share = prefix / 'share' / _PACKAGE
        if (share / _MARKER).is_file():
            yield share / kind
