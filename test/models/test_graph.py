import math
import traceback

import pytest

from mtl_perception.graph_contract import output_names
from mtl_perception.labels import LabelSet
from mtl_perception.spec import ModelSpec

torch = pytest.importorskip('torch')

from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

from mtl_perception.models.default_boxes import Cells  # noqa: E402
from mtl_perception.models.graph import DeployableGraph  # noqa: E402
from mtl_perception.models.network import build_model  # noqa: E402
from mtl_perception.models.normalization import Normalize  # noqa: E402
from mtl_perception.models.outputs import (  # noqa: E402
    CellOutputs,
    DefaultBoxOutputs,
    NetworkOutputs,
)


class Fixed(torch.nn.Module):
    """A network that always says the same."""

    def __init__(self, outputs: NetworkOutputs) -> None:
        super().__init__()
        self.outputs = outputs

    def forward(self, images, tasks):
        return self.outputs


def test_candidates_are_sorted_and_inside_image():
    logits = torch.tensor([[[-3.0, 0.5], [2.0, 1.0], [-1.0, -2.0], [-9.0, 4.0]]])
    boxes = torch.tensor([[[0.0, 0, 9, 9], [-5, 3, 20, 80], [1, 1, 2, 2], [5, 6, 70, 8]]])
    spec = ModelSpec(detection=LabelSet.of('a', 'b'), input_size=(64, 32), candidates=3)
    cells = Cells(torch.zeros(4, 2), torch.full((4,), 8.0))
    graph = DeployableGraph(Fixed(NetworkOutputs(CellOutputs(logits, boxes, cells), None)), spec)
    found, scores, classes = graph(torch.zeros(1, 32, 64, 3, dtype=torch.uint8))
    assert found[0].tolist() == [[5, 6, 64, 8], [0, 3, 20, 32], [0, 0, 9, 9]]
    assert classes[0].tolist() == [1, 0, 1] and classes.dtype == torch.int32
    assert torch.allclose(scores[0], torch.tensor([4.0, 2.0, 0.5]).sigmoid())


def test_scores_of_softmax_with_background():
    logits = torch.tensor([[[0.1, 0.6, 0.3], [0.9, 0.02, 0.08], [0.2, 0.1, 0.7]]]).log()
    defaults = torch.tensor([[10.0, 10, 8, 4], [20, 10, 8, 4], [30, 10, 8, 4]])
    offsets = torch.zeros(1, 3, 4)
    offsets[0, 2] = torch.tensor([5.0, 0, 0, 5])  # half a width to the right, e times as high
    spec = ModelSpec(detection=LabelSet.of('a', 'b'), input_size=(64, 32), candidates=2)
    graph = DeployableGraph(
        Fixed(NetworkOutputs(DefaultBoxOutputs(logits, offsets, defaults), None)), spec)
    found, scores, classes = graph(torch.zeros(1, 32, 64, 3, dtype=torch.uint8))
    assert classes[0].tolist() == [1, 0]
    assert scores[0].tolist() == pytest.approx([0.7, 0.6])
    assert found[0, 0].tolist() == pytest.approx([30, 10 - 2 * math.e, 38, 10 + 2 * math.e])
    assert found[0, 1].tolist() == pytest.approx([6, 8, 14, 12])


@pytest.mark.parametrize('stride', [1, 2, 4])
@pytest.mark.parametrize('own', [1, 4])
def test_label_map_has_stride_and_best_class(stride, own):
    logits = torch.zeros(1, 3, 32 // own, 64 // own)
    logits[0, 1, :, :32 // own] = 5
    logits[0, 2, :, 32 // own:] = 5
    spec = ModelSpec(segmentation=LabelSet.of(*'abc'), input_size=(64, 32), label_stride=stride)
    graph = DeployableGraph(Fixed(NetworkOutputs(None, logits)), spec)
    (label_map,) = graph(torch.zeros(1, 32, 64, 3, dtype=torch.uint8))
    assert label_map.dtype == torch.uint8 and label_map.shape == (1, 32 // stride, 64 // stride)
    middle = 32 // stride
    assert (label_map[..., :middle] == 1).all() and (label_map[..., middle:] == 2).all()


def test_normalization_is_that_of_imagenet():
    images = torch.randint(0, 256, (2, 5, 7, 3), dtype=torch.uint8)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    expected = ((images / 255 - mean) / std).permute(0, 3, 1, 2)
    assert torch.allclose(Normalize()(images), expected, atol=1e-5)


def test_outputs_follow_the_tasks_of_the_spec():
    for tasks, names in ((('detection',), ('boxes', 'scores', 'classes')),
                         (('segmentation',), ('label_map',)),
                         (('detection', 'segmentation'),
                          ('boxes', 'scores', 'classes', 'label_map'))):
        spec = ModelSpec(input_size=(64, 64), **{task: LabelSet.of('a', 'b') for task in tasks})
        assert output_names(spec) == names
        graph = DeployableGraph(build_model(spec), spec).eval()
        with torch.no_grad():
            assert len(graph(torch.zeros(1, 64, 64, 3, dtype=torch.uint8))) == len(names)


class CopiesFromPython(TorchDispatchMode):
    """Notes each tensor that is made of numbers of Python."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function is torch.ops.aten.lift_fresh.default:
            self.seen.append(''.join(traceback.format_stack(limit=4)[:1]))
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize('spec', [
    ModelSpec(detection=LabelSet.of('a'), segmentation=LabelSet.of('b', 'c'), finest_level=2,
              input_size=(96, 64)),
    ModelSpec(architecture='thesis', backbone='resnet18', detection=LabelSet.of('a'),
              segmentation=LabelSet.of('b', 'c'), input_size=(96, 64), label_stride=1)],
    ids=lambda spec: spec.architecture)
def test_graph_has_no_device_copies(spec):
    graph = DeployableGraph(build_model(spec), spec).eval()
    with torch.no_grad(), CopiesFromPython() as copies:
        graph(torch.zeros(1, 64, 96, 3, dtype=torch.uint8))
        assert copies.seen == []
        torch.tensor([1.0])
        assert len(copies.seen) == 1
