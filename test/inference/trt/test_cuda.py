import pytest

from mtl_perception.errors import StartError
from mtl_perception.inference.trt.gpu import current_gpu

runtime = pytest.importorskip('cuda.bindings.runtime')


def _has_gpu():
    try:
        current_gpu()
    except StartError:
        return False
    return True


def test_error_code_names_call_in_one_line():
    from mtl_perception.inference.trt.cuda import call
    with pytest.raises(StartError) as caught:
        call('cudaSetDevice', 1000)
    text = str(caught.value)
    assert text.startswith('cudaSetDevice: cudaError') and '\n' not in text


@pytest.mark.skipif(_has_gpu(), reason='there is a GPU, where test_tensorrt_runtime.py runs it')
@pytest.mark.parametrize('name, arguments', [
    ('cudaStreamCreateWithFlags', (runtime.cudaStreamNonBlocking,)),
    ('cudaStreamSynchronize', (runtime.cudaStream_t(0),)),
    ('cudaStreamBeginCapture', (
        runtime.cudaStream_t(0),
        runtime.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal)),
    ('cudaStreamEndCapture', (runtime.cudaStream_t(0),)),
    ('cudaGraphInstantiate', (runtime.cudaGraph_t(0), 0)),
    ('cudaGraphLaunch', (runtime.cudaGraphExec_t(0), runtime.cudaStream_t(0))),
    ('cudaMalloc', (16,)),
    ('cudaHostAlloc', (16, runtime.cudaHostAllocDefault)),
    ('cudaMemcpyAsync', (16, 32, 16, runtime.cudaMemcpyKind.cudaMemcpyHostToDevice,
                         runtime.cudaStream_t(0)))])
def test_real_bindings_accept_arguments_and_report_missing_driver(name, arguments):
    from mtl_perception.inference.trt.cuda import call
    with pytest.raises(StartError, match=f'{name}: cudaError'):
        call(name, *arguments)
