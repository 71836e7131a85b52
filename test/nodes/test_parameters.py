"""The declaration of the parameters, and its agreement with configuration files."""

from dataclasses import fields, replace
from pathlib import Path

import pytest
from rclpy.parameter import Parameter, parameter_value_to_python
import yaml

from mtl_perception.data.synthetic.flight import MAX_SIDE, MIN_SIDE
from mtl_perception.errors import ConfigError
from mtl_perception.inference.pipeline import PipelineOptions
from mtl_perception.nodes.camera_parameters import CameraParameters
from mtl_perception.nodes.declaration import ALWAYS, declaration, UNCONFIGURED
from mtl_perception.nodes.parameters import AcceptsSameValues, changed, declare
from mtl_perception.nodes.perception_parameters import PerceptionParameters
from mtl_perception.nodes.recorder_parameters import RecorderParameters
from mtl_perception.resources import config_path

KINDS = [PerceptionParameters, CameraParameters, RecorderParameters]


@pytest.mark.parametrize('kind', KINDS)
def test_node_has_described_defaults(kind, idle_node):
    node = idle_node()
    assert declare(node, kind) == kind()
    for item in fields(kind):
        known, descriptor = declaration(item), node.describe_parameter(item.name)
        assert known.description in descriptor.description
        assert all(choice in descriptor.description for choice in known.choices)
        assert descriptor.read_only == (known.changes not in (ALWAYS, UNCONFIGURED))
        ranges = [*descriptor.floating_point_range, *descriptor.integer_range]
        assert [(r.from_value, r.to_value) for r in ranges] == (
            [] if known.low is None else [(known.low, known.high)])


def test_overrides_are_applied_and_integers_accepted_as_floats(idle_node):
    node = idle_node(score_threshold=1, model='m.onnx', max_detections=5)
    values = declare(node, PerceptionParameters)
    assert values == replace(
        PerceptionParameters(), score_threshold=1.0, model='m.onnx', max_detections=5)
    assert type(values.score_threshold) is float
    assert declare(idle_node(source=0), CameraParameters).source == '0'
    assert declare(idle_node(topics=['/a', '/b']), RecorderParameters).topics == ('/a', '/b')


@pytest.mark.parametrize(('kind', 'values', 'reason'), [
    (PerceptionParameters, {'score_threshold': 1.5},
     r'parameter score_threshold: 1.5 is not within 0.0..1.0'),
    (PerceptionParameters, {'score_threshold': float('nan')}, 'nan is not a finite number'),
    (PerceptionParameters, {'score_threshold': 'high'}, "'high' is not a number"),
    (PerceptionParameters, {'max_detections': 0}, r'0 is not within 1\.\.10000'),
    (PerceptionParameters, {'max_detections': 2.5}, '2.5 is not a whole number'),
    (PerceptionParameters, {'class_id_format': 'both'}, "'both' is not one of index, name"),
    (PerceptionParameters, {'reliability': 'tcp'}, 'not one of auto, best_effort, reliable'),
    (PerceptionParameters, {'runtime': 'magic'}, "parameter runtime: 'magic' is not one of auto"),
    (PerceptionParameters, {'autostart': 1}, '1 is not true or false'),
    (PerceptionParameters, {'tiles': True}, 'parameter tiles: True is not text'),
    (PerceptionParameters, {'model': False}, 'parameter model: False is not text'),
    (PerceptionParameters, {'tiles': '0x2'}, '0x2'),
    (CameraParameters, {'rate': -1.0}, r'-1.0 is not within 0.0..1000.0 Hz'),
    (CameraParameters, {'loop': 'yes'}, "'yes' is not true or false"),
    (RecorderParameters, {'topics': 'image'}, "'image' is not a list of text"),
])
def test_invalid_values_are_rejected_with_range(kind, values, reason, idle_node):
    with pytest.raises(ConfigError, match=reason) as error:
        declare(idle_node(**values), kind)
    assert '\n' not in str(error.value)


def test_yaml_off_is_accepted(idle_node):
    assert declare(idle_node(tiles=False), PerceptionParameters).tiles == 'off'


@pytest.mark.parametrize(('kind', 'name', 'remedy'), [
    (PerceptionParameters, 'runtim', 'did you mean runtime?'),
    (PerceptionParameters, 'score_treshold', 'did you mean score_threshold?'),
    (CameraParameters, 'sorce', 'did you mean source?'),
    (RecorderParameters, 'xyz', 'its parameters are output, topics, queue_depth, image_format, '
     'jpeg_quality, raw_topics, max_queue_size, max_file_size, max_file_duration, '
     'min_free_space'),
])
def test_unknown_name_is_rejected_with_suggestion(kind, name, remedy, idle_node):
    node = idle_node(**{name: 1})
    with pytest.raises(ConfigError) as error:
        declare(node, kind)
    assert str(error.value) == (
        f'parameter {name}: {node.get_name()} has none of that name; {remedy}')


@pytest.mark.slow
def test_unknown_name_gives_one_line_error(start_node):
    node = start_node('camera_node', sorce='x')
    assert node.wait() == 1
    assert node.said() == (
        'error: parameter sorce: camera_node has none of that name; did you mean source?\n')


def test_names_of_rclpy_and_other_nodes_are_ignored(idle_node):
    # In all nodes' files, by `/**`, and in what `ros2 param dump` wrote.
    node = idle_node(**{
        'use_sim_time': False, 'start_type_description_service': True, 'source': 'synthetic:1',
        'qos_overrides./parameter_events.publisher.depth': 100, 'model': 'm.onnx'})
    assert declare(node, PerceptionParameters).model == 'm.onnx'


def change(name, value):
    return Parameter(name, value=value)


def test_change_returns_new_values_without_modifying_old():
    before = PerceptionParameters()
    after = changed(
        before, [change('score_threshold', 0.5), change('tiles', '2x2'),
                 change('use_sim_time', True)], unconfigured=False)
    assert after == replace(before, score_threshold=0.5, tiles='2x2')
    assert after.options() == PipelineOptions(score_threshold=0.5, tiles='2x2')
    assert before.score_threshold == PipelineOptions().score_threshold


@pytest.mark.parametrize(('name', 'value', 'reason'), [
    ('score_threshold', -0.1, 'is not within 0.0..1.0'),
    ('score_threshold', None, 'is not a number'),
    ('nms_threshold', 'x', 'is not a number'),
    ('tiles', 'many', 'many'),
    ('model', 'other.onnx', 'changes only while the node is unconfigured'),
    ('queue_depth', 3, 'changes only while the node is unconfigured'),
    ('autostart', False, 'is read-only'),
])
def test_invalid_change_is_rejected_with_reason(name, value, reason):
    with pytest.raises(ConfigError, match=reason):
        changed(PerceptionParameters(), [change(name, value)], unconfigured=False)


@pytest.mark.parametrize(('name', 'value'), [
    ('autostart', True), ('threads', 0), ('tiles', False), ('model', '')])
def test_equal_value_is_no_change(name, value):
    before = PerceptionParameters()
    assert changed(before, [change(name, value)], unconfigured=False) == before


def test_node_accepts_current_values_and_validates_others(ros_environment):
    import rclpy

    context = rclpy.Context()
    rclpy.init(context=context)
    node = AcceptsSameValues('accepting', context=context, parameter_overrides=[
        Parameter('source', value='0'), Parameter('rate', value=10)])
    try:
        declare(node, CameraParameters)
        # As `ros2 param load` gives them: text once more read as YAML.
        same = [change('source', 0), change('rate', 10.0), change('loop', True)]
        assert node.set_parameters_atomically(same).successful
        for other in (change('source', 1), change('loop', False), change('queue_depth', True)):
            assert not node.set_parameters_atomically([*same, other]).successful
        assert node.get_parameter('source').value == '0'
    finally:
        node.destroy_node()
        rclpy.shutdown(context=context)


@pytest.mark.slow
def test_parameter_file_can_be_loaded_into_running_node(start_node, ros_node, wait_until,
                                                        tmp_path):
    # As `ros2 param load` does it: the shipped file, and one as `ros2 param dump` writes it.
    client_module = pytest.importorskip('rclpy.parameter_client')
    node = start_node('camera_node')
    node.wait_for_words('synthetic flight')
    client = client_module.AsyncParameterClient(ros_node, '/camera_node')
    assert client.wait_for_services(20)

    def answer(future):
        wait_until(future.done)
        return future.result()

    names = [item.name for item in fields(CameraParameters)] + ['use_sim_time']
    values = [parameter_value_to_python(value)
              for value in answer(client.get_parameters(names)).values]
    dump = tmp_path / 'dump.yaml'
    dump.write_text(yaml.dump(
        {'/camera_node': {'ros__parameters': dict(zip(names, values, strict=True))}}))
    for file in (config_path('camera_node.yaml'), dump):
        results = answer(client.load_parameter_file(str(file), use_wildcard=True)).results
        assert len(results) >= len(names) - 2
        assert [result.reason for result in results if not result.successful] == []


def test_model_parameters_can_change_while_unconfigured():
    after = changed(PerceptionParameters(), [change('model', 'other.onnx')], unconfigured=True)
    assert after.model == 'other.onnx'


@pytest.mark.parametrize(('name', 'kind'), [
    ('uav_camera.yaml', PerceptionParameters), ('camera_node.yaml', CameraParameters)])
def test_configuration_files_list_all_parameters_with_defaults(name, kind):
    text = Path(config_path(name)).read_text(encoding='utf-8')
    file = yaml.safe_load(text)
    # The only key supported by `ros2 param load` in any namespace, in Humble, Jazzy and Kilted;
    # Jazzy loads the parameters of all keys of a file.
    assert list(file) == ['/**']
    values = file['/**']['ros__parameters']
    assert kind(**values) == kind()
    # `ros2 param load` of Humble cannot read empty text, and no release an empty list.
    empty = [item.name for item in fields(kind) if item.default in ('', ())]
    assert all(f'# {name}: ' in text for name in empty)
    assert list(values) == [item.name for item in fields(kind) if item.name not in empty]
    assert all(type(values[item.name]) is type(item.default)
               for item in fields(kind) if item.name in values)


def test_synthetic_flight_sizes_are_validated():
    known = {item.name: declaration(item) for item in fields(CameraParameters)}
    for side in ('width', 'height'):
        assert (known[side].low, known[side].high) == (MIN_SIDE, MAX_SIDE)
