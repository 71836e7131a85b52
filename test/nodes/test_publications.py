"""What is published of a frame, and what is not even computed."""

import numpy as np
import pytest
from std_msgs.msg import Header

from mtl_perception.inference.results import Detections, Perception, Timings
from mtl_perception.labels import LabelSet
from mtl_perception.nodes import publications
from mtl_perception.nodes.publications import Publications
from mtl_perception.spec import ModelSpec

CARS = LabelSet.of('car')
GROUND = LabelSet.of('ground', 'water')


def perception(spec):
    return Perception(
        8, 6,
        Detections(np.array([[1, 1, 3, 3]], np.float32), np.ones(1, np.float32),
                   np.zeros(1, np.int32)) if spec.detection else None,
        np.ones((6, 8), np.uint8) if spec.segmentation else None,
        Timings(0.0, 0.0, 0.0))


@pytest.mark.parametrize(('spec', 'topics'), [
    (ModelSpec(detection=CARS, segmentation=GROUND), {
        'detections', 'detections/label_info', 'segmentation', 'segmentation/label_info',
        'segmentation_color', 'overlay'}),
    (ModelSpec(detection=CARS), {'detections', 'detections/label_info', 'overlay'}),
    (ModelSpec(segmentation=GROUND), {
        'segmentation', 'segmentation/label_info', 'segmentation_color', 'overlay'}),
])
def test_a_model_has_the_topics_of_its_tasks(spec, topics, idle_node):
    node = idle_node()
    published = Publications(node, spec)
    assert set(published.topics()) == {f'/{node.get_name()}/{name}' for name in topics}
    published.publish_labels(0.5)
    published.publish(perception(spec), np.zeros((6, 8), np.uint8), 'rgb', Header(), 'index')
    published.destroy()
    assert published.topics() == []


def test_pictures_that_nobody_wants_are_not_computed(idle_node, monkeypatch):
    for name in ('draw_overlay', 'color_label_map', 'image_to_message'):
        monkeypatch.setattr(publications, name, lambda *_: pytest.fail('computed in vain'))
    spec = ModelSpec(detection=CARS, segmentation=GROUND)
    Publications(idle_node(), spec).publish(
        perception(spec), np.zeros((6, 8, 3), np.uint8), 'bgr', Header(), 'index')
