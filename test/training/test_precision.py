from typing import NamedTuple

import pytest

from mtl_perception.errors import ConfigError

torch = pytest.importorskip('torch')

from mtl_perception.training.precision import Precision  # noqa: E402

CPU = torch.device('cpu')


class Said(NamedTuple):
    values: torch.Tensor
    order: torch.Tensor
    nothing: None


def test_the_network_runs_in_bf16_and_its_outputs_are_fp32():
    inner = []

    def network(images):
        values = torch.nn.functional.linear(images, torch.ones(2, 3))
        inner.append(values.dtype)
        return Said(values, torch.tensor([1]), None)

    said = Precision('bf16', CPU).run(network, torch.ones(1, 3))
    assert inner == [torch.bfloat16]
    assert said.values.dtype == torch.float32 and said.order.dtype == torch.int64
    assert said.nothing is None


def test_on_a_cpu_auto_is_fp32_and_fp16_is_refused():
    assert Precision('auto', CPU).name == 'fp32'
    with pytest.raises(ConfigError, match='bf16'):
        Precision('fp16', CPU)
    with pytest.raises(ConfigError, match='int8'):
        Precision('int8', CPU)


def test_a_step_clips_the_gradients():
    parameter = torch.nn.Parameter(torch.zeros(2))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    parameter.grad = torch.tensor([30.0, 40.0])
    precision = Precision('fp32', CPU)
    assert precision.scale == 1
    precision.step(optimizer, [parameter], 5.0)
    assert parameter.tolist() == pytest.approx([-3.0, -4.0])
