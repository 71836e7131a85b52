"""Results of a frame in plain numpy, shared by node, commands and evaluation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Detections:
    """
    Boxes in pixels of the source image, best score first.

    Pixel (0, 0) covers 0..1 on both axes: a box around the whole image is (0, 0, width, height).
    """

    boxes: np.ndarray
    """float32 [N, 4]: x0, y0, x1, y1, inside the image, never empty."""
    scores: np.ndarray
    """float32 [N] in 0..1."""
    classes: np.ndarray
    """int32 [N]: indices into the names of ``ModelSpec.detection``."""
    oriented: np.ndarray | None = None
    """
    float32 [N, 5]: centre x, y, length, width and angle of each object, if they were requested
    and pixels were labelled; see ``mtl_perception.inference.orientation.orient``.
    """

    def __len__(self) -> int:
        return len(self.scores)


@dataclass(frozen=True)
class Timings:
    """Wall-clock seconds that an image, or its batch, spent in each stage."""

    preprocess: float
    """Tiles and letterbox."""
    run: float
    """The runtime: the network, including copies to and from its device."""
    postprocess: float
    """Thresholds, NMS, boxes and label map back to the source image."""


@dataclass(frozen=True, eq=False)
class Perception:
    """The result of one forward pass for one image."""

    width: int
    height: int
    """Size of the source image in pixels."""
    detections: Detections | None
    """None if the model does not detect; empty if nothing was detected."""
    label_map: np.ndarray | None
    """uint8 [height, width], indices into the names of ``ModelSpec.segmentation``, or None."""
    timings: Timings
