"""Finding image files by folder or by stem, with suffixes in any case."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from mtl_perception.errors import DataError
from mtl_perception.files import is_file

SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp')
"""Suffixes of image files in lower case; upper and mixed case are supported too."""


def is_image_name(path: Path) -> bool:
    """Return whether the suffix is that of an image."""
    return path.suffix.lower() in SUFFIXES


def list_images(folder: Path) -> list[Path]:
    """
    Return the image files in `folder`, sorted by name; DataError if there are none.

    A link to a file that is gone is one of them: reading it reports what is wrong.
    """
    return _sorted(folder, _entries(folder)[0])


def list_images_below(folder: Path) -> list[Path]:
    """
    Return the image files in `folder` and its subfolders, sorted; DataError if none.

    Links to folders are followed, but each folder is listed once, under its own name if it has
    one below `folder`, and links to `folder` or a folder above it are not.
    """
    found: list[Path] = []
    try:
        root = folder.resolve()
        seen = {root, *root.parents}
    except (OSError, RuntimeError) as error:  # RuntimeError: a cycle of links, until Python 3.13
        raise DataError(f'{folder}: cannot be read: {error}') from None
    folders: list[Path] = [folder]
    links: list[Path] = []
    while folders or links:
        # Links last, so that a folder has its own name.
        current = folders.pop() if folders else links.pop(0)
        if current != folder:
            target = current.resolve()
            if target in seen:
                continue
            seen.add(target)
        images, below = _entries(current)
        found += images
        for path in below:
            (links if path.is_symlink() else folders).append(path)
        links.sort()
    return _sorted(folder, found)


def find_image(base: Path, where: str) -> Path:
    """
    Return the image `base` plus a suffix, in any case; DataError, naming `where`, if none exists.

    With several suffixes, the first in `SUFFIXES` is used.
    """
    for suffix in (*SUFFIXES, *map(str.upper, SUFFIXES)):
        path = base.with_name(base.name + suffix)
        if path.is_file():
            return path
    if base.parent.is_dir():
        for path in sorted(base.parent.iterdir()):
            if path.name.startswith(f'{base.name}.') and is_image_name(path) \
                    and path.stem == base.name and path.is_file():
                return path
    raise DataError(f'{base}.jpg: no such image, nor .png; {where} names it')


def in_any_case(path: Path) -> Path:
    """Return `path`; where it does not exist, the file whose suffix alone has another case."""
    if is_file(path):
        return path
    try:
        others = sorted(path.parent.iterdir())
    except (OSError, ValueError):
        return path
    return next((other for other in others if other.stem == path.stem
                 and other.suffix.lower() == path.suffix.lower()), path)


def distinct_stems(names: Sequence[str]) -> list[str]:
    """
    Return each name without its suffix, or with it where that is another name or its stem.

    >>> distinct_stems(['a.jpg', 'b.jpg', 'b.png'])
    ['a', 'b.jpg', 'b.png']
    """
    stems = [str(PurePosixPath(name).with_suffix('')) for name in names]
    counts, known = Counter(stems), set(names)
    return [stem if counts[stem] == 1 and stem not in known else name
            for name, stem in zip(names, stems, strict=True)]


def spread(count: int, most: int | None) -> Sequence[int]:
    """
    Return at most `most` of `count` indices in order, evenly spread; None: all of them.

    They are the middles of equal intervals, so neither end is preferred.
    """
    if most is None or most >= count:
        return range(count)
    return [(2 * index + 1) * count // (2 * most) for index in range(most)]


def _sorted(folder: Path, images: list[Path]) -> list[Path]:
    if not images:
        raise DataError(f'{folder}: no images in this folder ({", ".join(SUFFIXES)})')
    return sorted(images)


def _entries(folder: Path) -> tuple[list[Path], list[Path]]:
    """Return the image files and the folders in `folder`, links to either included."""
    images, folders = [], []
    try:
        for path in folder.iterdir():
            if path.is_dir():
                folders.append(path)
            elif is_image_name(path) and (path.is_file() or path.is_symlink()):
                images.append(path)
    except OSError as error:
        raise DataError(f'{folder}: cannot be read: {error.strerror}') from None
    return images, folders
