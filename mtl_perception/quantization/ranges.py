"""Ranges for INT8, measured on the inputs of the layers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx

from mtl_perception.quantization.graph import inner_values, layers_of

BINS = 2048
"""Bins of a histogram of absolute values, of which at least half are used."""

STEPS = 127
"""Steps of INT8 on each side of 0; -128 is unused, for symmetry."""

MOST = 1 << 20
"""Maximum number of values counted per tensor and image, evenly spread."""

_SHARES = np.linspace(0.2, 1, 161)
"""Ranges to try, as shares of the largest value."""


class Histogram:
    """Histogram of a tensor's absolute values, whose bins grow with the largest one."""

    def __init__(self) -> None:
        self.counts = np.zeros(BINS, np.int64)
        self.limit = 1e-6
        """Upper edge of the last bin."""

    def add(self, values: np.ndarray) -> None:
        """Count `values`, float of any shape, or `MOST` of them."""
        # An odd step does not sample the same columns repeatedly.
        step = -(-values.size // MOST) | 1
        absolute = np.abs(values.reshape(-1)[::step])
        largest = float(absolute.max())
        while largest > self.limit:
            halved = self.counts.reshape(-1, 2).sum(axis=1)
            self.counts = np.concatenate((halved, np.zeros(BINS // 2, np.int64)))
            self.limit *= 2
        bins = (absolute * np.float32(BINS / self.limit)).astype(np.int32)
        np.minimum(bins, BINS - 1, out=bins)
        self.counts += np.bincount(bins, minlength=BINS)

    def range(self) -> float:
        """
        Return the range [-r, r] with the smallest mean square quantisation error.

        A smaller range has finer steps and clips values beyond it. As in TensorFlow Lite and
        OpenVINO's `mse`, all shares of the largest value are tried.
        """
        centers = (np.arange(BINS) + 0.5) * (self.limit / BINS)
        used = np.flatnonzero(self.counts)
        largest = (used[-1] + 1) * (self.limit / BINS)
        ranges = largest * _SHARES
        errors = []
        for size in ranges:
            rounded = np.minimum(np.round(centers * (STEPS / size)), STEPS) * (size / STEPS)
            errors.append(float(self.counts @ np.square(rounded - centers)))
        return float(ranges[int(np.argmin(errors))])


def measure_ranges(model: onnx.ModelProto, images: np.ndarray,
                   progress: Callable[[int], object] = lambda done: None) -> dict[str, float]:
    """
    Return the range of the input of each convolution of `model`, by name of the value.

    `images` are uint8 [N, H, W, 3] RGB of the model's input size. `progress` receives the number
    of processed images.
    """
    names = list(dict.fromkeys(node.input[0] for node in layers_of(model.graph)))
    histograms = {name: Histogram() for name in names}
    for done, values in enumerate(inner_values(model, names, images), 1):
        for name, histogram in histograms.items():
            histogram.add(values[name])
        progress(done)
    return {name: histogram.range() for name, histogram in histograms.items()}
