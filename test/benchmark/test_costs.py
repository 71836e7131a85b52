import numpy as np
import onnx
from onnx import numpy_helper
import pytest

from mtl_perception.benchmark.costs import file_cost, onnx_weights
from mtl_perception.errors import ModelError
from mtl_perception.resources import model_path

pytestmark = pytest.mark.slow


def test_weight_count_agrees_with_onnx() -> None:
    arrays = [numpy_helper.to_array(item)
              for item in onnx.load(model_path()).graph.initializer]
    parameters, total = onnx_weights(model_path())
    assert total == sum(item.nbytes for item in arrays)
    assert parameters == sum(item.size for item in arrays if item.dtype == np.float32)


def test_cost_of_file() -> None:
    cost = file_cost(model_path())
    assert cost.file_bytes == model_path().stat().st_size
    assert cost.tasks == ('detection', 'segmentation') and cost.input_size == (640, 640)
    assert cost.weights_bytes < cost.file_bytes


def test_operations_agree_with_mtl_info() -> None:
    pytest.importorskip('torch')
    from mtl_perception.inference.registry import read_spec
    from mtl_perception.models.cost import part_costs
    from mtl_perception.models.network import build_model

    spec = read_spec(model_path())
    macs = sum(part.macs for part in part_costs(build_model(spec), spec.input_size))
    assert file_cost(model_path()).gmac == pytest.approx(macs / 1e9)


def test_foreign_network_has_no_operation_count(paint_model) -> None:
    assert file_cost(paint_model()).gmac is None


def test_invalid_model_file_is_rejected(tmp_path) -> None:
    broken = tmp_path / 'broken.onnx'
    broken.write_bytes(b'\x08' * 1000)
    with pytest.raises(ModelError, match='broken'):
        file_cost(broken)
    broken.write_bytes(model_path().read_bytes()[:-1000])
    with pytest.raises(ModelError, match='broken'):
        onnx_weights(broken)
