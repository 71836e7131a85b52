"""
A fake CUDA whose GPU memory is that of this process, to test the order of calls.

Work in a stream is deferred until the stream is synchronised, as on a GPU: reading a result
earlier gives the previous content. Work in a captured stream is added to a graph instead. Codes
and other constants are those of the real `cuda.bindings.runtime`.
"""

from collections import Counter
import ctypes
import re

import numpy as np

from mtl_perception.graph_contract import INPUT


class FakeRuntime:
    """The used functions of `cuda.bindings.runtime`."""

    def __init__(self, real):
        self.real = real
        self.calls = Counter()
        self.fails = {}
        """Name of a function -> the error code that it returns without any effect."""
        self.memory = {}
        self.live = set()
        """Handles and addresses that are not freed yet."""
        self.queue = []
        self.captured = None
        self.graphs = {}
        self.last_error = real.cudaError_t.cudaSuccess

    def __getattr__(self, name):
        method = 'do_' + re.sub('[A-Z]', lambda letter: f'_{letter[0].lower()}', name)
        if not hasattr(type(self), method):
            return getattr(self.real, name)

        def call(*arguments):
            self.calls[name] += 1
            code = self.fails.get(name)
            if code is not None:
                self.last_error = code
                if name == 'cudaStreamEndCapture':
                    self.captured = None
                return (code, *([None] if name in MAKERS else []))
            value = getattr(self, method)(*arguments)
            return (self.real.cudaError_t.cudaSuccess, *([] if value is None else [value]))

        return call

    def put(self, work):
        (self.queue if self.captured is None else self.captured).append(work)

    def made(self, handle):
        self.live.add(handle)
        return handle

    def do_cuda_stream_create_with_flags(self, flags):
        return self.made(7)

    def do_cuda_stream_destroy(self, stream):
        self.live.remove(stream)

    def do_cuda_malloc(self, size):
        memory = ctypes.create_string_buffer(size)
        address = ctypes.addressof(memory)
        self.memory[address] = memory
        return self.made(address)

    def do_cuda_free(self, address):
        self.live.remove(address)

    def do_cuda_host_alloc(self, size, flags):
        return self.do_cuda_malloc(size)

    def do_cuda_free_host(self, address):
        self.live.remove(address)

    def do_cuda_memcpy_async(self, target, source, size, kind, stream):
        assert stream == 7
        self.put(lambda: ctypes.memmove(target, source, size))

    def do_cuda_stream_synchronize(self, stream):
        assert self.captured is None
        for work in self.queue:
            work()
        self.queue = []

    def do_cuda_stream_begin_capture(self, stream, mode):
        self.captured = []

    def do_cuda_stream_end_capture(self, stream):
        work, self.captured = self.captured, None
        graph = f'graph {len(self.graphs)}'
        self.graphs[graph] = work
        return self.made(graph)

    def do_cuda_graph_instantiate(self, graph, flags):
        handle = f'instance of {graph}'
        self.graphs[handle] = self.graphs[graph]
        return self.made(handle)

    def do_cuda_graph_destroy(self, graph):
        self.live.remove(graph)

    def do_cuda_graph_exec_destroy(self, handle):
        self.live.remove(handle)

    def do_cuda_graph_launch(self, handle, stream):
        self.queue.extend(self.graphs[handle])

    def do_cuda_get_last_error(self):
        self.last_error = self.real.cudaError_t.cudaSuccess


MAKERS = {'cudaStreamCreateWithFlags', 'cudaMalloc', 'cudaHostAlloc', 'cudaStreamEndCapture',
          'cudaGraphInstantiate'}


class FakeEngine:
    """An engine whose outputs for an image are functions of its first pixel."""

    device_memory_size_v2 = 1000

    def __init__(self, runtime, height, width, max_batch):
        self.runtime = runtime
        self.height = height
        self.width = width
        self.max_batch = max_batch

    def get_tensor_profile_shape(self, name, profile):
        return [(count, self.height, self.width, 3) for count in (1, 1, self.max_batch)]


class FakeContext:
    """A context that, like a real one, cannot be captured before its first run."""

    def __init__(self, engine):
        self.engine = engine
        self.addresses = {}
        self.count = 0
        self.runs = 0
        self.inner = None

    def set_device_memory(self, address, size):
        assert size >= self.engine.device_memory_size_v2
        self.inner = address

    def set_input_shape(self, name, shape):
        assert name == INPUT and shape[1:] == (self.engine.height, self.engine.width, 3)
        self.count = shape[0]
        return shape[0] <= self.engine.max_batch

    def get_tensor_shape(self, name):
        return (self.count, *{
            'boxes': (6, 4), 'scores': (6,), 'classes': (6,),
            'label_map': (self.engine.height // 4, self.engine.width // 4)}[name])

    def set_tensor_address(self, name, address):
        self.addresses[name] = address
        return True

    def execute_async_v3(self, stream):
        runtime = self.engine.runtime
        if runtime.captured is not None and not self.runs:
            return False
        self.runs += 1
        runtime.put(self._compute)
        return True

    def _compute(self):
        assert self.inner is not None

        def array(name, kind, shape):
            memory = (ctypes.c_uint8 * (int(np.prod(shape)) * np.dtype(kind).itemsize))
            return np.frombuffer(
                memory.from_address(self.addresses[name]), kind).reshape(shape)

        images = array(INPUT, np.uint8, (self.count, self.engine.height, self.engine.width, 3))
        first = images[:, 0, 0].astype(np.float32)
        for name, kind in (('boxes', np.float32), ('scores', np.float32), ('classes', np.int32),
                           ('label_map', np.uint8)):
            if name in self.addresses:
                values = array(name, kind, self.get_tensor_shape(name))
                values[...] = first[:, {'boxes': 0, 'scores': 1, 'classes': 2}.get(name, 0)
                                    ].reshape(-1, *[1] * (values.ndim - 1))


class FakeContexts:
    def __init__(self, engine):
        self.engine = engine
        self.contexts = []
        self.kept = 0

    def new(self):
        self.contexts.append(FakeContext(self.engine))
        return self.contexts[-1]

    def keep(self):
        self.kept += 1

    def why(self):
        return 'it is tired'
