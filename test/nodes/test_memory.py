"""Loaded modules and memory of the perception node's process."""

from pathlib import Path
import sys

from diagnostic_msgs.msg import DiagnosticArray
import pytest

pytestmark = pytest.mark.slow

TELL = ('import atexit, sys\n'
        'atexit.register(lambda: print(\n'
        '    "LOADED", *(name for name, module in sys.modules.items() if module), flush=True))')

FOREIGN = {
    'PIL', 'jinja2', 'lark', 'matplotlib', 'onnx', 'onnxscript', 'openvino_telemetry', 'pandas',
    'pycocotools', 'pytest', 'rosbags', 'scipy', 'tensorboard', 'torch', 'torchvision', 'tqdm'}
"""Packages used by other parts of this package, or loaded by packages by default."""
RUNTIMES = {'cuda', 'onnxruntime', 'openvino', 'tensorrt', 'tensorrt_rtx'}
OURS = {'data', 'evaluation', 'models', 'training'}

ANONYMOUS = 130.0
"""MB of anonymous memory after the start with the shipped model; see docs/performance.md."""


@pytest.fixture(params=['openvino', 'onnxruntime'])
def runtime(request):
    pytest.importorskip(request.param)
    return request.param


def test_node_loads_only_required_modules(start_node, paint_model, runtime):
    node = start_node('perception_node', before=TELL, model=str(paint_model()), runtime=runtime)
    node.wait_for_words('/perception_node/detections')
    code, _ = node.end()
    assert code == 0
    loaded = node.said().rpartition('LOADED ')[2].split()
    packages = {name.partition('.')[0] for name in loaded}
    assert packages & RUNTIMES == {runtime}
    assert packages & FOREIGN == set()
    parts = {name.split('.')[1] for name in loaded if name.startswith('mtl_perception.')}
    assert 'inference' in parts and parts & OURS == set()


@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='looks into /proc')
def test_memory_of_started_node_is_bounded(start_node, ros_node, wait_until, runtime):
    if runtime == 'openvino':
        from mtl_perception.inference.openvino_runtime import OpenVinoRuntime
        if 'bf16' not in OpenVinoRuntime.facts().precisions:
            pytest.skip('in FP32 it takes more')
    states = []
    ros_node.create_subscription(DiagnosticArray, '/diagnostics', states.append, 10)
    node = start_node('perception_node', runtime=runtime)
    node.wait_for_words('/perception_node/detections')
    wait_until(lambda: len(states) > 1)
    status = Path(f'/proc/{node.process.pid}/status').read_text()
    anonymous = next(
        int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith('RssAnon'))
    print(f'{runtime}: {anonymous:.0f} MB of anonymous memory')
    assert anonymous < ANONYMOUS
    assert node.end()[0] == 0
