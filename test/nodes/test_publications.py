"""Selection of the results of a frame that are computed and published."""

from dataclasses import replace

import numpy as np
import pytest
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray, LabelInfo

from mtl_perception.inference.pipeline import ORIENTED, UPRIGHT
from mtl_perception.inference.results import Detections, Perception, Timings
from mtl_perception.labels import LabelSet
from mtl_perception.nodes import publications
from mtl_perception.nodes.perception_parameters import PerceptionParameters
from mtl_perception.nodes.publications import Publications
from mtl_perception.spec import ModelSpec

CARS = LabelSet.of('car')
GROUND = LabelSet.of('ground', 'water')
BOTH = ModelSpec(detection=CARS, segmentation=GROUND)


def perception(spec):
    return Perception(
        8, 6,
        Detections(np.array([[1, 1, 3, 3]], np.float32), np.ones(1, np.float32),
                   np.zeros(1, np.int32)) if spec.detection else None,
        np.ones((6, 8), np.uint8) if spec.segmentation else None,
        Timings(0.0, 0.0, 0.0))


@pytest.mark.parametrize(('spec', 'topics'), [
    (BOTH, {
        'detections', 'detections/label_info', 'segmentation', 'segmentation/label_info',
        'segmentation_color', 'segmentation_color/compressed', 'overlay', 'overlay/compressed'}),
    (ModelSpec(detection=CARS), {
        'detections', 'detections/label_info', 'overlay', 'overlay/compressed'}),
    (ModelSpec(segmentation=GROUND), {
        'segmentation', 'segmentation/label_info', 'segmentation_color',
        'segmentation_color/compressed', 'overlay', 'overlay/compressed'}),
])
def test_topics_follow_tasks_of_model(spec, topics, idle_node):
    node = idle_node()
    published = Publications(node, spec, lambda: None)
    assert set(published.topics()) == {f'/{node.get_name()}/{name}' for name in topics}
    published.publish_labels(0.5)
    image = np.zeros((6, 8), np.uint8)
    published.publish(
        {name for name in topics if 'label_info' not in name}, perception(spec), image, 'rgb',
        Header(), PerceptionParameters())
    published.destroy()
    assert published.topics() == []


def test_images_without_subscriber_are_not_computed(idle_node, monkeypatch):
    for name in ('draw_overlay', 'color_label_map'):
        monkeypatch.setattr(publications, name, lambda *_: pytest.fail('computed in vain'))
    published = Publications(idle_node(), BOTH, lambda: None)
    assert published.look() == frozenset() and published.tasks((), UPRIGHT) == frozenset()
    image = np.zeros((6, 8, 3), np.uint8)
    for wanted in ((), ('detections',), ('segmentation',)):
        published.publish(wanted, perception(BOTH), image, 'bgr', Header(), PerceptionParameters())


@pytest.mark.parametrize(('spec', 'tasks'), [
    (BOTH, {'detections': {'detection'}, 'segmentation': {'segmentation'},
            'segmentation_color': {'segmentation'}, 'overlay': {'detection', 'segmentation'}}),
    (ModelSpec(detection=CARS), {'detections': {'detection'}, 'overlay': {'detection'}}),
])
def test_subscribers_determine_tasks(spec, tasks, idle_node, wait_until):
    node, other = idle_node(), idle_node()
    published = Publications(node, spec, lambda: None)
    other.create_subscription(
        LabelInfo, f'{node.get_name()}/detections/label_info', print, 1)
    for name, needed in tasks.items():
        kind = Detection2DArray if name == 'detections' else Image
        subscription = other.create_subscription(kind, f'{node.get_name()}/{name}', print, 1)
        wait_until(lambda name=name: published.look() == {name})
        assert published.tasks(published.look(), UPRIGHT) == needed
        other.destroy_subscription(subscription)
        wait_until(lambda: not published.look())


@pytest.mark.parametrize(('pixel_classes', 'tasks'), [
    ({}, {'detection'}), ({'car': 'ground'}, {'detection', 'segmentation'})])
def test_oriented_boxes_need_both_tasks(pixel_classes, tasks, idle_node):
    published = Publications(
        idle_node(), replace(BOTH, pixel_classes=pixel_classes), lambda: None)
    assert published.tasks({'detections'}, ORIENTED) == tasks
    assert published.tasks({'detections'}, UPRIGHT) == {'detection'}
    assert published.tasks({'segmentation'}, ORIENTED) == {'segmentation'}
    assert published.tasks((), ORIENTED) == set()


def test_changes_of_subscribers_are_notified(ros_node, other_node, wait_until):
    told = []
    published = Publications(ros_node, BOTH, lambda: told.append(published.look()))
    if not published.has_events:
        pytest.skip('the middleware does not tell')
    subscription = other_node.create_subscription(
        Image, f'{ros_node.get_name()}/segmentation', print, 1)
    wait_until(lambda: told and told[-1] == {'segmentation'})
    other_node.destroy_subscription(subscription)
    wait_until(lambda: told[-1] == set())


def test_results_of_skipped_task_are_not_published(ros_node, other_node, wait_until):
    published = Publications(ros_node, BOTH, lambda: None)
    found = []
    for name, kind in (('detections', Detection2DArray), ('segmentation', Image)):
        other_node.create_subscription(kind, f'{ros_node.get_name()}/{name}', found.append, 5)
    wait_until(lambda: published.look() == {'detections', 'segmentation'})
    image = np.zeros((6, 8, 3), np.uint8)
    whole = perception(BOTH)
    for frame, seen in (('1', replace(whole, label_map=None)), ('2', replace(
            whole, detections=None, label_map=published.label_map(6, 8)))):
        published.publish(
            published.look(), seen, image, 'rgb', Header(frame_id=frame),
            PerceptionParameters())
    wait_until(lambda: len(found) == 2)
    assert {(type(message), message.header.frame_id) for message in found} == {
        (Detection2DArray, '1'), (Image, '2')}
