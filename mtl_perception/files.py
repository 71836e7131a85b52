"""Reading and writing whole files, with size limits and errors that name the file."""

from __future__ import annotations

from pathlib import Path
import secrets
import shutil

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
    """
    Write `text` to `path` as UTF-8, as `write_bytes` does.

    What stands for a byte of a file name that is not UTF-8 is written as an escape.
    """
    write_bytes(path, text.encode('utf-8', 'backslashreplace'))


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path`, completely or not at all; DataError if that fails."""
    try:
        # Not over a device such as /dev/stdout, nor over a link.
        path = path.resolve() if path.is_symlink() else path
        if path.exists() and not path.is_file():
            path.write_bytes(data)
            return
        part = path.with_name(f'.{secrets.token_hex(8)}.part')
        try:
            part.write_bytes(data)
            if path.exists():
                shutil.copymode(path, part)
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise DataError(f'{path}: cannot be written: {error.strerror}') from None


def readable(name: str) -> str:
    """Return a file name with escapes for the bytes that are not UTF-8."""
    return name.encode('utf-8', 'surrogateescape').decode('utf-8', 'backslashreplace')


def make_folder(path: Path) -> None:
    """Create the folder `path`, with its parents, unless it exists; DataError if that fails."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(
            f'{path}: cannot be created: {error.strerror}; select another folder') from None
