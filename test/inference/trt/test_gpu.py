import sys
from types import SimpleNamespace

import pytest

from mtl_perception.errors import StartError
from mtl_perception.inference.trt.gpu import current_gpu, Gpu

runtime = pytest.importorskip('cuda.bindings.runtime')
CODES = runtime.cudaError_t


@pytest.fixture
def answer(monkeypatch):
    """Return a function that has CUDA answer a question so."""
    def answer(name, function):
        monkeypatch.setattr(runtime, name, function)

    return answer


@pytest.mark.parametrize('code, why', [
    (CODES.cudaErrorInsufficientDriver, r"NVIDIA's driver is missing, or too old for CUDA \d+"),
    (CODES.cudaErrorNoDevice, 'cudaErrorNoDevice'),
    (CODES.cudaErrorSystemDriverMismatch, 'cudaErrorSystemDriverMismatch'),
    (CODES.cudaSuccess, 'none is visible; see CUDA_VISIBLE_DEVICES')])
def test_missing_device_names_reason_and_driver(answer, code, why):
    answer('cudaGetDeviceCount', lambda: (code, 0))
    with pytest.raises(StartError, match=rf"^no CUDA device \({why}\); install NVIDIA's driver "
                                         r'for CUDA \d+ or newer') as caught:
        current_gpu()
    assert '\n' not in str(caught.value)


def test_bindings_that_raise_without_driver(answer):
    def fail():
        raise RuntimeError('Failed to dlopen\nlibcuda.so.1')

    answer('cudaGetDeviceCount', fail)
    with pytest.raises(StartError, match=r'no CUDA device \(Failed to dlopen libcuda.so.1\)'):
        current_gpu()


def test_gpu_has_name_and_capability(answer):
    attributes = runtime.cudaDeviceAttr
    values = {attributes.cudaDevAttrComputeCapabilityMajor: 8,
              attributes.cudaDevAttrComputeCapabilityMinor: 7}
    answer('cudaGetDeviceCount', lambda: (CODES.cudaSuccess, 1))
    answer('cudaGetDevice', lambda: (CODES.cudaSuccess, 0))
    answer('cudaDeviceGetAttribute', lambda kind, device: (CODES.cudaSuccess, values[kind]))
    answer('cudaGetDeviceProperties',
           lambda device: (CODES.cudaSuccess, SimpleNamespace(name=b'Orin\0\0')))
    assert current_gpu() == Gpu('Orin', (8, 7))


def test_missing_cuda_package_names_remedy(monkeypatch):
    for name in [name for name in sys.modules if name.partition('.')[0] == 'cuda']:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, 'cuda', None)
    monkeypatch.delitem(sys.modules, 'mtl_perception.inference.trt.cuda', raising=False)
    with pytest.raises(StartError, match=r'cuda is not installed; .*\[tensorrt\]'):
        current_gpu()
