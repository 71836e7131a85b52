"""
CUDA through `cuda.bindings.runtime`: each call is checked, each resource frees itself.

A call returns its error code first; anything but success becomes a StartError that names the
call and the code (CUDA Runtime API, https://docs.nvidia.com/cuda/cuda-runtime-api).
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

    Return what it returns beside the code: nothing, a value or a tuple. StartError: it failed.
    """
    try:
        code, *values = getattr(runtime, name)(*arguments)
    except (RuntimeError, OSError) as error:  # older bindings, where the driver is not there
        raise StartError(f'{name}: {one_line(error)}') from None
    if code != runtime.cudaError_t.cudaSuccess:
        # Or TensorRT, which looks for it after its own calls, would take it for its own.
        runtime.cudaGetLastError()
        raise StartError(f'{name}: {code.name} ({_text(code)})',
                         'start again; if it stays, look for GPU errors in dmesg')
    return values[0] if len(values) == 1 else tuple(values) or None


class Stream:
    """A queue of work for the GPU."""

    def __init__(self) -> None:
        """Make one that does not wait for the default stream."""
        self.handle = call('cudaStreamCreateWithFlags', runtime.cudaStreamNonBlocking)
        _free_with(self, 'cudaStreamDestroy', self.handle)

    def __int__(self) -> int:
        return int(self.handle)

    def wait(self) -> None:
        """Return when its work is done; StartError where any of it failed."""
        call('cudaStreamSynchronize', self.handle)

    def capture(self, enqueue: Callable[[], object]) -> Graph:
        """
        Return what `enqueue` puts into this stream as a graph; it does not run now.

        StartError: some of it cannot be captured; the stream is as before.
        """
        mode = runtime.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        call('cudaStreamBeginCapture', self.handle, mode)
        try:
            enqueue()
        except BaseException:
            # A stream stays in capture until this call, which may fail or not.
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
    """Work that was captured from a stream, to be run in it with one call."""

    def __init__(self, handle: Any, stream: Stream) -> None:
        """Take the instantiated graph."""
        self._handle = handle
        self._stream = stream
        _free_with(self, 'cudaGraphExecDestroy', handle)

    def launch(self) -> None:
        """Put it into its stream."""
        call('cudaGraphLaunch', self._handle, self._stream.handle)


class DeviceMemory:
    """Memory of the GPU."""

    def __init__(self, size: int) -> None:
        """Take `size` bytes."""
        self.address = int(call('cudaMalloc', max(1, size)))
        self.size = size
        _free_with(self, 'cudaFree', self.address)


class Buffer:
    """An array in page-locked memory of this machine, and as many bytes of the GPU's."""

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype) -> None:
        """Take memory for an array of this shape, first axis: images of a batch."""
        size = int(np.prod(shape)) * dtype.itemsize
        self.device = DeviceMemory(size)
        address = int(call('cudaHostAlloc', max(1, size), runtime.cudaHostAllocDefault))
        _free_with(self, 'cudaFreeHost', address)
        self._image_bytes = size // shape[0]
        self._address = address
        memory = (ctypes.c_uint8 * size).from_address(address)
        self.host = np.frombuffer(memoryview(memory), np.uint8).view(dtype).reshape(shape)
        """Its array; it must not be used after this buffer."""

    def upload(self, images: int, stream: Stream) -> None:
        """Put the copy of the first `images` to the GPU into the stream."""
        call('cudaMemcpyAsync', self.device.address, self._address, images * self._image_bytes,
             runtime.cudaMemcpyKind.cudaMemcpyHostToDevice, stream.handle)

    def download(self, images: int, stream: Stream) -> None:
        """Put the copy of the first `images` from the GPU into the stream."""
        call('cudaMemcpyAsync', self._address, self.device.address, images * self._image_bytes,
             runtime.cudaMemcpyKind.cudaMemcpyDeviceToHost, stream.handle)


def _free_with(owner: object, name: str, handle: Any) -> None:
    """Have the function `name` free `handle` once `owner` is gone, but not when Python ends."""
    weakref.finalize(owner, getattr(runtime, name), handle).atexit = False


def _text(code: Any) -> str:
    _, text = runtime.cudaGetErrorString(code)
    return text.decode() if isinstance(text, bytes) else str(text)
