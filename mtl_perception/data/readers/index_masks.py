"""Masks of label indices: reading them and checking them against image and labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mtl_perception.errors import DataError
from mtl_perception.images.reading import read_index_image
from mtl_perception.labels import IGNORE_LABEL


def read_index_mask(path: Path, labels: int, width: int, height: int) -> np.ndarray:
    """
    Return the mask uint8 [height, width] of indices below `labels`, or IGNORE_LABEL.

    Raises DataError where the file is no such mask of an image of `width` x `height` pixels.
    """
    mask = read_index_image(path)
    check_size(mask, path, width, height)
    check_labels(mask, path, labels)
    return mask


def check_size(mask: np.ndarray, where: Path | str, width: int, height: int) -> None:
    """Raise DataError where `mask` [H, W, ...] is not as large as its image."""
    if mask.shape[:2] != (height, width):
        raise DataError(f'{where}: has {mask.shape[1]}x{mask.shape[0]} pixels, but its image '
                        f'{width}x{height}')


def check_labels(mask: np.ndarray, where: Path | str, labels: int) -> None:
    """Raise DataError where `mask` has a value that is neither below `labels` nor void."""
    present = np.bincount(mask.ravel(), minlength=256)
    unknown = np.flatnonzero(present[labels:IGNORE_LABEL]) + labels
    if unknown.size:
        y, x = np.argwhere(mask == unknown[0])[0]
        raise DataError(f'{where}: value {unknown[0]} at x {x}, y {y} has no class; the labels '
                        f'are 0..{labels - 1} and {IGNORE_LABEL} (unlabelled)')
