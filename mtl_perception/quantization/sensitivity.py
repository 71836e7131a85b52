"""Measurement of the noise of each layer in INT8, and selection of the layers that stay FP32."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import onnx

from mtl_perception.quantization.graph import (
    constant,
    heads_of,
    inner_values,
    layer_name,
    layers_of,
)
from mtl_perception.quantization.qdq import quantize

ENOUGH = 0.05
"""Share of the sum of all layers' noise that the INT8 layers may have."""


@dataclass(frozen=True)
class LayerNoise:
    """Effect on the model's outputs of a single convolution in INT8."""

    node: str
    name: str
    """Displayed name; see `layer_name`."""
    weights: int
    """Number of its weights, without biases."""
    noise: float
    """See `output_noise`."""
    share: float
    """Share of the sum over all layers."""


class Reference:
    """The outputs of an FP32 model for some images, as the reference for other models."""

    def __init__(self, model: onnx.ModelProto, images: np.ndarray) -> None:
        """Run `model` on `images`, uint8 [N, H, W, 3] RGB."""
        self._images = images
        self._heads = heads_of(model.graph)
        self._names = [name for names in self._heads.values() for name in names]
        self._values = list(inner_values(model, self._names, images))
        self._power = self._sums(
            [{name: value - value.mean() for name, value in values.items()}
             for values in self._values])

    def output_noise(self, model: onnx.ModelProto) -> float:
        """
        Return the power of the difference of `model`, relative to that of the values.

        It is measured at the outputs of the last convolutions, before arg max and top-k hide small
        differences, as the mean over boxes, classes and label map, if present.
        """
        noise = self._sums(
            [{name: values[name] - known[name] for name in self._names}
             for values, known in zip(inner_values(model, self._names, self._images),
                                      self._values, strict=True)])
        return float(np.mean(noise / self._power))

    def _sums(self, values: Sequence[Mapping[str, np.ndarray]]) -> np.ndarray:
        """Return the sum of squares of each head, at least a small positive value."""
        return np.array([
            sum(float(np.square(item[name], dtype=np.float64).sum())
                for item in values for name in names) + 1e-30
            for names in self._heads.values()])


def measure_layers(model: onnx.ModelProto, ranges: Mapping[str, float], reference: Reference,
                   progress: Callable[[int], object] = lambda done: None) -> list[LayerNoise]:
    """
    Return the noise of each convolution of `model`, in the graph's order.

    The noise of several layers adds up in good approximation, since their rounding errors are
    independent. `progress` receives the number of measured layers.
    """
    layers = layers_of(model.graph)
    names = {node.name for node in layers}
    noises = []
    for done, node in enumerate(layers, 1):
        noises.append(reference.output_noise(quantize(model, ranges, names - {node.name})))
        progress(done)
    total = sum(noises) or 1.0
    return [LayerNoise(node.name, layer_name(node), prod(constant(
        model.graph, node.input[1]).shape), noise, noise / total)
        for node, noise in zip(layers, noises, strict=True)]


def choose_floating(layers: Sequence[LayerNoise], budget: float) -> list[LayerNoise]:
    """
    Return the layers that stay FP32, the noisiest first.

    Layers are selected by noise until those in INT8 have no more than `ENOUGH` of the sum. A layer
    that would exceed `budget`, a share of all weights, is skipped.
    """
    left = budget * sum(layer.weights for layer in layers)
    noise = 1.0
    chosen = []
    for layer in sorted(layers, key=lambda layer: -layer.share):
        if noise <= ENOUGH:
            break
        if layer.weights <= left:
            chosen.append(layer)
            left -= layer.weights
            noise -= layer.share
    return chosen
