"""Sets with an annotation file for each image, in folders beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from mtl_perception.data.readers.lists import inside, Listed, portable, read_list, split_of
from mtl_perception.data.readers.registry import ReaderOptions
from mtl_perception.data.samples import BoxTruth, Sample
from mtl_perception.data.set_spec import ListSplit, SetSpec
from mtl_perception.errors import DataError
from mtl_perception.files import is_folder
from mtl_perception.images.listing import find_image, in_any_case, list_images_below
from mtl_perception.images.reading import read_image


class ListedOptions(ReaderOptions):
    """What the options of the formats with one annotation file for each image have in common."""

    images: str = 'images'


@dataclass(frozen=True)
class Entry:
    """An image of a split, with the way to its annotation files."""

    root: Path
    stem: str
    """Path of the image in `root`, without the ending of its name."""
    where: str
    images: str
    """The folder of the images, which the annotations' folders lie beside."""
    in_folder: bool
    """Whether `stem` includes `images`, as it does where a split is a folder."""

    def beside(self, folder: str, ending: str) -> Path:
        """
        Return the annotation file in `folder` that has the image's stem and this ending.

        Its suffix may be in another case.
        """
        return in_any_case(self._beside(folder, ending))

    def _beside(self, folder: str, ending: str) -> Path:
        if not self.in_folder:
            return inside(self.root / folder, self.stem + ending, self.where)
        parts = PurePosixPath(self.stem).parts
        images = PurePosixPath(self.images).parts
        # The last place counts: a set's own path may have the same name higher up.
        at = max(k for k in range(len(parts)) if parts[k:k + len(images)] == images)
        swapped = PurePosixPath(*parts[:at], folder, *parts[at + len(images):])
        return inside(self.root, f'{swapped}{ending}', self.where)

    def image(self, ending: str) -> Path:
        """Return the image file, whatever its suffix; DataError where there is none."""
        base = self.root if self.in_folder else self.root / self.images
        path = inside(base, self.stem + ending, self.where)
        try:
            return find_image(path, self.where)
        except OSError as error:
            raise DataError(f'{path}: cannot be read: {error.strerror}; {self.where} names '
                            'it') from None


class ListedSet:
    """
    What the formats with one annotation file for each image have in common.

    A split is a file that lists stems, a list of stems, or a folder: then it has all images in
    folders of the name in the option `images`, and annotations are in the folder beside it.
    """

    def __init__(self, spec: SetSpec, image_ending: str = '') -> None:
        """Open the set; `image_ending` is what follows the stem in the names of its images."""
        self.spec = spec
        self._images = ListedOptions.of(spec).images
        self._image_ending = image_ending
        self._splits: dict[str, list[Entry | Listed]] = {}

    def stems(self, split: str) -> Sequence[str]:
        """Return the stems of the split's images."""
        return [item.stem if isinstance(item, Entry) else item.name
                for item in self._entries(split)]

    def read(self, split: str, index: int) -> Sample:
        """Return the split's image `index` with its ground truth; DataError where it is broken."""
        entry = self._entry(split, index)
        image = read_image(entry.image(self._image_ending), stretch=self.spec.stretch)
        boxes, mask = self._truth(entry, image.shape[1], image.shape[0])
        return Sample(f'{self.spec.name}/{entry.stem}', image, boxes, mask)

    def image_file(self, split: str, index: int) -> Path:
        """Return the file of the split's image `index`; DataError where it has none."""
        return self._entry(split, index).image(self._image_ending)

    def _truth(self, entry: Entry, width: int,
               height: int) -> tuple[BoxTruth | None, np.ndarray | None]:
        """Return the boxes and the mask of an image of this size, from its annotation files."""
        raise NotImplementedError

    def _entry(self, split: str, index: int) -> Entry:
        item = self._entries(split)[index]
        if isinstance(item, Listed):
            raise DataError(item.problem)
        return item

    def _entries(self, split: str) -> list[Entry | Listed]:
        if split not in self._splits:
            self._splits[split] = self._find(split)
        return self._splits[split]

    def _find(self, split: str) -> list[Entry | Listed]:
        entry = split_of(self.spec, split)
        if isinstance(entry, str):
            entry = ListSplit(entry)
        in_folder = isinstance(entry.source, str) and is_folder(
            self.spec.path / entry.source)
        if not isinstance(entry.source, str):
            listed = [Listed(portable(stem), f'split {split} of {self.spec.name}')
                      for stem in entry.source]
        elif in_folder:
            listed = self._in_folder(self.spec.path / entry.source)
        else:
            listed = read_list(self.spec.path / entry.source)
        if entry.without:
            left_out = {item.name for item in read_list(self.spec.path / entry.without)}
            listed = [item for item in listed if item.name not in left_out]
            if not listed:
                raise DataError(f'{self.spec.path / entry.without}: lists all images of the '
                                f'split {split}, so that none is left')
        return [item if item.problem else Entry(
            self.spec.path, item.name, item.where, self._images, in_folder)
            for item in listed]

    def _in_folder(self, folder: Path) -> list[Listed]:
        images = PurePosixPath(self._images).parts
        ending = self._image_ending
        listed: list[Listed] = []
        seen: dict[str, Path] = {}
        for path in list_images_below(folder):
            relative = PurePosixPath(path.relative_to(self.spec.path).as_posix())
            parts = relative.parts[:-1]
            stem = str(relative.with_suffix(''))
            if not stem.endswith(ending) or not any(
                    parts[k:k + len(images)] == images for k in range(len(parts))):
                continue
            stem = stem.removesuffix(ending)
            problem = ''
            if stem in seen:
                problem = f'{path}: has the name of {seen[stem].name}; remove one'
            seen.setdefault(stem, path)
            listed.append(Listed(stem, str(path), problem))
        if not listed:
            raise DataError(f'{folder}: has no images *{ending} in folders named '
                            f'{self._images}')
        return listed
