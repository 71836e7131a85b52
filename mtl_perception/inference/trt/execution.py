"""
Execution of an engine: one stream, page-locked buffers, a CUDA graph for each batch size.

A captured graph is valid for one shape and one context (CUDA Graphs in NVIDIA's TensorRT developer
guide), so each batch size has its own context. Contexts run one after the other and share the GPU
memory for activations.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from mtl_perception.errors import StartError
from mtl_perception.graph_contract import INPUT, input_of, outputs_of, RawOutputs
from mtl_perception.inference.runtime import Say
from mtl_perception.inference.trt.cuda import Buffer, DeviceMemory, Stream
from mtl_perception.inference.trt.parsing import sizes_of
from mtl_perception.spec import ModelSpec

if TYPE_CHECKING:
    import tensorrt as trt

    from mtl_perception.inference.trt.contexts import Contexts


class Executor:
    """Runs an engine on batches of any size; one thread at a time."""

    def __init__(self, engine: trt.ICudaEngine, contexts: Contexts, spec: ModelSpec,
                 say: Say) -> None:
        """
        Allocate memory for the largest batch of the engine.

        StartError if the GPU has not enough memory.
        """
        self._contexts = contexts
        self._say = say
        _, _, largest_input = engine.get_tensor_profile_shape(INPUT, 0)
        self.max_batch = sizes_of(largest_input)[0]
        self._stream = Stream()
        self._inner = DeviceMemory(engine.device_memory_size_v2)
        expected = input_of(spec)
        self._sizes = tuple(size for size in expected.shape[1:] if isinstance(size, int))
        self._input = Buffer((self.max_batch, *self._sizes), expected.dtype)
        largest = self._context(self.max_batch)
        self._outputs = {
            tensor.name: Buffer(sizes_of(largest.get_tensor_shape(tensor.name)), tensor.dtype)
            for tensor in outputs_of(spec)}
        self._steps: dict[int, Callable[[], None]] = {}

    def run(self, images: np.ndarray) -> RawOutputs:
        """
        Return the outputs for `images`, uint8 [B, H, W, 3]; see ``Graph``.

        Batches larger than the engine supports are split.
        """
        if len(images) <= self.max_batch:
            return RawOutputs(**self._turn(images))
        turns = [
            {name: part.copy() for name, part in self._turn(
                images[first:first + self.max_batch]).items()}
            for first in range(0, len(images), self.max_batch)]
        return RawOutputs(**{
            name: np.concatenate([turn[name] for turn in turns]) for name in self._outputs})

    def _turn(self, images: np.ndarray) -> dict[str, np.ndarray]:
        count = len(images)
        np.copyto(self._input.host[:count], images)
        if count not in self._steps:
            self._steps[count] = self._prepare(count)
        self._steps[count]()
        self._stream.wait()
        return {name: buffer.host[:count] for name, buffer in self._outputs.items()}

    def _prepare(self, count: int) -> Callable[[], None]:
        """Return a function that enqueues a run of `count` images."""
        context = self._context(count)
        for name, buffer in (*self._outputs.items(), (INPUT, self._input)):
            if not context.set_tensor_address(name, buffer.device.address):
                raise StartError(f'TensorRT rejects memory for {name} ({self._contexts.why()})')

        def enqueue() -> None:
            self._input.upload(count, self._stream)
            if not context.execute_async_v3(int(self._stream)):
                raise StartError(f'TensorRT does not run the engine ({self._contexts.why()})',
                                 'start again; if it stays, look for GPU errors in dmesg')
            for buffer in self._outputs.values():
                buffer.download(count, self._stream)

        # The first run loads kernels and allocates memory, which cannot be captured.
        enqueue()
        self._stream.wait()
        self._contexts.keep()
        # TensorRT for RTX reports it in advance.
        can_capture = getattr(context, 'is_stream_capturable', None)
        try:
            if can_capture is not None and not can_capture(int(self._stream)):
                raise StartError('TensorRT reports that it cannot be captured')
            return self._stream.capture(enqueue).launch
        except StartError as error:
            self._say(f'batches of {count} run without a CUDA graph ({error.reason})')
            return enqueue

    def _context(self, count: int) -> trt.IExecutionContext:
        """Return a new context for batches of `count`."""
        context = self._contexts.new()
        context.set_device_memory(self._inner.address, self._inner.size)
        if not context.set_input_shape(INPUT, (count, *self._sizes)):
            raise StartError(
                f'the engine rejects a batch of {count} images ({self._contexts.why()})')
        return context
