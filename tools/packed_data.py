"""
Data sets re-encoded to what training and evaluation need of them, in one format and few bytes.

A set of any reader becomes a folder for the reader `voc`: images, boxes in classes of the
manifest (by class and length translated, regions to ignore marked `difficult`), masks of the
set's own labels. COCO's areas of objects are lost: sizes of objects are then those of their boxes.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import cv2
import numpy as np

from mtl_perception.data.data_set import DataSet, FileSet
from mtl_perception.data.manifest import load_manifest
from mtl_perception.data.readers import open_set
from mtl_perception.data.readers.registry import reader_named
from mtl_perception.data.samples import BoxTruth
from mtl_perception.data.set_spec import Manifest, SetSpec
from mtl_perception.data.yaml_file import load_yaml
from mtl_perception.errors import ConfigError, DataError
from mtl_perception.files import make_folder, write_bytes, write_text
from mtl_perception.images.listing import spread

SPLITS = ('train', 'val')

LOSSLESS = 101
"""Quality of images that must not change; cv2 takes it for lossless WebP."""

QUALITIES = (95, 90, 85, 80, 75, 70, 65, 60, 55, 50, 45, 40, 35, 30, 25, 20)
"""Qualities of WebP that are tried, the best first."""

ESTIMATED_IMAGES = 12
"""Images of each split of a set that are encoded to estimate the size of all."""

CHUNK = 8
"""Entries that a process packs at a time: of a synthetic flight, those of one town."""

_REPLACED = (
    'reader', 'splits', 'options', 'path', 'boxes', 'colors', 'black_hot', 'scale', 'crops')
"""Keys of a set that are others after packing; the rest say what its labels mean to us."""

_COPIED = ('.jpg', '.jpeg', '.webp')


@dataclass(frozen=True)
class Source:
    """A manifest and the folder of its data sets (None: `$MTL_DATA`, else its `root`)."""

    manifest: Path
    data: Path | None = None
    images: int = 0
    """Most training images of each set, evenly spread over it; 0: all."""


@dataclass(frozen=True)
class _Entries:
    """Some entries of a split of a set, and how they are written into `folder`."""

    source: Source
    set_name: str
    split: str
    indices: Sequence[int]
    folder: Path
    factor: float
    quality: int


def pack_sets(source: Source, output: Path, names: Sequence[str], quality: int,
              workers: int = 1) -> dict[str, dict[str, Any]]:
    """
    Write the sets `names` of the manifest into folders of their names in `output`.

    `quality` is that of WebP, 1..100, or `LOSSLESS`; files that are no larger stay as they are.
    Training images are resized where no crop shows more of them than `factor_of`; those of `val`
    keep their size, on which tiles depend. Returns the section of each set for a manifest. Raises
    MtlError.
    """
    manifest = load_manifest(source.manifest, source.data)
    specs = [manifest.set_named(name) for name in names]
    parts = [part for spec in specs for part in _parts(source, manifest, spec, output, quality)]
    if workers > 1:
        with ProcessPoolExecutor(workers) as pool:
            written = list(pool.map(_write, parts))
    else:
        written = [_write(part) for part in parts]
    lists: dict[Path, list[str]] = {}
    for part, stems in zip(parts, written, strict=True):
        lists.setdefault(part.folder / f'{part.split}.txt', []).extend(stems)
    for path, stems in lists.items():
        write_text(path, '\n'.join(stems) + '\n')
    raw = load_yaml(source.manifest).value['sets']
    return {spec.name: _section(spec, manifest, raw[spec.name]) for spec in specs}


def estimated_bytes(source: Source, names: Sequence[str], quality: int) -> int:
    """Return about how many bytes the images and masks of the sets have at `quality`."""
    manifest = load_manifest(source.manifest, source.data)
    total = 0.0
    for name in names:
        spec = manifest.set_named(name)
        data_set = open_set(spec, manifest)
        for split in _splits(spec):
            indices = _indices(source, data_set, split)
            count = len(indices)
            some = [indices[place] for place in spread(count, min(count, ESTIMATED_IMAGES))]
            part = _Entries(source, name, split, some, Path(), factor_of(spec, split), quality)
            sizes = [sum(len(data) for data in _files(part, data_set, index).values())
                     for index in some]
            total += float(np.mean(sizes)) * count
    return int(total)


def choose_quality(source: Source, names: Sequence[str], most: int) -> int:
    """Return the best quality at which the sets have at most `most` bytes, or ConfigError."""
    place = bisect_left(QUALITIES, True, key=lambda quality: estimated_bytes(
        source, names, quality) <= most)
    if place == len(QUALITIES):
        raise ConfigError(f'{source.manifest}: its sets have more than {most >> 20} MiB even at a '
                          f'quality of {QUALITIES[-1]}; pack fewer sets or allow more')
    return QUALITIES[place]


def factor_of(spec: SetSpec, split: str) -> float:
    """
    Return the factor that images of a split are resized by: 1, or less for training.

    A crop of training is resized by up to `scale[1]`: where that is less than 1, no crop shows
    the image at its full resolution.
    """
    return min(1.0, spec.scale[1]) if split == 'train' else 1.0


def file_sets(manifest: Manifest) -> list[str]:
    """Return the names of the sets that are read from files; others are drawn where they run."""
    return [spec.name for spec in manifest.sets if reader_named(spec.reader).on_disk]


def drawn_sets(manifest: Manifest) -> list[str]:
    """Return the names of the sets that are drawn."""
    return [spec.name for spec in manifest.sets if not reader_named(spec.reader).on_disk]


def _splits(spec: SetSpec) -> list[str]:
    return [split for split in SPLITS if split in spec.splits]


def _parts(source: Source, manifest: Manifest, spec: SetSpec, output: Path,
           quality: int) -> Iterable[_Entries]:
    data_set = open_set(spec, manifest)
    for split in _splits(spec):
        indices = _indices(source, data_set, split)
        for start in range(0, len(indices), CHUNK):
            yield _Entries(source, spec.name, split, indices[start:start + CHUNK],
                           output / spec.name, factor_of(spec, split), quality)


def _indices(source: Source, data_set: DataSet, split: str) -> Sequence[int]:
    """Return the indices of the entries that are packed."""
    count = len(data_set.stems(split))
    most = source.images if split == 'train' else 0
    return spread(count, min(count, most or count))


@lru_cache(maxsize=1)
def _opened(source: Source, name: str) -> DataSet:
    manifest = load_manifest(source.manifest, source.data)
    return open_set(manifest.set_named(name), manifest)


def _write(part: _Entries) -> list[str]:
    """Write the files of the entries and return their stems."""
    data_set = _opened(part.source, part.set_name)
    for index in part.indices:
        for name, data in _files(part, data_set, index).items():
            make_folder((part.folder / name).parent)
            write_bytes(part.folder / name, data)
    return [_stem(part, index) for index in part.indices]


def _stem(part: _Entries, index: int) -> str:
    return f'{part.split}_{index:05}'


def _files(part: _Entries, data_set: DataSet, index: int) -> dict[str, bytes]:
    """Return the files of an entry by their path in the folder of the set."""
    sample = data_set.read(part.split, index)
    height, width = sample.image.shape[:2]
    size = max(1, round(width * part.factor)), max(1, round(height * part.factor))
    stem = _stem(part, index)
    suffix, data = _image(part, data_set, index, sample.image, size)
    files = {f'images/{stem}{suffix}': data}
    if sample.boxes is not None:
        names = load_names(part.source)
        files[f'annotations/{stem}.xml'] = _annotation(
            sample.boxes, names, (size[0] / width, size[1] / height)).encode()
    if sample.mask is not None:
        mask = sample.mask if size == (width, height) else cv2.resize(
            sample.mask, size, interpolation=cv2.INTER_NEAREST)
        files[f'masks/{stem}.png'] = _encoded('.png', mask, [cv2.IMWRITE_PNG_COMPRESSION, 9])
    return files


@lru_cache(maxsize=4)
def load_names(source: Source) -> tuple[str, ...]:
    """Return the detection classes of the manifest."""
    labels = load_manifest(source.manifest, source.data).detection
    return labels.names if labels is not None else ()


def _image(part: _Entries, data_set: DataSet, index: int, image: np.ndarray,
           size: tuple[int, int]) -> tuple[str, bytes]:
    """Return suffix and content of the image's file: its own where that is no larger."""
    whole = size == (image.shape[1], image.shape[0])
    shown = image if whole else cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    data = _encoded('.webp', shown[:, :, ::-1], [cv2.IMWRITE_WEBP_QUALITY, part.quality])
    if whole and isinstance(data_set, FileSet):
        path = data_set.image_file(part.split, index)
        if path.suffix.lower() in _COPIED and path.stat().st_size <= len(data):
            return path.suffix, path.read_bytes()
    return '.webp', data


def _encoded(suffix: str, image: np.ndarray, options: list[int]) -> bytes:
    done, data = cv2.imencode(suffix, image, options)
    if not done:
        raise DataError(f'an image of {image.shape} cannot be encoded as {suffix}')
    return data.tobytes()


def _annotation(truth: BoxTruth, names: Sequence[str], factors: tuple[float, float]) -> str:
    """Return the boxes as Pascal VOC's XML, their coordinates multiplied by the factors."""
    scale = np.array(factors * 2)
    objects = [_object(names[index], box * scale, '')
               for box, index in zip(truth.boxes, truth.classes.tolist(), strict=True)]
    # A region to ignore has no class: any will do.
    objects += [_object(names[0], box * scale, '<difficult>1</difficult>')
                for box in truth.ignore]
    return f'<annotation>{"".join(objects)}</annotation>\n'


def _object(name: str, box: np.ndarray, mark: str) -> str:
    edges = ''.join(f'<{key}>{value:.7g}</{key}>' for key, value in zip(
        ('xmin', 'ymin', 'xmax', 'ymax'), box.tolist(), strict=True))
    return f'<object><name>{escape(name)}</name>{mark}<bndbox>{edges}</bndbox></object>\n'


def _section(spec: SetSpec, manifest: Manifest, raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return the set's section in the manifest of the packed data; `raw` is its own."""
    section: dict[str, Any] = {
        'reader': 'voc', 'splits': {split: f'{split}.txt' for split in _splits(spec)}}
    if spec.boxes is not None and manifest.detection is not None:
        names = manifest.detection.names
        section['boxes'] = {'classes': {name: name for name in names},
                            'complete': [names[index] for index in spec.boxes.complete]}
    factor = factor_of(spec, 'train')
    section.update({key: value for key, value in raw.items() if key not in _REPLACED})
    section['scale'] = [value / factor for value in spec.scale]
    if spec.crops is not None:
        section['crops'] = {'side': max(32, round(spec.crops.side * factor)),
                            'overlap': round(spec.crops.overlap * factor)}
    return section
