"""What a data set yields: an image with the ground truth that its set has of it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from mtl_perception.data.box_counts import BoxCounts


@dataclass(frozen=True, eq=False)
class BoxTruth:
    """Boxes of one image, by their edges: x to the right, x1 = width at the right border."""

    boxes: np.ndarray
    """float32 [N, 4]: x0, y0, x1, y1, inside the image and not empty."""
    classes: np.ndarray
    """int32 [N]: indices into the manifest's detection label set."""
    ignore: np.ndarray
    """float32 [M, 4]: regions in which a detection is neither right nor wrong, and has no loss."""
    areas: np.ndarray | None = None
    """float32 [N]: area of each object in pixels, where it is not that of its box (COCO)."""
    counts: BoxCounts = field(default_factory=BoxCounts)
    """What became of the boxes in the annotation of a whole image."""


@dataclass(frozen=True, eq=False)
class Sample:
    """One image and its ground truth; a kind of label that its set does not have is None."""

    name: str
    """'<set>/<stem>', unique in a manifest."""
    image: np.ndarray
    """uint8 [height, width, 3], RGB; a grey image has three equal channels."""
    boxes: BoxTruth | None
    mask: np.ndarray | None
    """uint8 [height, width]: the set's own labels (`MaskLabels.names`), IGNORE_LABEL elsewhere."""
