"""Which layers lose the most in INT8, by measurement, and which of them stay FP32 for it."""

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
"""Share of the sum of all layers' noise that the layers in INT8 may leave."""


@dataclass(frozen=True)
class LayerNoise:
    """What one convolution in INT8, and nothing else, does to the model's outputs."""

    node: str
    name: str
    """For people; see `layer_name`."""
    weights: int
    """Number of its weights, biases apart."""
    noise: float
    """See `output_noise`."""
    share: float
    """Of the sum over all layers."""


class Reference:
    """The outputs of a model in FP32 for some images, with which others are compared."""

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
        Return the power of the difference of `model` over that of the values themselves.

        It is taken where the last convolutions end, before arg max and top-k hide small
        differences: the mean over boxes, classes and label map, as far as there are any.
        """
        noise = self._sums(
            [{name: values[name] - known[name] for name in self._names}
             for values, known in zip(inner_values(model, self._names, self._images),
                                      self._values, strict=True)])
        return float(np.mean(noise / self._power))

    def _sums(self, values: Sequence[Mapping[str, np.ndarray]]) -> np.ndarray:
        """Return the sum of squares of each head; of a head without activity, not 0."""
        return np.array([
            sum(float(np.square(item[name], dtype=np.float64).sum())
                for item in values for name in names) + 1e-30
            for names in self._heads.values()])


def measure_layers(model: onnx.ModelProto, ranges: Mapping[str, float], reference: Reference,
                   progress: Callable[[int], object] = lambda done: None) -> list[LayerNoise]:
    """
    Return the noise of each convolution of `model`, in the graph's order.

    Noise of several layers adds up in good approximation, since their roundings know nothing of
    each other. `progress` receives the number of measured layers.
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

    They are taken by their noise until those in INT8 leave no more than `ENOUGH` of all of it. A
    layer with which they would have more than `budget`, a share of all weights, is passed over.
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
