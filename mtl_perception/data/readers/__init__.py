"""
Readers of annotation formats, one file per format, all behind `open_set`.

A reader is a module of this package, or of another, whose class is decorated with
``registry.register_reader``; nothing else lists it.
"""

from __future__ import annotations

from mtl_perception.data.data_set import DataSet
from mtl_perception.data.readers.merged import MergedSet
from mtl_perception.data.readers.registry import reader_named, ReaderOptions, register_reader
from mtl_perception.data.set_spec import DATA_VARIABLE, Manifest, SetSpec
from mtl_perception.errors import DataError
from mtl_perception.files import is_folder

__all__ = ['DataSet', 'ReaderOptions', 'open_set', 'register_reader']


def open_set(spec: SetSpec, manifest: Manifest) -> DataSet:
    """
    Return the data set that `spec` of `manifest` describes.

    Raises DataError where its files are missing or contradict the manifest.
    """
    reader = reader_named(spec.reader)
    if reader.on_disk and not is_folder(spec.path):
        raise DataError(
            f'{spec.path}: no such folder, where data set {spec.name} is expected; name the '
            f'folder of the data sets with --data or ${DATA_VARIABLE}')
    data_set = reader.open(spec)
    if spec.masks is not None and spec.masks.same_as:
        return MergedSet(data_set, spec.masks.same_as)
    return data_set
