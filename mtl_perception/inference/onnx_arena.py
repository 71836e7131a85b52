"""
Limits on the memory arena in which ONNX Runtime computes on the CPU.

ONNX Runtime allocates from an arena, block by block in the first run of a shape; from the second
run on it uses a single block with the layout planned in the first. By default, block sizes are
powers of two, and the blocks of the first run are kept: 107 MB for the shipped model, of which the
plan needs 53.

The sessions of a node run one after the other, so one arena is shared by the process. The first
run of a shape uses the options of `first_run` and the outputs of `bind_outputs`, since a block
that contains an output could not be freed.
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
"""`arena_extend_strategy` of OrtArenaCfg: allocate the requested size."""
_DEFAULT = -1

_DTYPES = {'tensor(float)': np.float32, 'tensor(int32)': np.int32, 'tensor(uint8)': np.uint8}
"""ONNX Runtime's names of the types of outputs."""


def take_what_is_needed(settings: onnxruntime.SessionOptions) -> None:
    """Make the session of these `settings` allocate blocks of the required size."""
    if _has_arena():
        settings.add_session_config_entry(_SHARED_ARENA, '1')


def first_run() -> onnxruntime.RunOptions:
    """Return options for the first run of a shape, after which its blocks are freed."""
    options = onnxruntime.RunOptions()
    options.add_run_config_entry(_SHRINK, _CPU_ARENA)
    return options


def bind_outputs(session: onnxruntime.InferenceSession, binding: onnxruntime.IOBinding,
                 batch: int) -> dict[str, np.ndarray] | None:
    """
    Bind all outputs to memory outside the arena, and return it: name -> array.

    It must be kept as long as the binding. Returns None if sizes other than the batch are dynamic.
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
    """Create the arena shared by these sessions; return False if ONNX Runtime rejects it."""
    memory = onnxruntime.OrtMemoryInfo(
        'Cpu', onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT)
    try:
        onnxruntime.create_and_register_allocator(
            memory, onnxruntime.OrtArenaCfg(0, _SAME_AS_REQUESTED, _DEFAULT, _DEFAULT))
    except Exception:  # its exceptions have no base class; the process may have an arena already
        return False
    return True
