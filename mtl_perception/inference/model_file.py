"""Checks of a model file of any format before it is read."""

from __future__ import annotations

import os
from pathlib import Path

from mtl_perception.errors import ModelError

_MIN_BYTES = 256
_MAX_BYTES = 2 << 30
"""Protobuf's limit, far above the size of the networks of this package."""


def check_model_file(path: Path) -> None:
    """Raise ModelError if `path` cannot be a model file of any format."""
    remedy = 'give the path of an .onnx or .pt model file'
    try:
        if not path.exists():
            raise ModelError(f'{path}: no such model file; {remedy}')
        if path.is_dir():
            raise ModelError(f'{path}: a directory; {remedy}')
        if not path.is_file():
            raise ModelError(f'{path}: not a regular file; {remedy}')
        size = path.stat().st_size
    except OSError as error:
        raise ModelError(f'{path}: cannot be accessed ({error.strerror}); {remedy}') from None
    except ValueError as error:
        raise ModelError(f'{str(path)!r}: not a path ({error}); {remedy}') from None
    if not os.access(path, os.R_OK):
        raise ModelError(f'{path}: no permission to read it; change its permissions')
    if size < _MIN_BYTES:
        raise ModelError(
            f'{path}: file too small ({size} bytes) to be a model (is it a Git LFS pointer? run '
            f'`git lfs pull`); copy or export it again')
    if size > _MAX_BYTES:
        raise ModelError(f'{path}: file too large ({size >> 20} MiB) to be a model; the limit is '
                         f'{_MAX_BYTES >> 20} MiB')
