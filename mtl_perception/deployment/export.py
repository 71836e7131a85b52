"""Export of a checkpoint as the deployable graph in ONNX, compared with torch on images."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from mtl_perception.data.synthetic import SyntheticFlight
from mtl_perception.errors import ConfigError
from mtl_perception.images.listing import list_images, spread
from mtl_perception.images.reading import read_image
from mtl_perception.inference.runtime import Say
from mtl_perception.inference.trt.parsing import tensorrt_verdict
from mtl_perception.models.checkpoint import load_checkpoint
from mtl_perception.models.export import Difference, export_onnx
from mtl_perception.spec import ModelSpec

FLIGHT_SIZE, FLIGHT_FRAMES = (640, 480), 300
"""Width and height in pixels and number of frames of the flight that replaces missing images."""


@dataclass(frozen=True)
class ExportConfig:
    """What is exported, and how it is verified."""

    checkpoint: Path
    """Checkpoint (.pt) of `mtl train`."""
    output: Path | None = None
    """ONNX file to write; None: beside the checkpoint."""
    precision: str = 'fp32'
    """Number format of the weights: a key of `mtl_perception.models.export.TOLERANCES`."""
    images: Path | None = None
    """Image or folder of images to compare on; None: frames of a synthetic flight."""
    limit: int = 16
    """Most images to compare on, evenly spread over the folder."""
    label_stride: int | None = None
    """Network pixels per pixel of the label map; None: the spec's."""


@dataclass(frozen=True)
class ExportResult:
    """A written ONNX file."""

    path: Path
    spec: ModelSpec
    difference: Difference
    """Largest differences from torch on the images."""
    verdict: str
    """Whether TensorRT can parse the file, in one line."""


def export_checkpoint(config: ExportConfig, say: Say) -> ExportResult:
    """
    Write the ONNX file of a checkpoint and compare it with torch.

    Raises MtlError where the checkpoint or an image cannot be read, a value is invalid, the file
    cannot be written or it differs from torch by more than is tolerated.
    """
    if config.limit < 1:
        raise ConfigError(f'--limit {config.limit}: at least one image is needed to compare on')
    spec, network = load_checkpoint(config.checkpoint)
    if config.label_stride:
        spec = replace(spec, label_stride=config.label_stride)
    output = config.output or config.checkpoint.with_suffix('.onnx')
    images = (_read_images(config.images, spec.input_size, config.limit) if config.images
              else _synthetic_images(spec.input_size, config.limit))
    say(f'exporting, and comparing with torch on {len(images)} '
        f'{"images" if config.images else "synthetic frames"} ...')
    difference = export_onnx(network, spec, output, images, config.precision)
    return ExportResult(output, spec, difference, tensorrt_verdict(output))


def _read_images(path: Path, size: tuple[int, int], limit: int) -> list[np.ndarray]:
    """Return images as uint8 [H, W, 3] RGB, resized without a letterbox: any will do here."""
    files = [path] if path.is_file() else list_images(path)
    return [cv2.resize(read_image(files[index]), size, interpolation=cv2.INTER_AREA)
            for index in spread(len(files), limit)]


def _synthetic_images(size: tuple[int, int], limit: int) -> list[np.ndarray]:
    """Return `limit` frames of a synthetic flight as uint8 [H, W, 3] RGB of `size`."""
    flight = SyntheticFlight(0, *FLIGHT_SIZE, FLIGHT_FRAMES, 1.0)
    return [cv2.resize(flight[index * FLIGHT_FRAMES // limit].image, size)
            for index in range(limit)]
