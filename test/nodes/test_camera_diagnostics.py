"""The status of the camera node."""

from dataclasses import replace

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticStatus

from mtl_perception.nodes.camera_diagnostics import camera_diagnostics, CameraReport

REPORT = CameraReport(
    name='/front/camera_node', source='rtsp://192.0.2.1/x', state='streaming', trouble='',
    published=12, rate=9.96, mean_rate=9.5, breaks=2, reconnects=1, silence=0.1, size='640x480',
    stamps='arrival')


def test_running_stream_is_ok():
    message = camera_diagnostics(REPORT, Time(sec=5))
    (status,) = message.status
    assert message.header.stamp.sec == 5
    assert (status.level, status.name) == (DiagnosticStatus.OK, 'front/camera_node: stream')
    assert status.message == 'streaming, 10.0 images/s'
    assert {item.key: item.value for item in status.values} == {
        'source': 'rtsp://192.0.2.1/x', 'state': 'streaming', 'images published': '12',
        'rate [Hz]': '9.96', 'mean rate [Hz]': '9.50', 'breaks': '2', 'reconnects': '1',
        'since last image [s]': '0.10', 'size [px]': '640x480', 'stamps': 'arrival'}


def test_missing_stream_is_warning_with_reason():
    report = replace(REPORT, state='broken', trouble='cannot be opened', silence=None)
    (status,) = camera_diagnostics(report, Time()).status
    assert status.level == DiagnosticStatus.WARN
    assert status.message == 'broken: rtsp://192.0.2.1/x cannot be opened'
    assert [item.value for item in status.values if item.key == 'since last image [s]'] == ['']
