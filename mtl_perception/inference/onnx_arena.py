"""
The memory in which ONNX Runtime computes on the CPU.

It takes memory in an arena, block by block in the first run of a shape; from the second run on it
has one block whose layout it has planned in the first. By default, blocks are powers of two, and
those of the first run stay: 107 MB for the shipped model, of which the plan needs 53.

Sessions of a node take turns, so one arena does for all of a process. The first run of a shape is
made with `first_run`, and into outputs of `bind_outputs`: a block in which an output lies could
not be given back.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import onnxruntime

_SHRINK, _CPU_ARENA = 'memory.enable_memory_arena_shrinkage', 'cpu:0'
"""Key and value of onnxruntime_run_options_config_keys.h."""
_SHARED_ARENA = 'session.use_env_allocators'
"""Key of onnxruntime_session_options_config_keys.h."""
_SAME_AS_REQUESTED = 1
"""`arena_extend_strategy` of OrtArenaCfg: take as much as is asked for."""
_DEFAULT = -1

_DTYPES = {'tensor(float)': np.float32, 'tensor(int32)': np.int32, 'tensor(uint8)': np.uint8}
"""ONNX Runtime's names of the types of outputs."""


def take_what_is_needed(settings: onnxruntime.SessionOptions) -> None:
    """Have the session of these `settings` take blocks of the size that it needs."""
    if _has_arena():
        settings.add_session_config_entry(_SHARED_ARENA, '1')


def first_run() -> onnxruntime.RunOptions:
    """Return options of the first run of a shape: its blocks are given back when it is over."""
    options = onnxruntime.RunOptions()
    options.add_run_config_entry(_SHRINK, _CPU_ARENA)
    return options


def bind_outputs(session: onnxruntime.InferenceSession, binding: onnxruntime.IOBinding,
                 batch: int) -> dict[str, np.ndarray] | None:
    """
    Bind memory outside the arena to all outputs, and return it: name -> array.

    It must be kept as long as the binding. None: the graph leaves sizes open besides the batch's.
    """
    outputs = {}
    for tensor in session.get_outputs():
        sizes = tensor.shape[1:]
        if tensor.type not in _DTYPES or not all(isinstance(size, int) for size in sizes):
            return None
        outputs[tensor.name] = np.empty((batch, *sizes), _DTYPES[tensor.type])
    for name, value in outputs.items():
        binding.bind_output(name, 'cpu', 0, value.dtype, value.shape, value.ctypes.data)
    return outputs


@cache
def _has_arena() -> bool:
    """Make the arena of all such sessions; return False where this ONNX Runtime does not."""
    memory = onnxruntime.OrtMemoryInfo(
        'Cpu', onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT)
    try:
        onnxruntime.create_and_register_allocator(
            memory, onnxruntime.OrtArenaCfg(0, _SAME_AS_REQUESTED, _DEFAULT, _DEFAULT))
    except Exception:  # its exceptions have no base class; the user's process may have one already
        return False
    return True
