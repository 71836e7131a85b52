"""Quantisation of an FP32 model file: calibration, selection of layers, INT8 file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import onnx

from mtl_perception import __version__
from mtl_perception.data.manifest import load_manifest
from mtl_perception.errors import ConfigError, ModelError, one_line
from mtl_perception.files import expanded, make_folder, replacing
from mtl_perception.images.listing import spread
from mtl_perception.inference.model_file import check_model_file
from mtl_perception.inference.onnx_file import read_onnx_header
from mtl_perception.inference.runtime import RuntimeOptions
from mtl_perception.inference.tiles import parse_tiles
from mtl_perception.inference.trt.parsing import tensorrt_verdict
from mtl_perception.quantization.calibration import (
    images_of_folder,
    images_of_manifest,
    MAX_COUNT,
)
from mtl_perception.quantization.graph import layers_of
from mtl_perception.quantization.qdq import quantize
from mtl_perception.quantization.ranges import measure_ranges
from mtl_perception.quantization.sensitivity import (
    choose_floating,
    LayerNoise,
    measure_layers,
    Reference,
)
from mtl_perception.quantization.verification import verify
from mtl_perception.spec import METADATA_KEY, ModelSpec

MEASURED = 7
"""Number of images on which single layers are measured, with one run per layer and image."""


@dataclass(frozen=True)
class QuantizeConfig:
    """Model, calibration images and output file of a quantisation."""

    model: Path
    """ONNX file in FP32 of `mtl export`."""
    output: Path | None = None
    """ONNX file to write; None: MODEL_int8.onnx beside the model."""
    images: Path | None = None
    """Image, folder of images or video to calibrate on; otherwise `manifest` is required."""
    manifest: Path | None = None
    """Manifest of the data sets whose training images are used for calibration."""
    data: Path | None = None
    """Folder of the data sets; None: $MTL_DATA, else `root` of the manifest."""
    count: int = 84
    """Images to calibrate on, evenly spread."""
    tiles: str = 'auto'
    """Tiles of large images, as in `PipelineOptions`."""
    auto: bool = False
    """Measure the loss of each layer in INT8 and keep the most sensitive ones in FP32."""
    float_weights: float = 0.02
    """Share of the weights, 0..1, that `auto` may keep in FP32."""
    verify: Path | None = None
    """Manifest on whose val split both models are scored; None: no scores."""
    runtime: RuntimeOptions = field(default_factory=RuntimeOptions)
    """How the models are run for `verify`."""

    def __post_init__(self) -> None:
        if not 1 <= self.count <= MAX_COUNT:
            raise ConfigError(f'--count {self.count} is not in 1..{MAX_COUNT}')
        if not 0 <= self.float_weights <= 1:
            raise ConfigError(f'--float-weights {self.float_weights} is not a share in 0..1')
        if (self.images is None) == (self.manifest is None):
            raise ConfigError('calibration needs either images or a manifest')
        parse_tiles(self.tiles)


@dataclass(frozen=True)
class QuantizeResult:
    """A written INT8 model."""

    path: Path
    megabytes: float
    megabytes_before: float
    noise: float
    """Power of the outputs' error as a share of the power of the outputs."""
    verdict: str
    """Whether TensorRT parses the file, in one line."""
    scores: str = ''
    """Table of the scores before and after; empty without `verify`."""


class Progress(Protocol):
    """Receives the progress."""

    def stage(self, text: str) -> None:
        """Report the start of a long stage."""

    def step(self, name: str, done: int, total: int) -> None:
        """Report that `done` of `total` images or layers are complete."""

    def layers(self, floating: Sequence[LayerNoise], rest: Sequence[LayerNoise]) -> None:
        """Report the layers that stay in FP32, and those in INT8."""


def quantize_model(config: QuantizeConfig, progress: Progress) -> QuantizeResult:
    """
    Write the INT8 model.

    Raises MtlError if the model is unsuitable, an option is invalid, an image or data set
    cannot be read, or the file cannot be written.
    """
    path = expanded(config.model)
    check_model_file(path)
    header = read_onnx_header(path)
    if header.precision != 'fp32':
        raise ModelError(f'{path}: its weights are in {header.precision}; give a file in FP32, '
                         'from `mtl export`')
    output = config.output or path.with_name(f'{path.stem}_int8.onnx')
    if output.suffix != '.onnx':
        raise ConfigError(f'{output}: the output file needs the suffix .onnx')
    if output.exists() and output.samefile(path):
        raise ConfigError(f'{output}: is the model itself; select another file with -o')
    # Before minutes are spent on calibration.
    verified = load_manifest(config.verify, config.data) if config.verify else None
    images, source = _calibration_images(config, header.spec)
    try:
        model = onnx.load(path)
    except Exception as error:  # protobuf has its own errors
        raise ModelError(f'{path}: cannot be read ({one_line(error)}); export it again'
                         ) from None
    layers = layers_of(model.graph)
    if not layers:
        raise ModelError(f'{path}: has no convolution to quantise')
    progress.stage(f'calibrating {len(layers)} convolutions on {len(images)} images ...')
    ranges = measure_ranges(
        model, images, lambda done: progress.step('image', done, len(images)))
    reference = Reference(model, images[list(spread(len(images), MEASURED))])
    floating: set[str] = set()
    if config.auto:
        progress.stage('measuring each of them in INT8 ...')
        measured = measure_layers(model, ranges, reference,
                                  lambda done: progress.step('layer', done, len(layers)))
        chosen = choose_floating(measured, config.float_weights)
        floating = {layer.node for layer in chosen}
        progress.layers(chosen, [layer for layer in measured if layer.node not in floating])
    result = quantize(model, ranges, floating)
    spec = replace(header.spec, provenance={
        **header.spec.provenance,
        'quantisation': f'INT8 by mtl_perception {__version__} on {len(images)} {source}; '
                        f'{len(floating)} of {len(layers)} convolutions in FP32'})
    _write(result, spec, output)
    scores = ''
    if verified:
        scores = verify(path, output, verified, config.tiles, config.runtime, progress.stage)
    return QuantizeResult(
        output, output.stat().st_size / 1e6, path.stat().st_size / 1e6,
        reference.output_noise(result), tensorrt_verdict(output), scores)


def _calibration_images(config: QuantizeConfig, spec: ModelSpec) -> tuple[np.ndarray, str]:
    """Return the images, uint8 [N, H, W, 3] RGB, and their description."""
    if config.images is not None:
        return images_of_folder(config.images, spec, config.tiles, config.count), \
            'user images'
    assert config.manifest is not None
    manifest = load_manifest(config.manifest, config.data)
    return (images_of_manifest(manifest, spec, config.tiles, config.count),
            f'training images of {config.manifest.name}')


def _write(model: onnx.ModelProto, spec: ModelSpec, path: Path) -> None:
    """Write `model` to `path` atomically; DataError if it cannot be written."""
    onnx.helper.set_model_props(model, {METADATA_KEY: spec.to_json()})
    onnx.checker.check_model(model, full_check=True)
    make_folder(path.parent)
    with replacing(path) as temporary:
        onnx.save(model, temporary)
        read_onnx_header(temporary)
