"""The state of the node in the form of /diagnostics."""

from dataclasses import replace
from pathlib import Path
import re

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticStatus
import pytest

from mtl_perception.nodes.diagnostics import (
    CameraState,
    diagnostics_message,
    NodeState,
    resident_memory,
)
from mtl_perception.nodes.frame_statistics import Summary
from mtl_perception.nodes.input_health import InputReport
from mtl_perception.nodes.stamps import StampReport

STATE = NodeState(
    name='/front/perception_node', lifecycle='active', failure='', model='m.onnx',
    runtime='onnxruntime on cpu, fp32', batch=2)
SUMMARY = Summary(
    received=100, processed=60, dropped={'newer image': 39, 'bad frame': 1}, rate_in=10.0,
    rate_out=6.0, silence=0.05,
    percentiles={'run': (0.1, 0.15, 0.2), 'total': (0.11, 0.16, 0.21)})
CAMERA = CameraState(
    name='', is_idle=False, bad_frame='', summary=SUMMARY, input=InputReport(
        topic='/front/image', publishers=1, transport='raw', reliability='reliable', lost=3,
        troubles=(), news=(), stamps=StampReport(1, 2, 3, 4, '', 10.02, 5, 100)))


def statuses(state=STATE, **changes):
    message = diagnostics_message(state, [replace(CAMERA, **changes)], Time(sec=5))
    assert message.header.stamp == Time(sec=5)
    found = {status.name: status for status in message.status}
    assert list(found) == [f'front/perception_node: {task}' for task in (
        'images', 'latency', 'model')]
    assert all(status.hardware_id for status in message.status)
    return found.values()


def values(status):
    return {pair.key: pair.value for pair in status.values}


def test_normal_operation_is_ok():
    images, latency, model = statuses()
    assert {status.level for status in (images, latency, model)} == {DiagnosticStatus.OK}
    assert values(images) == {
        'topic': '/front/image', 'publishers': '1', 'transport': 'raw', 'reliability': 'reliable',
        'images received': '100',
        'images processed': '60', 'images dropped, bad frame': '1',
        'images dropped, newer image': '39', 'images lost on the way': '3',
        'images missing by their stamps, lately': '5', 'rate in [Hz]': '10.00',
        'rate out [Hz]': '6.00', 'rate by stamps [Hz]': '10.02', 'since last image [s]': '0.05',
        'stamps zero': '1', 'stamps of the future': '2', 'stamps of another clock': '3',
        'stamps going backwards': '4'}
    assert values(latency) == {
        'run p50 [ms]': '100.00', 'run p95 [ms]': '150.00', 'run p99 [ms]': '200.00',
        'total p50 [ms]': '110.00', 'total p95 [ms]': '160.00', 'total p99 [ms]': '210.00'}
    assert latency.message == '110.0 ms'
    assert values(model)['runtime'] == 'onnxruntime on cpu, fp32'
    assert values(model)['most images at once'] == '2'
    assert float(values(model)['resident memory [MB]']) > 5


def test_problems_are_reported_worst_first():
    report = replace(CAMERA.input, troubles=('no image on /front/image', 'stamps are zero'))
    images, *_ = statuses(input=report, bad_frame='step 3 is shorter')
    assert images.level == DiagnosticStatus.WARN
    assert images.message == (
        'no image on /front/image; stamps are zero; bad frames: step 3 is shorter')


def test_idle_node_is_ok():
    idle, _, _ = statuses(is_idle=True, summary=replace(SUMMARY, dropped={'idle': 12}))
    assert idle.level == DiagnosticStatus.OK
    assert idle.message == 'idle: no subscribers to results'
    assert values(idle)['images dropped, idle'] == '12'


def test_unknown_values_are_empty():
    report = replace(
        CAMERA.input, lost=None, stamps=replace(CAMERA.input.stamps, rate=None))
    images, *_ = statuses(input=report, summary=replace(SUMMARY, silence=None))
    assert [values(images)[key] for key in (
        'images lost on the way', 'rate by stamps [Hz]', 'since last image [s]')] == ['', '', '']


def test_unconfigured_node_is_reported():
    summary = Summary(0, 0, {}, 0.0, 0.0, None, {})
    state = replace(STATE, lifecycle='unconfigured', failure='x.onnx: no such model file')
    images, latency, model = statuses(state, summary=summary)
    assert (images.level, images.message) == (DiagnosticStatus.OK, 'not active')
    assert latency.values == []
    assert (model.level, model.message) == (
        DiagnosticStatus.ERROR, 'x.onnx: no such model file')


def test_cameras_have_separate_statuses():
    cameras = [replace(CAMERA, name=name) for name in ('front', 'down')]
    message = diagnostics_message(STATE, cameras, Time())
    assert [status.name.partition(': ')[2] for status in message.status] == [
        'front images', 'front latency', 'down images', 'down latency', 'model']


def test_resident_memory_is_that_of_the_kernel():
    status = Path('/proc/self/status').read_text()
    kilobytes = int(re.search(r'VmRSS:\s+(\d+) kB', status)[1])
    assert resident_memory() == pytest.approx(kilobytes * 1024, rel=0.05)
