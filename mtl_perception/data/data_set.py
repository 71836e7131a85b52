"""What every data set offers, whichever reader opens it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from mtl_perception.data.samples import Sample
from mtl_perception.data.set_spec import SetSpec
from mtl_perception.errors import DataError


class DataSet(Protocol):
    """A data set on disk, or one that is drawn."""

    spec: SetSpec

    def stems(self, split: str) -> Sequence[str]:
        """
        Return the stems of the split's entries, broken ones among them.

        Raises ConfigError where there is no such split, DataError where the list of its entries
        cannot be read at all.
        """
        ...

    def read(self, split: str, index: int) -> Sample:
        """
        Return the split's image `index`, decoded, with its ground truth in the manifest's classes.

        An entry of a list or annotation file without an image (a name that occurs twice, an
        annotation of an image that is not listed) counts as one, and reading it is an error.

        Raises DataError, naming the file and where possible the line, for an image that cannot
        be decoded, a box outside it, a mask value or class that the manifest does not know, or
        an annotation that is missing or broken.
        """
        ...


def left_out(data_set: DataSet, split: str) -> Mapping[str, int]:
    """
    Return what of the split is in none of its entries: a text for a report -> the number of it.

    A reader that leaves something out, such as images without ground truth, has a method of this
    name. Where the split cannot be read there is nothing, since reading it reports the error.
    """
    method = getattr(data_set, 'left_out', None)
    if method is None:
        return {}
    try:
        found: Mapping[str, int] = method(split)
    except DataError:
        return {}
    return found


@runtime_checkable
class FileSet(DataSet, Protocol):
    """A data set whose images are files."""

    def image_file(self, split: str, index: int) -> Path:
        """Return the file of the split's image `index`; DataError where it has none."""
        ...
