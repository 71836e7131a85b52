"""A data set as training sees it: large pictures in crops, and without what is broken."""

from __future__ import annotations

import sys

from mtl_perception.data.broken import Broken, WithoutBroken
from mtl_perception.data.crops import CroppedSet, FileSet
from mtl_perception.data.readers import DataSet, open_set
from mtl_perception.data.set_spec import Manifest, SetSpec


def open_training_set(spec: SetSpec, manifest: Manifest, skip_bad: bool = False) -> DataSet:
    """
    Return the set that `spec` of `manifest` describes, cut as its `crops` say.

    With `skip_bad`, what is broken in a split is left out and said on stderr, a line each and
    their number; otherwise reading it raises DataError. Raises DataError where the set's files are
    missing or contradict the manifest.
    """
    data_set = open_set(spec, manifest)
    if spec.crops is not None and isinstance(data_set, FileSet):
        data_set = CroppedSet(data_set, spec.crops)
    return WithoutBroken(data_set, SkipCounter()) if skip_bad else data_set


class SkipCounter:
    """Says what is left out, and how much that makes."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, broken: Broken) -> None:
        self.count += 1
        print(f'left out of {broken.set_name} ({self.count}): {broken.reason}', file=sys.stderr)
