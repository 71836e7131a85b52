"""Checks of a model file of any format before it is read."""

from __future__ import annotations

import os
from pathlib import Path

from mtl_perception.errors import ModelError

_MIN_BYTES = 256
_MAX_BYTES = 2 << 30
"""Protobuf's own limit, and far above what any network of this package weighs."""


def check_model_file(path: Path) -> None:
    """Raise ModelError where `path` cannot be a model file whatever its format."""
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
        raise ModelError(f'{path}: may not be read by this user; change its permissions')
    if size < _MIN_BYTES:
        raise ModelError(
            f'{path}: has only {size} bytes, which is no model (is it a Git LFS pointer? run '
            f'`git lfs pull`); copy or export it again')
    if size > _MAX_BYTES:
        raise ModelError(f'{path}: has {size >> 20} MiB; a model has {_MAX_BYTES >> 20} at most')
