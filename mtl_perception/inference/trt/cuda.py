"""
CUDA calls with error checks, and resources that free themselves, on `cuda.bindings.runtime`.

A call returns its error code first; an error is raised as a StartError that names the call and the
code (CUDA Runtime API, https://docs.nvidia.com/cuda/cuda-runtime-api).
"""

from __future__ import annotations

from collections.abc import Callable
import ctypes
from typing import Any
import weakref

from cuda.bindings import runtime
import numpy as np

from mtl_perception.errors import one_line, StartError


def call(name: str, *arguments: object) -> Any:
    """
    Call the function `name` of the CUDA runtime.

    Returns its values without the code: None, a value or a tuple. Raises StartError if it fails.
    """
    try:
        code, *values = getattr(runtime, name)(*arguments)
    except (RuntimeError, OSError) as error:  # older bindings without a driver
        raise StartError(f'{name}: {one_line(error)}') from None
    if code != runtime.cudaError_t.cudaSuccess:
        # Clear the error: TensorRT checks it after its own calls.
        runtime.cudaGetLastError()
        raise StartError(f'{name}: {code.name} ({_text(code)})',
                         'start again; if it stays, look for GPU errors in dmesg')
    return values[0] if len(values) == 1 else tuple(values) or None


class Stream:
    """A queue of work for the GPU."""

    def __init__(self) -> None:
        """Create a stream that does not wait for the default stream."""
        self.handle = call('cudaStreamCreateWithFlags', runtime.cudaStreamNonBlocking)
        _free_with(self, 'cudaStreamDestroy', self.handle)

    def __int__(self) -> int:
        return int(self.handle)

    def wait(self) -> None:
        """Wait until its work is done; StartError if any of it failed."""
        call('cudaStreamSynchronize', self.handle)

    def capture(self, enqueue: Callable[[], object]) -> Graph:
        """
        Return the work that `enqueue` adds to this stream as a graph, without running it.

        Raises StartError, and restores the stream, if some of it cannot be captured.
        """
        mode = runtime.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        call('cudaStreamBeginCapture', self.handle, mode)
        try:
            enqueue()
        except BaseException:
            # A stream stays in capture mode until this call, even if the call fails.
            code, graph = runtime.cudaStreamEndCapture(self.handle)
            if code == runtime.cudaError_t.cudaSuccess:
                runtime.cudaGraphDestroy(graph)
            runtime.cudaGetLastError()
            raise
        graph = call('cudaStreamEndCapture', self.handle)
        try:
            return Graph(call('cudaGraphInstantiate', graph, 0), self)
        finally:
            runtime.cudaGraphDestroy(graph)


class Graph:
    """Work captured from a stream, run by a single launch."""

    def __init__(self, handle: Any, stream: Stream) -> None:
        """Use the instantiated graph."""
        self._handle = handle
        self._stream = stream
        _free_with(self, 'cudaGraphExecDestroy', handle)

    def launch(self) -> None:
        """Launch it in its stream."""
        call('cudaGraphLaunch', self._handle, self._stream.handle)


class DeviceMemory:
    """A block of GPU memory."""

    def __init__(self, size: int) -> None:
        """Allocate `size` bytes."""
        self.address = int(call('cudaMalloc', max(1, size)))
        self.size = size
        _free_with(self, 'cudaFree', self.address)


class Buffer:
    """An array in page-locked host memory, and a GPU buffer of the same size."""

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype) -> None:
        """Allocate memory for an array of this shape; its first axis is the batch."""
        size = int(np.prod(shape)) * dtype.itemsize
        self.device = DeviceMemory(size)
        address = int(call('cudaHostAlloc', max(1, size), runtime.cudaHostAllocDefault))
        _free_with(self, 'cudaFreeHost', address)
        self._image_bytes = size // shape[0]
        self._address = address
        memory = (ctypes.c_uint8 * size).from_address(address)
        self.host = np.frombuffer(memoryview(memory), np.uint8).view(dtype).reshape(shape)
        """The host array; it must not be used after this buffer is freed."""

    def upload(self, images: int, stream: Stream) -> None:
        """Enqueue the copy of the first `images` to the GPU."""
        call('cudaMemcpyAsync', self.device.address, self._address, images * self._image_bytes,
             runtime.cudaMemcpyKind.cudaMemcpyHostToDevice, stream.handle)

    def download(self, images: int, stream: Stream) -> None:
        """Enqueue the copy of the first `images` from the GPU."""
        call('cudaMemcpyAsync', self._address, self.device.address, images * self._image_bytes,
             runtime.cudaMemcpyKind.cudaMemcpyDeviceToHost, stream.handle)


def _free_with(owner: object, name: str, handle: Any) -> None:
    """Free `handle` by the function `name` when `owner` is deleted, but not at Python's exit."""
    weakref.finalize(owner, getattr(runtime, name), handle).atexit = False


def _text(code: Any) -> str:
    _, text = runtime.cudaGetErrorString(code)
    return text.decode() if isinstance(text, bytes) else str(text)
