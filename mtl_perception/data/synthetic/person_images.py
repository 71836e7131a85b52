"""Persons from above: their images and shadows at the scale of a frame."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

SHOULDERS = 0.5
"""Width of a grown person in metres."""

_OVERSAMPLING = 4

Color = tuple[float, float, float]


@dataclass(frozen=True)
class Look:
    """One person: size and RGB colours."""

    height: float              # in metres
    shirt: Color
    trousers: Color
    hair: Color

    @property
    def girth(self) -> float:
        """Width in relation to that of a grown person."""
        return 0.35 + 0.65 * self.height / 1.7


@dataclass(frozen=True)
class Pose:
    """A person in a frame: all that its image depends on."""

    look: Look
    feet: np.ndarray
    """[2], x and y in pixels of the frame."""
    heading: float
    """Where it walks, in radians from the x towards the y axis of the frame."""
    stride: float
    """How far the right foot is ahead, in metres."""
    lean: np.ndarray
    """[2]: pixels by which the crown of the head is seen beside the feet."""
    scale: float
    """Pixels per metre."""

    def shadow(self, sun: np.ndarray) -> np.ndarray:
        """Return the outline [N, 2] of the shadow; `sun` [2] is pixels per metre of height."""
        ring, tall = _RING * self.scale, sun * self.look.height
        return np.asarray(cv2.convexHull((self.feet + np.concatenate([
            0.14 * ring, 0.8 * tall + 0.2 * ring, tall + 0.1 * ring])).astype(np.float32))[:, 0])

    def image(self) -> tuple[np.ndarray, int, int]:
        """
        Return the image, and the column and the row of the frame where its upper left pixel is.

        The image is uint8 [h, w, 4]: RGB times coverage, and coverage.
        """
        scale = self.scale * self.look.girth
        forth = scale * np.array([np.cos(self.heading), np.sin(self.heading)])
        axes = np.array([self.lean, forth, (-forth[1], forth[0])])
        body = _BODY.copy()
        body[:, 1] += _STRIDE * self.stride
        points = self.feet + body @ axes
        x0, y0 = (int(side) for side in np.floor(points.min(0)))
        x1, y1 = (int(side) + 2 for side in points.max(0))
        canvas = np.zeros(((y1 - y0) * _OVERSAMPLING, (x1 - x0) * _OVERSAMPLING, 4), np.uint8)
        # The middles of pixels have whole coordinates, in the frame and in the canvas.
        pixels = np.round((((points - (x0, y0) + 0.5) * _OVERSAMPLING) - 0.5) * 16).astype(
            np.int32)
        look = self.look
        for start, end, (red, green, blue), factor in (
                (0, 14, look.trousers, 0.9), (14, 28, look.trousers, 0.9),
                (28, 42, look.shirt, 0.78), (42, 56, look.shirt, 0.78),
                (56, 84, look.shirt, 0.86), (56, 70, look.shirt, 1.0),
                (84, 98, look.hair, 1.0)):
            cv2.fillConvexPoly(canvas, cv2.convexHull(pixels[start:end]),
                               (red * factor, green * factor, blue * factor, 255), cv2.LINE_8, 4)
        small = cv2.resize(canvas, (x1 - x0, y1 - y0), interpolation=cv2.INTER_AREA)
        return np.asarray(small), x0, y0


_TURN = np.linspace(0, 2 * np.pi, 14, endpoint=False)
_RING = np.stack([np.cos(_TURN), np.sin(_TURN)], 1)


def _limb(foot: tuple[float, float], hip: tuple[float, float], levels: tuple[float, float],
          radius: float) -> np.ndarray:
    """Return the points [14, 3] of a leg or an arm: level, ahead and aside of both its ends."""
    return np.concatenate([
        np.column_stack([np.full(7, level), end + radius * _RING[::2]])
        for level, end in zip(levels, (foot, hip), strict=True)])


def _oval(level: float, ahead: float, depth: float, width: float) -> np.ndarray:
    return np.column_stack([np.full(14, level), ahead + _RING[:, 0] * depth / 2,
                            _RING[:, 1] * width / 2])


_BODY = np.concatenate([
    _limb((0.05, -0.1), (0.0, -0.09), (0.0, 0.5), 0.085),
    _limb((0.05, 0.1), (0.0, 0.09), (0.0, 0.5), 0.085),
    _limb((0.04, -0.27), (0.0, -0.22), (0.5, 0.8), 0.065),
    _limb((0.04, 0.27), (0.0, 0.22), (0.5, 0.8), 0.065),
    _oval(0.82, 0.0, 0.3, SHOULDERS), _oval(0.5, 0.0, 0.26, 0.38), _oval(0.95, 0.04, 0.23, 0.23)])
"""
[98, 3]: outlines of the left and the right leg, the arms, shoulders, hips and head.

The columns: the level, 0 at the feet and 1 at the crown, and metres ahead and to the right.
"""

_STRIDE = np.zeros(98)
"""How far each point goes ahead per metre of the stride: arms swing against the legs."""
_STRIDE[0:7], _STRIDE[14:21], _STRIDE[28:35], _STRIDE[42:49] = -1.0, 1.0, 0.8, -0.8
