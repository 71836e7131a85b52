import platform
import subprocess
import sys

import pytest

from mtl_perception.inference import machine
from mtl_perception.inference.machine import may_compute_bf16

ZEN_2 = 'processor\t: 0\nflags\t\t: fpu sse4_2 avx avx2 fma\nbugs\t\t: spectre_v1\n'


@pytest.mark.skipif(platform.machine() not in ('x86_64', 'AMD64'), reason='flags of x86')
def test_cpu_without_avx512_has_no_bf16(tmp_path):
    info = tmp_path / 'cpuinfo'
    info.write_text(ZEN_2)
    assert not may_compute_bf16(info)
    for flag in ('avx512f', 'avx_ne_convert'):
        info.write_text(ZEN_2.replace('fma', flag))
        assert may_compute_bf16(info)


def test_unknown_cpu_features_are_assumed(tmp_path, monkeypatch):
    assert may_compute_bf16(tmp_path / 'missing')
    info = tmp_path / 'cpuinfo'
    info.write_text('processor\t: 0\n')
    assert may_compute_bf16(info)
    info.write_text(ZEN_2)
    monkeypatch.setattr(platform, 'machine', lambda: 'aarch64')
    assert may_compute_bf16(info)


def test_bf16_detection_agrees_with_openvino():
    runtime = pytest.importorskip('mtl_perception.inference.openvino_runtime')
    assert may_compute_bf16() or 'bf16' not in runtime.OpenVinoRuntime.facts().precisions


def test_driver_is_detected_by_loading(monkeypatch):
    monkeypatch.setattr(machine, 'CUDA_DRIVER', 'libno_such_driver.so.1')
    assert not machine.has_cuda_driver()
    # Any library that is there stands for the driver.
    monkeypatch.setattr(machine, 'CUDA_DRIVER', 'libc.so.6')
    assert machine.has_cuda_driver()


PROGRAM = """
import sys
from mtl_perception.inference import machine, registry
from mtl_perception.inference.registry import open_runtime
machine.CUDA_DRIVER = 'libno_such_driver.so.1'
registry.may_compute_bf16 = lambda: sys.argv[2] == 'bf16'
lines = []
print(open_runtime(sys.argv[1], say=lines.append).name)
print(lines[-1])
print(*sys.modules)
"""


@pytest.mark.parametrize('cpu, name, others', [
    ('bf16', 'openvino', {'onnxruntime'}), ('fp32', 'onnxruntime', {'openvino'})])
def test_auto_loads_only_selected_runtime(paint_model, cpu, name, others):
    runtime = pytest.importorskip('mtl_perception.inference.openvino_runtime')
    if cpu == 'bf16' and 'bf16' not in runtime.OpenVinoRuntime.facts().precisions:
        pytest.skip('this CPU does not compute in BF16')
    done = subprocess.run([sys.executable, '-c', PROGRAM, str(paint_model()), cpu],
                          capture_output=True, check=True, text=True)
    taken, said, modules = done.stdout.splitlines()
    assert taken == name
    assert 'tensorrt on cuda: there is no CUDA driver' in said
    assert 'onnxruntime on cuda: there is no CUDA driver' in said
    assert ('openvino on cpu: this CPU does not compute in bf16' in said) == (cpu == 'fp32')
    assert name in modules.split()
    assert not {'cuda', 'tensorrt', 'tensorrt_rtx', 'torch', *others} & {*modules.split()}
