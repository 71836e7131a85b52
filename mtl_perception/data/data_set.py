"""What every data set offers, whichever reader opens it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from mtl_perception.data.samples import Sample
from mtl_perception.data.set_spec import SetSpec


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


@runtime_checkable
class FileSet(DataSet, Protocol):
    """A data set whose images are files."""

    def image_file(self, split: str, index: int) -> Path:
        """Return the file of the split's image `index`; DataError where it has none."""
        ...
