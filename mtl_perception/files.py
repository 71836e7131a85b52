"""Reading and writing whole files, with size limits and errors that name the file."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from contextlib import contextmanager
import os
from pathlib import Path

from mtl_perception.errors import DataError

MAX_TEXT_BYTES = 16 << 20
"""Maximum size of a list, or of the annotation of one image."""

_MARKS = (
    # The mark of UTF-32 begins with that of UTF-16.
    (codecs.BOM_UTF32_LE, 'utf-32'), (codecs.BOM_UTF32_BE, 'utf-32'),
    (codecs.BOM_UTF8, 'utf-8-sig'),
    (codecs.BOM_UTF16_LE, 'utf-16'), (codecs.BOM_UTF16_BE, 'utf-16'))
"""Byte order mark -> the encoding of the text behind it."""


def is_file(path: Path) -> bool:
    """Return whether `path` is a file; False also for a name that no file can have."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def is_folder(path: Path) -> bool:
    """Return whether `path` is a folder; False also for a name that no folder can have."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def expanded(path: str | Path) -> Path:
    """Return the path with `~` replaced, unless the home directory is not known."""
    # `Path.expanduser` would raise then.
    return Path(os.path.expanduser(path))  # noqa: PTH111


def absolute(path: str | Path) -> Path:
    """Return the absolute path, with `~` and links resolved; cycles of links stay."""
    return Path(os.path.realpath(expanded(path)))


def read_bytes(path: Path, limit: int) -> bytes:
    """Return the content of `path`; DataError if it cannot be read or exceeds `limit`."""
    try:
        size = path.stat().st_size
        if size > limit:
            raise DataError(f'{path}: has {size} bytes, above the limit of {limit}')
        return path.read_bytes()
    except OSError as error:
        raise DataError(f'{path}: cannot be read: {error.strerror}') from None
    except ValueError as error:
        raise DataError(f'{str(path)!r}: cannot be read: {error}') from None


def read_text(path: Path, limit: int = MAX_TEXT_BYTES) -> str:
    """
    Return the text in `path`, without its byte order mark.

    It is UTF-8 unless such a mark names UTF-16 or UTF-32. Raises DataError if it is neither,
    cannot be read or exceeds `limit` bytes.
    """
    data = read_bytes(path, limit)
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), 'utf-8')
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        title = encoding.removesuffix('-sig').upper()
        line = data.count(b'\n', 0, error.start) + 1
        raise DataError(f'{path}: line {line}: is not {title} text; save it as UTF-8') from None
    if '\0' in text:
        line = text.count('\n', 0, text.index('\0')) + 1
        raise DataError(f'{path}: line {line}: has a zero byte, as UTF-16 without a byte order '
                        'mark has; save it as UTF-8')
    return text


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
