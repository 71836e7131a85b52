"""Readers of annotation formats, one file per format, all behind `open_set`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from mtl_perception.data.manifest import DATA_VARIABLE, Manifest, SetSpec
from mtl_perception.data.samples import Sample
from mtl_perception.errors import ConfigError, DataError


class DataSet(Protocol):
    """A data set on disk, or one that is drawn."""

    spec: SetSpec

    def stems(self, split: str) -> Sequence[str]:
        """Return the names of the split's pictures; ConfigError where there is no such split."""
        ...

    def read(self, split: str, index: int) -> Sample:
        """
        Return the split's picture `index`, decoded, with its truth in the manifest's classes.

        Raises DataError, naming the file and where possible the line, for a picture that cannot
        be decoded, a box outside it, a mask value or class that the manifest does not know, or
        an annotation that is missing or broken.
        """
        ...


def open_set(spec: SetSpec, manifest: Manifest) -> DataSet:
    """
    Return the data set that `spec` of `manifest` describes.

    Raises DataError where its files are missing or contradict the manifest.
    """
    if spec.reader != 'synthetic' and not spec.path.is_dir():
        raise DataError(f'{spec.path}: no such folder; data set {spec.name} is sought there: say '
                        f'with --data or ${DATA_VARIABLE} where the sets are')
    # Imported here, so that a reader's own dependencies are needed only by who uses it.
    if spec.reader == 'voc':
        from mtl_perception.data.readers.voc import VocSet
        return VocSet(spec)
    if spec.reader == 'yolo':
        from mtl_perception.data.readers.yolo import YoloSet
        return YoloSet(spec)
    if spec.reader == 'coco':
        from mtl_perception.data.readers.coco import CocoSet
        return CocoSet(spec)
    if spec.reader == 'mask_folder':
        from mtl_perception.data.readers.mask_folder import MaskFolderSet
        return MaskFolderSet(spec)
    if spec.reader == 'synthetic':
        from mtl_perception.data.readers.synthetic import SyntheticSet
        return SyntheticSet(spec)
    raise ConfigError(f'no reader {spec.reader!r}')
