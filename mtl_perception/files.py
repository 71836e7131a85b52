"""Reading and writing whole files, with size limits and errors that name the file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
import os
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


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """
    Yield the path of a temporary file, which replaces `path` when the block has succeeded.

    It lies beside the file and has its suffix. When the block fails or is interrupted, it is
    removed and `path` stays as it was. A link's target is replaced, not the link; what is no
    regular file, such as a pipe or /dev/stdout, is written directly. Raises DataError for an
    OSError in the block, such as a full disk.
    """
    try:
        if path.exists() and not path.is_file():
            yield path
            return
        target = Path(os.path.realpath(path))
        temporary = target.with_name(f'.{target.stem[:100]}.{os.getpid()}{target.suffix}')
        try:
            yield temporary
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise DataError(f'{path}: cannot be written: {error.strerror or error}') from None


def write_bytes(path: Path, data: bytes | memoryview) -> None:
    """Write `data` to `path` atomically; DataError if that fails."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """
    Write `text` to `path` as UTF-8, atomically; DataError if that fails.

    Parts of file names that are not UTF-8 are written as escape sequences.
    """
    write_bytes(path, text.encode('utf-8', 'backslashreplace'))


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
