"""The engine: precision, environment of torchrun, and FP16 with a scaler, as far as CPUs allow."""

import logging
from pathlib import Path

import pytest

from mtl_perception.errors import ConfigError

torch = pytest.importorskip('torch')

from mtl_perception.data.manifest import load_manifest  # noqa: E402
from mtl_perception.data.training_set import TrainingSamples  # noqa: E402
from mtl_perception.models.network import build_model  # noqa: E402
from mtl_perception.models.outputs import CellOutputs  # noqa: E402
from mtl_perception.spec import ModelSpec  # noqa: E402
from mtl_perception.training.batches import Batches  # noqa: E402
from mtl_perception.training.engine import choose_precision, launched  # noqa: E402
from mtl_perception.training.loop import Trainer  # noqa: E402
from mtl_perception.training.state import TrainingState  # noqa: E402

TORCHRUN = {'WORLD_SIZE': '2', 'RANK': '0', 'LOCAL_RANK': '0', 'LOCAL_WORLD_SIZE': '2',
            'MASTER_ADDR': '127.0.0.1', 'MASTER_PORT': '1'}

SMALLEST = {'crop_size': 64, 'detection_images': 0}
"""Convolutions in FP16 are slow on a CPU."""


def test_the_network_runs_in_bf16_and_its_outputs_are_fp32():
    inner = []

    class Network(torch.nn.Linear):
        def forward(self, images):
            values = super().forward(images)
            inner.append(values.dtype)
            return CellOutputs(values, torch.tensor([1]), None)

    with launched('cpu', 'bf16') as fabric:
        outputs = fabric.setup(Network(3, 2))(torch.ones(1, 3))
    assert inner == [torch.bfloat16]
    assert isinstance(outputs, CellOutputs)
    assert outputs.class_logits.dtype == torch.float32 and outputs.boxes.dtype == torch.int64
    assert outputs.cells is None


def test_on_a_cpu_auto_is_fp32_and_fp16_is_rejected():
    assert choose_precision('auto', 'cpu') == 'fp32'
    assert choose_precision('fp16', 'cuda') == 'fp16'
    with pytest.raises(ConfigError, match='bf16'):
        choose_precision('fp16', 'cpu')
    with pytest.raises(ConfigError, match='int8'):
        choose_precision('int8', 'cpu')


def fp16_trainer(manifest_path: Path, config, scale: float) -> Trainer:
    """Return a trainer whose precision is that of `--precision fp16` on CUDA, but on the CPU."""
    from lightning_fabric import Fabric
    from lightning_fabric.plugins import MixedPrecision
    manifest = load_manifest(manifest_path)
    scaler = torch.amp.GradScaler('cpu', init_scale=scale)
    fabric = Fabric(accelerator='cpu', devices=1,
                    plugins=[MixedPrecision('16-mixed', 'cpu', scaler)])
    spec = ModelSpec(segmentation=manifest.segmentation)
    torch.manual_seed(0)
    state = TrainingState(build_model(spec), spec, config.training)
    batches = Batches(TrainingSamples(manifest, 'train', 1 << 28), config.training.steps,
                      config.training.batches, 0)
    config.output.mkdir(exist_ok=True)
    return Trainer(fabric, state, batches, config.output)


@pytest.mark.slow
def test_fp16_gradients_are_scaled_and_the_scale_is_resumed(manifest_path, small_config, tmp_path):
    config = small_config(tmp_path, batches=SMALLEST)
    trainer = fp16_trainer(manifest_path, config, 256.0)
    before = trainer.state.network.segmentation.score.weight.detach().clone()
    assert trainer.run().steps == 2
    after = trainer.state.network.segmentation.score.weight
    assert torch.isfinite(after).all() and not torch.equal(before, after)
    # The norm is clipped after the gradients are brought to their own scale.
    assert trainer.state.precision['scale'] == 256.0

    other = TrainingState(trainer.state.network, trainer.state.spec, config.training)
    other.restore(tmp_path / 'last.pt')
    assert other.precision['scale'] == 256.0


@pytest.mark.slow
def test_a_step_whose_fp16_gradients_overflow_is_left_out(manifest_path, small_config, tmp_path):
    config = small_config(tmp_path, batches=SMALLEST, training={'steps': 1})
    trainer = fp16_trainer(manifest_path, config, 2.0 ** 60)
    before = trainer.state.network.segmentation.score.weight.detach().clone()
    assert trainer.run().steps == 1
    assert torch.equal(before, trainer.state.network.segmentation.score.weight)
    assert trainer.state.precision['scale'] == 2.0 ** 59


def test_gradients_are_clipped_to_the_norm():
    parameter = torch.nn.Parameter(torch.zeros(2))
    module = torch.nn.Module()
    module.register_parameter('values', parameter)
    with launched('cpu', 'fp32') as fabric:
        network, optimizer = fabric.setup(module, torch.optim.SGD([parameter], lr=1.0))
    parameter.grad = torch.tensor([30.0, 40.0])
    fabric.clip_gradients(network, optimizer, max_norm=5.0, error_if_nonfinite=False)
    optimizer.step()
    assert parameter.tolist() == pytest.approx([-3.0, -4.0])


@pytest.mark.parametrize('changes', [
    {'RANK': None}, {'LOCAL_RANK': None}, {'RANK': 'first'}, {'RANK': '2'}, {'MASTER_ADDR': None},
    {'LOCAL_WORLD_SIZE': '3'}])
def test_an_incomplete_environment_of_torchrun_is_named(changes, monkeypatch):
    for name, value in {**TORCHRUN, **changes}.items():
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match='torchrun'), launched('cpu', 'fp32'):
        pass


def test_more_processes_than_cuda_devices_are_rejected(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 1)
    for name, value in TORCHRUN.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=r'2 processes.*finds 1'), launched('cuda', 'fp32'):
        pass


def test_torchrun_with_one_process_needs_no_process_group(monkeypatch):
    for name, value in {**TORCHRUN, 'WORLD_SIZE': '1', 'LOCAL_WORLD_SIZE': '1'}.items():
        monkeypatch.setenv(name, value)
    with launched('cpu', 'fp32') as fabric:
        assert (fabric.global_rank, fabric.world_size) == (0, 1)
        assert not torch.distributed.is_initialized()


def test_the_engine_starts_without_output(capfd, recwarn, caplog):
    with caplog.at_level(logging.INFO), launched('cpu', 'bf16') as fabric:
        fabric.setup(torch.nn.Linear(1, 1))
    assert capfd.readouterr() == ('', '') and not caplog.records and not recwarn.list
