from itertools import pairwise
import json

import pytest

from mtl_perception.benchmark.figure import AXES
from mtl_perception.benchmark.rounds import Effort
from mtl_perception.benchmark.subjects import Network
from mtl_perception.benchmark.sweep import (
    BATCH,
    BATCHES,
    CLASS_COUNT,
    export_variant,
    gemm_rate,
    INPUT_SIZE,
    least_milliseconds,
    sweep,
    SweepPlan,
    thread_counts,
    THREADS,
)
from mtl_perception.benchmark.targets import Target
from mtl_perception.inference.registry import read_spec
from mtl_perception.inference.runtime import usable_cores
from mtl_perception.labels import LabelSet
from mtl_perception.spec import ModelSpec

pytestmark = pytest.mark.slow

ONNX_RUNTIME = Target('onnxruntime', 'cpu', 'fp32', 'fp32', '')


def test_matrix_rate_is_plausible():
    assert 0.5 < gemm_rate() < 1e6


def test_lower_bound_is_operations_over_rate():
    assert least_milliseconds(4.0, 200.0) == pytest.approx(40.0)
    assert least_milliseconds(None, 200.0) is None


def test_threads_double_up_to_the_cores():
    counts = thread_counts()
    assert counts[0] == 1 and counts[-1] == usable_cores()
    assert all(after <= 2 * before for before, after in pairwise(counts))


def test_threads_and_batches_are_measured_without_checkpoint(paint_model, frames, tmp_path):
    said, kept = [], []
    plan = SweepPlan(paint_model(), None, [ONNX_RUNTIME], Network(threads=1), frames, tmp_path)
    found = sweep(plan, Effort(rounds=3, frames=2, seconds=20), said.append, kept)
    assert found is kept and json.loads(json.dumps(found)) == found
    assert any('they need the checkpoint' in line for line in said)
    assert {item['axis'] for item in found} == {THREADS, BATCH} <= set(AXES)
    assert [item['value'] for item in found if item['axis'] == THREADS] == thread_counts()
    assert all(item['peak_bytes'] > 20e6 for item in found if item['axis'] == THREADS)
    batches = {(item['target'], item['value']): item['milliseconds']['median']
               for item in found if item['axis'] == BATCH}
    assert set(batches) == {(name, count) for count in BATCHES for name in (
        'onnxruntime fp32', 'onnxruntime fp32, together')}
    assert batches['onnxruntime fp32', 8] > batches['onnxruntime fp32', 1]


@pytest.mark.timeout(400)
def test_variants_have_requested_size_and_classes(tmp_path):
    torch = pytest.importorskip('torch')
    pytest.importorskip('onnx')
    from mtl_perception.models.checkpoint import save_checkpoint
    from mtl_perception.models.network import build_model
    spec = ModelSpec(backbone='resnet18', detection=LabelSet.of('car', 'person'),
                     segmentation=LabelSet.of('a', 'b'), input_size=(96, 64), candidates=50)
    torch.manual_seed(0)
    save_checkpoint(build_model(spec), spec, tmp_path / 'model.pt')
    larger = read_spec(export_variant(tmp_path / 'model.pt', tmp_path, INPUT_SIZE, 128))
    assert larger.input_size == (128, 128) and larger.detection == spec.detection
    more = read_spec(export_variant(tmp_path / 'model.pt', tmp_path, CLASS_COUNT, 20))
    assert more.input_size == (96, 64) and len(more.detection) == 20
    assert more.segmentation == spec.segmentation
