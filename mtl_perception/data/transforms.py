"""
Augmentation: a sample to a square crop of one size, image, boxes and masks together.

One affine map does scale, crop, quarter turns, a little rotation and flip, so that an image is
resampled once. Everything is drawn from the generator that is passed in: the same generator state
gives the same crop.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from mtl_perception.data.samples import BoxTruth, Sample
from mtl_perception.graph_contract import PAD_VALUE
from mtl_perception.labels import IGNORE_LABEL


@dataclass(frozen=True)
class AugmentOptions:
    """Ranges of the augmentation."""

    crop_size: int = 320
    """Side of the square crop in pixels."""
    focus_probability: float = 0.75
    """Share of crops of images with boxes that are laid around one of the boxes."""
    turn_probability: float = 0.5
    """Share of crops that are turned by 90, 180 or 270 degrees."""
    tilt_probability: float = 0.4
    """Share of crops that are rotated a little besides."""
    tilt_degrees: float = 10.0
    """Largest little rotation, either way."""
    gain: float = 0.35
    """Contrast and, per channel, a third of it, vary by up to this share."""
    offset: float = 30.0
    """Brightness varies by up to this many grey levels."""
    gamma: float = 0.35
    """Natural logarithm of the gamma varies by up to this."""
    noise: float = 6.0
    """Largest standard deviation of the noise, in grey levels."""
    grey_probability: float = 0.05
    """Share of colour images that lose their colour."""
    visible_share: float = 0.6
    """
    A box with a smaller share in the crop is ignored: neither object nor background. Many sets
    leave objects unlabelled that the border of the image cuts; training on those that a crop cuts
    would make the network detect the others too.
    """
    min_side: float = 2.5
    """A box with a shorter side in the crop, in pixels, is ignored likewise."""


@dataclass(frozen=True, eq=False)
class Crop:
    """What `augment` returns; boxes are in pixels of the crop."""

    image: np.ndarray
    """uint8 [S, S, 3], RGB."""
    boxes: BoxTruth | None
    mask: np.ndarray | None
    """uint8 [S, S]: the set's own labels; IGNORE_LABEL outside the image."""


def augment(sample: Sample, scale_range: tuple[float, float], options: AugmentOptions,
            random: np.random.Generator) -> Crop:
    """Return a random crop of `sample`, resized by a factor from `scale_range`."""
    matrix = _draw_map(sample, scale_range, options, random)
    size = (options.crop_size, options.crop_size)
    image = cv2.warpAffine(
        sample.image, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT,
        borderValue=(PAD_VALUE,) * 3)
    mask = None
    if sample.mask is not None:
        mask = cv2.warpAffine(
            sample.mask, matrix, size, flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT,
            borderValue=IGNORE_LABEL)
    boxes = None
    if sample.boxes is not None:
        boxes = _map_boxes(sample.boxes, matrix, options)
    return Crop(_jitter_colors(image, options, random), boxes, mask)


def _draw_map(sample: Sample, scale_range: tuple[float, float], options: AugmentOptions,
              random: np.random.Generator) -> np.ndarray:
    """Return the affine map [2, 3] from the image's pixels to the crop's."""
    height, width = sample.image.shape[:2]
    scale = float(np.exp(random.uniform(*np.log(scale_range))))
    degrees = 0.0
    if random.random() < options.turn_probability:
        degrees += 90.0 * random.integers(1, 4)
    if random.random() < options.tilt_probability:
        degrees += random.uniform(-options.tilt_degrees, options.tilt_degrees)
    mirror = -1.0 if random.random() < 0.5 else 1.0
    half = options.crop_size / 2 / scale
    focus = _draw_focus(sample, half, options, random)
    center = [_clip_focus(f, half, side, random)
              for f, side in zip(focus, (width, height), strict=True)]
    cos, sin = np.cos(np.radians(degrees)) * scale, np.sin(np.radians(degrees)) * scale
    linear = np.array([[cos * mirror, -sin], [sin * mirror, cos]])
    # Pixel centres lie at integers in warpAffine, at halves in box coordinates.
    shift = options.crop_size / 2 - linear @ np.array(center) + linear @ [0.5, 0.5] - 0.5
    return np.column_stack((linear, shift))


def _draw_focus(sample: Sample, half: float, options: AugmentOptions,
                random: np.random.Generator) -> tuple[float, float]:
    """Return the point (x, y) to lay the crop around: near a random class's box, or anywhere."""
    height, width = sample.image.shape[:2]
    truth = sample.boxes
    if truth is not None and len(truth.boxes) and random.random() < options.focus_probability:
        # First a class, then a box of it: rare classes are drawn like common ones.
        wanted = random.choice(np.unique(truth.classes))
        x0, y0, x1, y1 = truth.boxes[random.choice(np.flatnonzero(truth.classes == wanted))]
        jitter = random.uniform(-0.7 * half, 0.7 * half, 2)
        return (x0 + x1) / 2 + jitter[0], (y0 + y1) / 2 + jitter[1]
    return random.uniform(0, width), random.uniform(0, height)


def _clip_focus(focus: float, half: float, side: int, random: np.random.Generator) -> float:
    """Return `focus` such that the crop lies inside the image or the image inside the crop."""
    if side > 2 * half:
        return float(np.clip(focus, half, side - half))
    return float(random.uniform(side - half, half))


def _map_boxes(truth: BoxTruth, matrix: np.ndarray, options: AugmentOptions) -> BoxTruth:
    """Return the boxes in the crop; those cut off too far join the ignore regions."""
    mapped = map_boxes(truth.boxes, matrix)
    clipped = mapped.clip(0, options.crop_size)
    sides, visible = clipped[:, 2:] - clipped[:, :2], _area(clipped)
    inside = visible > 0
    keep = inside & (visible >= options.visible_share * _area(mapped)) & (
        sides.min(axis=1, initial=np.inf) >= options.min_side)
    regions = map_boxes(truth.ignore, matrix, round_objects=False).clip(0, options.crop_size)
    ignore = np.concatenate((regions[_area(regions) > 0], clipped[inside & ~keep]))
    return BoxTruth(clipped[keep], truth.classes[keep], ignore)


def map_boxes(boxes: np.ndarray, matrix: np.ndarray, round_objects: bool = True) -> np.ndarray:
    """
    Return upright boxes float32 [N, 4] around `boxes` [N, 4] after the affine map `matrix`.

    For rotations other than quarter turns, an object's box grows less than its corners do: with
    `round_objects` the ellipse inside the box is mapped, without it the corners.
    """
    boxes = boxes.reshape(-1, 4).astype(np.float64)
    linear, shift = matrix[:, :2], matrix[:, 2]
    centers = (boxes[:, :2] + boxes[:, 2:]) / 2
    halves = (boxes[:, 2:] - boxes[:, :2]) / 2
    # The matrix maps pixel centres at integers; box edges are half a pixel from them.
    centers = (centers - 0.5) @ linear.T + shift + 0.5
    if round_objects:
        halves = np.sqrt((halves ** 2) @ (linear ** 2).T)
    else:
        halves = halves @ np.abs(linear).T
    return np.concatenate((centers - halves, centers + halves), axis=1).astype(np.float32)


def _area(boxes: np.ndarray) -> np.ndarray:
    return (boxes[:, 2] - boxes[:, 0]).clip(0) * (boxes[:, 3] - boxes[:, 1]).clip(0)


def _jitter_colors(image: np.ndarray, options: AugmentOptions,
                   random: np.random.Generator) -> np.ndarray:
    """Return `image` with other contrast, brightness, gamma, colour balance and noise."""
    probe = image[::16, ::16]
    grey = bool((probe[..., 0] == probe[..., 1]).all() and (probe[..., 1] == probe[..., 2]).all())
    if not grey and random.random() < options.grey_probability:
        image = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        grey = True
    gain = 1 + random.uniform(-options.gain, options.gain)
    balance = np.ones(3) if grey else 1 + random.uniform(-options.gain, options.gain, 3) / 3
    offset = random.uniform(-options.offset, options.offset)
    gamma = np.exp(random.uniform(-options.gamma, options.gamma))
    level = (np.arange(256) / 255) ** gamma * 255
    table = ((level[:, None] - 128) * (gain * balance) + 128 + offset).clip(0, 255)
    image = cv2.LUT(image, np.rint(table).astype(np.uint8)[None])
    sigma = random.uniform(0, options.noise)
    if random.random() < 0.5:
        noise = random.standard_normal(image.shape[:2] + (1,), np.float32) * sigma
        image = (image + noise).clip(0, 255).astype(np.uint8)
    return image
