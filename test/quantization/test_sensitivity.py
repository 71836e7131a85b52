import onnx
import pytest

from mtl_perception.quantization.graph import heads_of
from mtl_perception.quantization.qdq import quantize
from mtl_perception.quantization.ranges import measure_ranges
from mtl_perception.quantization.sensitivity import (
    choose_floating,
    LayerNoise,
    measure_layers,
    Reference,
)
from mtl_perception.resources import model_path


def test_heads_are_grouped_by_outputs():
    heads = heads_of(onnx.load(model_path()).graph)
    assert {key: len(names) for key, names in heads.items()} == {
        ('boxes', 'scores', 'classes'): 5, ('boxes',): 5, ('label_map',): 1}


def test_most_sensitive_layer_stays_in_float(small, inputs):
    ranges = measure_ranges(small, inputs)
    reference = Reference(small, inputs)
    assert reference.output_noise(small) < 1e-20
    layers = measure_layers(small, ranges, reference)
    assert [layer.node for layer in layers] == ['a', 'b', 'c', 'd']
    assert sum(layer.share for layer in layers) == pytest.approx(1)
    assert max(layers, key=lambda layer: layer.noise).node == 'b'
    chosen = choose_floating(layers, 0.5)
    assert [layer.node for layer in chosen] == ['b'] and chosen[0].weights == 64
    all_of_it = reference.output_noise(quantize(small, ranges))
    assert reference.output_noise(quantize(small, ranges, ['b'])) < 0.05 * all_of_it


@pytest.mark.parametrize(('budget', 'chosen'), [
    (1.0, ['1', '0', '2']), (0.5, ['1', '2', '3']), (0.05, ['2', '3']), (0.0, [])])
def test_noisy_layers_stay_in_float_within_budget(budget, chosen):
    layers = [LayerNoise(str(index), '', weights, share, share) for index, (weights, share) in
              enumerate(((60, 0.3), (36, 0.5), (4, 0.17), (1, 0.03)))]
    assert [layer.node for layer in choose_floating(layers, budget)] == chosen
