import numpy as np
import onnx
import pytest

from mtl_perception.benchmark.single_task import TASKS, write_single_task
from mtl_perception.errors import ModelError
from mtl_perception.graph_contract import output_names
from mtl_perception.inference.onnx_file import read_onnx_header
from mtl_perception.inference.onnx_runtime import OnnxRuntime
from mtl_perception.inference.runtime import RuntimeOptions, silent
from mtl_perception.resources import model_path

pytestmark = pytest.mark.slow


def run(path, images):
    return OnnxRuntime(path, 'cpu', RuntimeOptions(threads=1), silent).run(images)


@pytest.mark.parametrize('task', TASKS)
def test_single_task_onnx_file_agrees_with_whole_model(paint_model, tmp_path, task) -> None:
    whole = paint_model()
    path = write_single_task(whole, task, tmp_path)
    onnx.checker.check_model(onnx.load(path))
    header = read_onnx_header(path)
    assert header.spec == read_onnx_header(whole).spec.only([task])
    assert len(onnx.load(path).graph.node) < len(onnx.load(whole).graph.node)
    images = np.random.default_rng(1).integers(0, 256, (1, 64, 96, 3), np.uint8)
    single, both = run(path, images), run(whole, images)
    for name in output_names(header.spec):
        np.testing.assert_array_equal(getattr(single, name), getattr(both, name))


def test_layers_of_other_task_are_removed_from_shipped_model(tmp_path) -> None:
    whole = model_path()
    sizes = {task: write_single_task(whole, task, tmp_path).stat().st_size for task in TASKS}
    assert all(size < whole.stat().st_size for size in sizes.values())
    assert sum(sizes.values()) > 1.5 * whole.stat().st_size  # both have the backbone


@pytest.mark.parametrize(('architecture', 'finest'), [('lean', 2), ('lean', 3), ('thesis', 3)])
def test_single_task_checkpoint_agrees_with_whole_model(tmp_path, architecture, finest) -> None:
    torch = pytest.importorskip('torch')
    from mtl_perception.labels import LabelSet
    from mtl_perception.models.checkpoint import load_checkpoint, save_checkpoint
    from mtl_perception.models.network import build_model
    from mtl_perception.spec import ModelSpec

    spec = ModelSpec(architecture, 'resnet18', LabelSet.of('a', 'b'), LabelSet.of('c', 'd'),
                     input_size=(128, 128), finest_level=finest)
    torch.manual_seed(0)
    whole = tmp_path / 'whole.pt'
    save_checkpoint(build_model(spec), spec, whole)
    _, network = load_checkpoint(whole)
    images = torch.rand(1, 3, 128, 128)
    with torch.inference_mode():
        both = network(images)
        for task in TASKS:
            found, single = load_checkpoint(write_single_task(whole, task, tmp_path))
            assert found == spec.only([task])
            outputs = single(images)
            if task == 'detection':
                torch.testing.assert_close(
                    outputs.detection.best(50), both.detection.best(50))
                assert outputs.label_logits is None
            else:
                torch.testing.assert_close(outputs.label_logits, both.label_logits)
                assert outputs.detection is None


def test_single_task_model_is_rejected(paint_model, tmp_path) -> None:
    with pytest.raises(ModelError, match='has no detection'):
        write_single_task(paint_model(detection=False), 'detection', tmp_path)


def test_invalid_model_file_is_rejected(tmp_path) -> None:
    broken = tmp_path / 'broken.onnx'
    broken.write_bytes(b'\x08' * 1000)
    with pytest.raises(ModelError, match='broken'):
        write_single_task(broken, 'detection', tmp_path)
