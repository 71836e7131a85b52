"""Files read and written whole, with errors that name them; sizes are checked before reading."""

from __future__ import annotations

from pathlib import Path

from mtl_perception.errors import DataError

MAX_TEXT_BYTES = 16 << 20
"""Largest list, or annotation of one image, that is read."""


def read_bytes(path: Path, limit: int) -> bytes:
    """Return the content of `path`; DataError where it cannot be read or exceeds `limit`."""
    try:
        size = path.stat().st_size
        if size > limit:
            raise DataError(f'{path}: has {size} bytes, above the limit of {limit}')
        return path.read_bytes()
    except OSError as error:
        raise DataError(f'{path}: cannot be read: {error.strerror}') from None


def read_text(path: Path, limit: int = MAX_TEXT_BYTES) -> str:
    """Return the UTF-8 text in `path`; DataError where it cannot be read or exceeds `limit`."""
    try:
        return read_bytes(path, limit).decode('utf-8')
    except UnicodeDecodeError:
        raise DataError(f'{path}: is not UTF-8 text') from None


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` as UTF-8; DataError where that fails."""
    try:
        path.write_text(text, 'utf-8')
    except OSError as error:
        raise DataError(f'{path}: cannot be written: {error.strerror}') from None


def make_folder(path: Path) -> None:
    """Make the folder `path`, with its parents, unless it exists; DataError where that fails."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(
            f'{path}: cannot be made: {error.strerror}; choose another folder') from None
