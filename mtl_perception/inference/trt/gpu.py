"""The GPU on which TensorRT runs; importing this needs neither CUDA nor TensorRT."""

from __future__ import annotations

from dataclasses import dataclass

from mtl_perception.errors import one_line, StartError
from mtl_perception.extras import remedy
from mtl_perception.inference.runtime import not_installed


@dataclass(frozen=True)
class Gpu:
    """A GPU."""

    name: str
    capability: tuple[int, int]
    """Compute capability, such as (8, 6)."""


def current_gpu() -> Gpu:
    """
    Return the GPU used by CUDA: the first one in CUDA_VISIBLE_DEVICES.

    Raises StartError if there is none, the driver does not support the installed CUDA, or CUDA's
    Python package is missing.
    """
    try:
        from cuda import bindings
        from cuda.bindings import runtime

        from mtl_perception.inference.trt.cuda import call
    except ModuleNotFoundError as error:
        raise not_installed(error) from None
    except (ImportError, OSError) as error:
        raise StartError(f'cuda.bindings does not load ({error})',
                         remedy('cuda') or '') from None
    cuda = bindings.__version__.partition('.')[0]
    try:
        code, count = runtime.cudaGetDeviceCount()
        why = '' if count else 'none is visible; see CUDA_VISIBLE_DEVICES'
    except (RuntimeError, OSError) as error:  # bindings of CUDA 12 without a driver
        code, why = runtime.cudaError_t.cudaSuccess, one_line(error)
    if code == runtime.cudaError_t.cudaErrorInsufficientDriver:
        why = f"NVIDIA's driver is missing, or too old for CUDA {cuda}"
    elif code != runtime.cudaError_t.cudaSuccess:
        why = code.name
    if why:
        raise StartError(
            f'no CUDA device ({why})',
            f"install NVIDIA's driver for CUDA {cuda} or newer and check it with nvidia-smi; "
            f'start a container with the GPU (docker run --gpus all, on a Jetson --runtime '
            f'nvidia)')
    device = call('cudaGetDevice')
    attributes = runtime.cudaDeviceAttr
    major, minor = (call('cudaDeviceGetAttribute', attribute, device) for attribute in (
        attributes.cudaDevAttrComputeCapabilityMajor,
        attributes.cudaDevAttrComputeCapabilityMinor))
    name = call('cudaGetDeviceProperties', device).name
    return Gpu(name.decode().rstrip('\0') if isinstance(name, bytes) else str(name),
               (major, minor))
