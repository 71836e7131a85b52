"""All runtimes say of the shipped model what ONNX Runtime says of it in FP32."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from mtl_perception.data.manifest import load_manifest
from mtl_perception.data.synthetic import SyntheticFlight
from mtl_perception.errors import StartError
from mtl_perception.inference import Perception, Pipeline, RuntimeOptions
from mtl_perception.inference.registry import read_spec
from mtl_perception.resources import config_path, model_path

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

COUNT = 20
SURE = 0.35
"""Detections from this score on must be there twice: others may fall below the threshold, 0.3."""


@dataclass(frozen=True)
class Tolerance:
    """How far results may be from those of ONNX Runtime in FP32; docs/deployment.md."""

    iou: float
    score: float
    labels: float
    """Share of equal pixels in the worst image ..."""
    mean_labels: float
    """... and in the mean of all."""


EXACT = Tolerance(iou=0.98, score=0.002, labels=0.999, mean_labels=0.9995)
# Its 8 bits of mantissa move the network's weakest decisions: labels of what it was not trained
# for, such as upsampled thermal images. Scores on labelled images do not suffer.
BF16 = Tolerance(iou=0.5, score=0.1, labels=0.6, mean_labels=0.9)


def real_images() -> list[np.ndarray]:
    """Return images of all data sets that are here, BGR, as many of each."""
    manifest = load_manifest(config_path('aerial.yaml'))
    folders = [path for spec in manifest.sets if (path := getattr(spec, 'path', None))
               and path.is_dir()]
    if not folders:
        pytest.skip('the data sets are not here; MTL_DATA says where they are')
    cv2 = pytest.importorskip('cv2')
    images = []
    for folder in folders:
        files = sorted(file for file in Path(folder).rglob('*')
                       if file.suffix.lower() in ('.jpg', '.jpeg', '.png')
                       and file.parent.name in ('images', 'image'))
        wanted = -(-COUNT // len(folders))
        chosen = files[::max(1, len(files) // wanted)][:wanted]
        images += [cv2.imread(str(file)) for file in chosen]
    assert len(images) >= COUNT
    return images[:COUNT]


def drawn_images() -> list[np.ndarray]:
    flight = SyntheticFlight(0, 640, 480, COUNT, 0.2)
    return [flight[frame].image[..., ::-1] for frame in range(COUNT)]


@pytest.fixture(scope='module', params=[real_images, drawn_images], ids=['real', 'drawn'])
def images(request) -> list[np.ndarray]:
    return request.param()


@pytest.fixture(scope='module')
def expected(images) -> list[Perception]:
    pipeline = Pipeline(model_path(), runtime=RuntimeOptions('onnxruntime', 'cpu', 'fp32'))
    return [pipeline.run(image, 'bgr') for image in images]


def check(pipeline: Pipeline, images, expected, tolerance: Tolerance) -> None:
    equal, compared = [], 0
    for image, theirs in zip(images, expected, strict=True):
        ours = pipeline.run(image, 'bgr')
        equal.append(float((ours.label_map == theirs.label_map).mean()))
        for some, others in ((ours.detections, theirs.detections),
                             (theirs.detections, ours.detections)):
            for box, score, kind in zip(some.boxes, some.scores, some.classes, strict=True):
                if score < SURE:
                    continue
                compared += 1
                ious = np.where(others.classes == kind, overlaps(box, others.boxes), 0)
                twin = int(ious.argmax())
                assert ious[twin] >= tolerance.iou
                assert abs(others.scores[twin] - score) <= tolerance.score
    assert min(equal) >= tolerance.labels and np.mean(equal) >= tolerance.mean_labels
    assert compared > 100


def overlaps(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    corners = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    common = np.clip(corners[1] - corners[0], 0, None).prod(axis=1)
    areas = [(b[..., 2] - b[..., 0]) * (b[..., 3] - b[..., 1]) for b in (box, boxes)]
    return common / (areas[0] + areas[1] - common)


@pytest.mark.parametrize(('runtime', 'device', 'precision'), [
    ('openvino', 'cpu', 'fp32'), ('openvino', 'cpu', 'bf16'), ('onnxruntime', 'cuda', 'fp32'),
    ('tensorrt', 'cuda', 'fp32')])
def test_runtimes_agree_with_onnxruntime(images, expected, runtime, device, precision, tmp_path):
    options = RuntimeOptions(runtime, device, precision, cache=tmp_path)
    try:
        pipeline = Pipeline(model_path(), runtime=options)
    except StartError as error:
        pytest.skip(str(error))
    check(pipeline, images, expected, BF16 if precision == 'bf16' else EXACT)


@pytest.mark.parametrize('device', ['cpu', 'cuda'])
def test_torch_agrees_with_onnxruntime(images, expected, device):
    torch = pytest.importorskip('torch')
    from mtl_perception.inference.torch_runtime import TorchRuntime
    from mtl_perception.models.checkpoint import load_checkpoint

    if device == 'cuda' and not torch.cuda.is_available():
        pytest.skip('torch finds no CUDA device')
    spec, network = load_checkpoint(model_path().with_suffix('.pt'))
    # The checkpoint's label map has the stride of training.
    stride = read_spec(model_path()).label_stride
    runtime = TorchRuntime.of_network(network, replace(spec, label_stride=stride), device)
    check(Pipeline(runtime), images, expected, EXACT)
