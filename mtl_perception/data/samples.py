"""What a data set yields: a picture with the truth that its set knows about it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class BoxTruth:
    """Boxes of one picture, by their edges: x to the right, x1 = width at the right border."""

    boxes: np.ndarray
    """float32 [N, 4]: x0, y0, x1, y1, inside the picture and not empty."""
    classes: np.ndarray
    """int32 [N]: indices into the manifest's detection label set."""
    ignore: np.ndarray
    """float32 [M, 4]: regions in which a detection is neither right nor wrong; no loss there."""


@dataclass(frozen=True, eq=False)
class Sample:
    """One picture and its truth; a kind of label that its set does not have is None."""

    name: str
    """'<set>/<stem>', unique in a manifest."""
    image: np.ndarray
    """uint8 [height, width, 3], RGB; a grey picture has three equal channels."""
    boxes: BoxTruth | None
    mask: np.ndarray | None
    """uint8 [height, width]: the set's own labels (`MaskLabels.names`), IGNORE_LABEL elsewhere."""
