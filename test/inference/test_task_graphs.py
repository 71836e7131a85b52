import threading

import numpy as np
import pytest

from mtl_perception.errors import StartError
from mtl_perception.graph_contract import output_names, RawOutputs
from mtl_perception.inference.task_graphs import TaskGraphs
from mtl_perception.labels import LabelSet
from mtl_perception.spec import ModelSpec

SPEC = ModelSpec(detection=LabelSet.of('car'), segmentation=LabelSet.of('road'),
                 input_size=(64, 32))
IMAGES = np.zeros((1, 32, 64, 3), np.uint8)


class Counting:
    """A graph whose outputs are all its own name, and which counts its runs."""

    def __init__(self, spec):
        self.name = '+'.join(spec.tasks)
        self.names = output_names(spec)
        self.runs = 0

    def run(self, images):
        self.runs += 1
        return RawOutputs(**dict.fromkeys(self.names, self.name))


def _said(outputs):
    return {name: values for name, values in vars(outputs).items() if values is not None}


def test_whole_graph_is_used_until_task_graph_is_ready():
    may_load, made, lines = threading.Event(), [], []

    def make(spec):
        assert may_load.wait(10)
        made.append(Counting(spec))
        return made[-1]

    whole = Counting(SPEC)
    graphs = TaskGraphs(SPEC, whole, make, lines.append)
    assert _said(graphs.run(IMAGES, None)) == dict.fromkeys(
        ('boxes', 'scores', 'classes', 'label_map'), 'detection+segmentation')
    for _ in range(3):
        assert _said(graphs.run(IMAGES, ['segmentation'])) == {
            'label_map': 'detection+segmentation'}
    may_load.set()
    graphs.wait()
    for _ in range(2):
        assert _said(graphs.run(IMAGES, {'segmentation'})) == {'label_map': 'segmentation'}
    assert [(graph.name, graph.runs) for graph in made] == [('segmentation', 2)]
    assert whole.runs == 4
    # All of them together are the whole, in whatever order.
    graphs.run(IMAGES, ['segmentation', 'detection'])
    assert whole.runs == 5 and len(made) == 1 and not lines


def test_failed_task_graph_is_reported_once_and_whole_graph_used():
    lines = []

    def make(spec):
        raise StartError('no memory', 'buy some')

    graphs = TaskGraphs(SPEC, Counting(SPEC), make, lines.append)
    for _ in range(3):
        assert _said(graphs.run(IMAGES, ['detection'])) == dict.fromkeys(
            ('boxes', 'scores', 'classes'), 'detection+segmentation')
        graphs.wait()
    assert lines == ['detection alone takes as long as all tasks: no memory; buy some']


@pytest.mark.parametrize('tasks', [(), ('depth',), ('detection', 'depth')])
def test_missing_tasks_are_rejected(tasks):
    graphs = TaskGraphs(SPEC, Counting(SPEC), Counting, print)
    with pytest.raises(ValueError, match='are not some of detection, segmentation'):
        graphs.run(IMAGES, tasks)
    one = SPEC.only(['detection'])
    with pytest.raises(ValueError, match='are not some of detection'):
        TaskGraphs(one, Counting(one), Counting, print).run(IMAGES, ['segmentation'])


def test_images_of_other_shape_are_rejected_by_all_graphs():
    graphs = TaskGraphs(SPEC, Counting(SPEC), Counting, print)
    with pytest.raises(ValueError, match='not uint8'):
        graphs.run(IMAGES[:, :16], ['detection'])
