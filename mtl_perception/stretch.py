"""
One rule by which images of more than 8 bits per channel become 8-bit images; no ROS, no torch.

Thermal counts, radiometric temperatures and depth occupy a small part of their value range, which
differs from camera to camera. The 0.1th and 99.9th percentile of an image therefore become black
and white, and the values between are scaled linearly, as in the automatic gain control of thermal
cameras. Wider tails would cut off what a detector looks for: a person seen from the air is less
than 1 % of an image. The three channels of a colour image share the limits, so that its colours
stay. 8-bit images are returned unchanged.

Not counted in the percentiles are NaN and infinity, and zeros: pixels without a measurement in a
depth image (REP 118), and the border of a rectified or registered one. NaN and infinity are shown
as the lowest value.
"""

from __future__ import annotations

from collections.abc import Callable
import math
from typing import Any

import cv2
import numpy as np

PERCENTILES = (0.1, 99.9)
"""The percentiles that become black and white."""

CONSTANT = 128
"""Value of all pixels of an image in which all valid pixels are equal, or none is valid."""

TIME_CONSTANT = 1.0
"""Seconds in which the limits of a stream follow a change by 63 %."""

MAX_GAP = 5.0
"""Seconds between two images of a stream after which its limits are taken anew."""

NOMINAL_INTERVAL = 0.1
"""Seconds between two images of a stream without stamps."""

_SAMPLES = 20_000
"""Approximate number of pixels from which percentiles are estimated."""

_WORKING_TYPES = {'u2': np.uint16, 'i1': np.float32, 'i2': np.float32, 'u4': np.float64,
                  'i4': np.float64, 'f2': np.float32, 'f4': np.float32, 'f8': np.float64}
"""Type of pixels -> type in which they are scaled without a loss."""

StretchPixels = Callable[[np.ndarray], np.ndarray]
"""Returns the uint8 image of an image of any supported type, of the same shape."""


def stretched(pixels: np.ndarray, black_hot: bool = False) -> np.ndarray:
    """
    Return `pixels`, [H, W] or [H, W, 3], as uint8 of the same shape, by the rule of this module.

    High values are white; with `black_hot`, a one-channel image is inverted. Raises ValueError for
    other types than 8-bit, 16-bit and 32-bit integers and floating point of up to 64 bits.
    """
    if pixels.dtype == np.uint8:
        return pixels
    pixels = _working(pixels)
    return _scaled(pixels, _limits(pixels), black_hot)


class SmoothStretch:
    """
    The rule for the images of a stream, with limits smoothed over time against flicker.

    The limits are exponential moving averages with `TIME_CONSTANT`, weighted by the time between
    two images. They are taken anew where the size or type of the images changes, after `MAX_GAP`,
    where stamps go backwards, and where the new limits do not overlap the smoothed ones.
    """

    def __init__(self) -> None:
        self._limits: tuple[float, float] | None = None
        self._kind: Any = None
        self._stamp = 0

    def frame(self, pixels: np.ndarray, stamp: int = 0, black_hot: bool = False) -> np.ndarray:
        """
        Return the next image of the stream as `stretched` does.

        `stamp` is in nanoseconds; 0, or that of the image before, means that it is unknown and
        `NOMINAL_INTERVAL` has passed.
        """
        if pixels.dtype == np.uint8:
            return pixels
        kind = pixels.shape, pixels.dtype
        pixels = _working(pixels)
        limits = _limits(pixels)
        unknown = stamp in (0, self._stamp)
        passed = NOMINAL_INTERVAL if unknown else (stamp - self._stamp) / 1e9
        if self._limits is None or kind != self._kind or (
                self._stamp and not 0 < passed <= MAX_GAP) or _apart(limits, self._limits):
            self._limits = limits
        elif limits is not None:
            weight = 1 - math.exp(-passed / TIME_CONSTANT)
            low, high = (old + weight * (new - old)
                         for old, new in zip(self._limits, limits, strict=True))
            self._limits = low, high
        self._kind, self._stamp = kind, stamp
        return _scaled(pixels, self._limits, black_hot)


def _working(pixels: np.ndarray) -> np.ndarray:
    dtype = _WORKING_TYPES.get(pixels.dtype.str[1:])
    if dtype is None:
        raise ValueError(f'pixels of type {pixels.dtype} are not supported')
    return pixels.astype(dtype, copy=False)


def _apart(limits: tuple[float, float] | None, others: tuple[float, float]) -> bool:
    return limits is not None and (limits[0] > others[1] or limits[1] < others[0])


def _limits(pixels: np.ndarray) -> tuple[float, float] | None:
    """Return the values that become black and white; None where no two pixels differ."""
    step = max(1, math.ceil(math.sqrt(pixels.shape[0] * pixels.shape[1] / _SAMPLES)))
    sample = _measured(pixels[::step, ::step])
    if sample.size:
        ranks = [round(percent * (sample.size - 1) / 100) for percent in PERCENTILES]
        low, high = np.partition(sample, ranks)[ranks].tolist()
        if low < high:
            return low, high
    # Less than the percentiles leave differs: small objects on an even background.
    for values in (_measured(pixels), pixels[np.isfinite(pixels)]):
        if values.size and (low := values.min().item()) < (high := values.max().item()):
            return low, high
    return None


def _measured(pixels: np.ndarray) -> np.ndarray:
    """Return the pixels that are finite and not zero, flat."""
    valid = pixels != 0
    if pixels.dtype.kind == 'f':
        valid &= np.isfinite(pixels)
    return pixels[valid]


def _scaled(pixels: np.ndarray, limits: tuple[float, float] | None,
            black_hot: bool) -> np.ndarray:
    if limits is None:
        return np.full(pixels.shape, CONSTANT, np.uint8)
    low, high = limits
    gain = 255 / (high - low)
    if pixels.dtype == np.uint16 and pixels.shape[1] > 1:
        # Both calls saturate; a third of the time of one call of `addWeighted`. OpenCV takes the
        # four values of a scalar for an image where the image has one column.
        floor = math.floor(low)
        above = cv2.subtract(pixels, (floor,) * 4)  # type: ignore[call-overload]
        result = cv2.convertScaleAbs(above, alpha=gain, beta=(floor - low) * gain)
    else:
        finite = np.isfinite(pixels)
        if not finite.all():
            pixels = np.where(finite, pixels, pixels.dtype.type(low))
        # Beyond the range of int, OpenCV's conversion would not saturate.
        pixels = np.clip(pixels, low, high)
        result = cv2.addWeighted(pixels, gain, pixels, 0, -low * gain, dtype=cv2.CV_8U)
    if black_hot and pixels.ndim == 2:
        cv2.bitwise_not(result, dst=result)
    return result
