"""Lists of a data set: the names in a split, and where they lead."""

from __future__ import annotations

from dataclasses import dataclass
import os
from pathlib import Path, PurePosixPath, PureWindowsPath

from mtl_perception.data.set_spec import FlightSplit, ListSplit, SetSpec
from mtl_perception.errors import ConfigError, DataError
from mtl_perception.files import read_text

MAX_NAME_BYTES = 255
"""Longest name of a file or folder on Linux."""


def portable(name: str) -> str:
    """Return the name with slashes for the backslashes that exports from Windows have."""
    return name.replace('\\', '/')


def inside(folder: Path, name: str, where: str) -> Path:
    """
    Return `folder`/`name`.

    Raises DataError, naming `where`, if that could leave `folder` or is not a name of a file.
    """
    path = PurePosixPath(name)
    if not path.name or '\\' in name or '\0' in name or path.is_absolute() \
            or PureWindowsPath(name).is_absolute() or '..' in path.parts or not _fits(path):
        raise DataError(f'{where}: {name!r:.80} is not a name inside {folder}')
    return folder / name


def _fits(path: PurePosixPath) -> bool:
    try:
        return all(len(os.fsencode(part)) <= MAX_NAME_BYTES for part in path.parts)
    except UnicodeEncodeError:
        return False


def split_of(spec: SetSpec, split: str) -> str | ListSplit:
    """Return the entry of `split` in the manifest; ConfigError where the set has no such split."""
    entry = spec.splits.get(split)
    if entry is None or isinstance(entry, FlightSplit):
        raise ConfigError(
            f'data set {spec.name} has no split {split!r}; it has {", ".join(spec.splits)}')
    return entry


def split_file(spec: SetSpec, split: str) -> Path:
    """Return the file or folder of `split`; ConfigError where the set has no such split."""
    entry = split_of(spec, split)
    source = entry.source if isinstance(entry, ListSplit) else entry
    return spec.path / source if isinstance(source, str) else spec.path


@dataclass(frozen=True)
class Listed:
    """A name of a list."""

    name: str
    where: str
    """The file and line, or the manifest's split, that names it."""
    problem: str = ''
    """What is wrong with the name; such an entry has no image."""


def read_list(path: Path) -> list[Listed]:
    """
    Return the names that `path` lists, one on each line, with slashes between their parts.

    One that occurs twice has a `problem` the second time. Raises DataError where the file cannot
    be read or lists nothing.
    """
    first_line: dict[str, int] = {}
    listed = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        name = portable(line.strip())
        if not name:
            continue
        where = f'{path}: line {number}'
        problem = ''
        if name in first_line:
            problem = f'{where}: {name} is listed on line {first_line[name]} already; remove one'
        first_line.setdefault(name, number)
        listed.append(Listed(name, where, problem))
    if not listed:
        raise DataError(f'{path}: lists no image')
    return listed
