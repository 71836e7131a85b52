"""Reading and writing whole files, with size limits and errors that name the file."""

from __future__ import annotations

from pathlib import Path

from mtl_perception.errors import DataError

MAX_TEXT_BYTES = 16 << 20
"""Maximum size of a list, or of the annotation of one image."""


def read_bytes(path: Path, limit: int) -> bytes:
    """Return the content of `path`; DataError if it cannot be read or exceeds `limit`."""
    try:
        size = path.stat().st_size
        if size > limit:
            raise DataError(f'{path}: has {size} bytes, above the limit of {limit}')
        return path.read_bytes()
    except OSError as error:
        raise DataError(f'{path}: cannot be read: {error.strerror}') from None


def read_text(path: Path, limit: int = MAX_TEXT_BYTES) -> str:
    """Return the UTF-8 text in `path`; DataError if it cannot be read or exceeds `limit`."""
    try:
        return read_bytes(path, limit).decode('utf-8')
    except UnicodeDecodeError:
        raise DataError(f'{path}: is not UTF-8 text') from None


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` as UTF-8; DataError if that fails."""
    try:
        path.write_text(text, 'utf-8')
    except OSError as error:
        raise DataError(f'{path}: cannot be written: {error.strerror}') from None


def make_folder(path: Path) -> None:
    """Create the folder `path`, with its parents, unless it exists; DataError if that fails."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(
            f'{path}: cannot be created: {error.strerror}; select another folder') from None
