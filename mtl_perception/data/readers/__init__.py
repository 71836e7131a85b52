"""Readers of annotation formats, one file per format, all behind `open_set`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Protocol

from mtl_perception.data.manifest import DATA_VARIABLE, Manifest, SetSpec
from mtl_perception.data.readers.merged import MergedSet
from mtl_perception.data.samples import Sample
from mtl_perception.errors import ConfigError, DataError


class DataSet(Protocol):
    """A data set on disk, or one that is drawn."""

    spec: SetSpec

    def stems(self, split: str) -> Sequence[str]:
        """
        Return the names of the split's entries, broken ones among them.

        Raises ConfigError where there is no such split, DataError where what lists it cannot be
        read at all.
        """
        ...

    def read(self, split: str, index: int) -> Sample:
        """
        Return the split's picture `index`, decoded, with its truth in the manifest's classes.

        An entry of a list or annotation file that leads to no picture (a name that occurs twice,
        an annotation of a picture that is not listed) counts as one, and reading it says so.

        Raises DataError, naming the file and where possible the line, for a picture that cannot
        be decoded, a box outside it, a mask value or class that the manifest does not know, or
        an annotation that is missing or broken.
        """
        ...


_READERS = {
    'voc': 'voc:VocSet',
    'yolo': 'yolo:YoloSet',
    'coco': 'coco:CocoSet',
    'visdrone': 'visdrone:VisDroneSet',
    'uavdt': 'uavdt:UavdtSet',
    'dota': 'dota:DotaSet',
    'cvat': 'cvat:CvatSet',
    'mask_folder': 'mask_folder:MaskFolderSet',
    'bag': 'bag:BagSet',
    'synthetic': 'synthetic:SyntheticSet',
}
"""Reader -> its module here and its class."""


def open_set(spec: SetSpec, manifest: Manifest) -> DataSet:
    """
    Return the data set that `spec` of `manifest` describes.

    Raises DataError where its files are missing or contradict the manifest.
    """
    if spec.reader != 'synthetic' and not spec.path.is_dir():
        raise DataError(f'{spec.path}: no such folder; data set {spec.name} is sought there: say '
                        f'with --data or ${DATA_VARIABLE} where the sets are')
    if spec.reader not in _READERS:
        raise ConfigError(f'no reader {spec.reader!r}')
    # Imported here, so that a reader's own dependencies are needed only by who uses it.
    module, _, name = _READERS[spec.reader].partition(':')
    reader: Callable[[SetSpec], DataSet] = getattr(
        import_module(f'mtl_perception.data.readers.{module}'), name)
    data_set = reader(spec)
    if spec.masks is not None and spec.masks.same_as:
        return MergedSet(data_set, spec.masks.same_as)
    return data_set
