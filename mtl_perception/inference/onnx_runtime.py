"""The deployable graph in an ONNX file, run by ONNX Runtime on the CPU or a GPU."""

from __future__ import annotations

from collections.abc import Collection
import contextlib
from functools import partial
import io
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnxruntime

from mtl_perception.errors import one_line, StartError
from mtl_perception.graph_contract import INPUT, input_of, output_names, RawOutputs
from mtl_perception.inference.cache_folder import writable_cache_folder
from mtl_perception.inference.machine import CUDA_DRIVER, has_cuda_driver, loads
from mtl_perception.inference.onnx_arena import bind_outputs, first_run, take_what_is_needed
from mtl_perception.inference.onnx_file import read_onnx_header
from mtl_perception.inference.onnx_part import OnnxParts
from mtl_perception.inference.runtime import (
    MAX_BATCH,
    RuntimeFacts,
    RuntimeOptions,
    Say,
    usable_cores,
)
from mtl_perception.inference.split_batches import run_split
from mtl_perception.inference.task_graphs import TaskGraphs
from mtl_perception.spec import ModelSpec

_FATAL_ONLY = 4
_CPU, _CUDA = 'CPUExecutionProvider', 'CUDAExecutionProvider'
_TENSORRT, _TENSORRT_LIBRARY = 'TensorrtExecutionProvider', 'libnvinfer.so.10'

_Provider = str | tuple[str, dict[str, Any]]


class OnnxRuntime:
    """
    An ONNX Runtime session; see ``Runtime``.

    On a GPU it uses the execution providers TensorRT, if its library is found, and CUDA.
    """

    name: ClassVar[str] = 'onnxruntime'

    def __init__(self, path: Path, device: str, options: RuntimeOptions, say: Say) -> None:
        """Load the ONNX file `path`; see ``Runtime``."""
        header = read_onnx_header(path)
        self.spec = header.spec
        # Its CPU provider has few FP16 kernels: it casts weights and values to FP32.
        self.precision = ('fp32' if (device, header.precision) == ('cpu', 'fp16')
                          else header.precision)
        if options.precision not in ('auto', self.precision):
            raise StartError(f'it computes in {self.precision} as the model, '
                             f'not in {options.precision}')
        # Errors of a broken model are also raised as exceptions, which are reported.
        onnxruntime.set_default_logger_severity(_FATAL_ONLY)
        settings = onnxruntime.SessionOptions()
        settings.log_severity_level = _FATAL_ONLY
        # With an explicit number, ONNX Runtime does not pin its threads to the first cores of the
        # machine, which other processes use as well.
        settings.intra_op_num_threads = options.threads or usable_cores()
        settings.inter_op_num_threads = 1
        # Spinning threads take CPU time from the camera's driver, DDS and the next step of this
        # process. With all cores shared with another job, a run took 1.5 s without and 2.3 s with
        # spinning, and the steps after it 5 and 16 ms.
        settings.add_session_config_entry('session.intra_op.allow_spinning', '0')
        if device == 'cpu' and options.batch == 1:
            # Not for batches: the memory of a batch size that is only tried must be freed with it.
            take_what_is_needed(settings)
        complaints = _load_cuda() if device == 'cuda' else ''
        providers: list[_Provider] = (
            _gpu_providers(self.spec, options, say) if device == 'cuda' else [_CPU])
        parts = OnnxParts(path)
        whole = _Session(path, self.spec, settings, providers)
        self.device = 'cuda' if {_CUDA, _TENSORRT} & whole.providers else 'cpu'
        if self.device != device:
            raise StartError(
                f'ONNX Runtime can use no GPU{complaints and f" ({complaints})"}',
                'check the driver and the CUDA and cuDNN libraries, or select the device cpu')
        # On most CPUs, image by image is faster than a batch and needs the memory of one image
        # only.
        self.batch = options.batch if self.device == 'cpu' else MAX_BATCH
        self._graphs = TaskGraphs(
            self.spec, whole, lambda spec: _Session(
                parts.part(output_names(spec)), spec, settings, providers), say)

    @classmethod
    def facts(cls) -> RuntimeFacts:
        """Return what ONNX Runtime can do here; it computes in the number format of the model."""
        version = str(onnxruntime.__version__)
        if _CUDA not in onnxruntime.get_available_providers():
            missing = StartError('this ONNX Runtime is built without CUDA',
                                 'pip install onnxruntime-gpu instead of onnxruntime')
        elif not has_cuda_driver():
            missing = StartError(f'there is no CUDA driver ({CUDA_DRIVER})',
                                 'check it with nvidia-smi')
        else:
            return RuntimeFacts(version, ('cuda', 'cpu'), ('fp32', 'fp16', 'int8'))
        return RuntimeFacts(version, ('cpu',), ('fp32', 'int8'), {'cuda': missing})

    def run(self, images: np.ndarray, tasks: Collection[str] | None = None) -> RawOutputs:
        """Run the network; see ``Runtime.run``."""
        return run_split(partial(self._graphs.run, tasks=tasks), images, self.batch)


class _Session:
    """A graph in its own session; each run writes the outputs into the same memory."""

    def __init__(self, model: Path | bytes, spec: ModelSpec, settings: onnxruntime.SessionOptions,
                 providers: list[_Provider]) -> None:
        try:
            self._session = onnxruntime.InferenceSession(
                model if isinstance(model, bytes) else str(model), settings, providers=providers)
        except Exception as error:  # its exceptions have no common base class
            raise StartError(f'ONNX Runtime cannot load it ({one_line(error)})',
                             'export it again, or update onnxruntime') from None
        self.providers = {*self._session.get_providers()}
        self._is_on_cpu = self.providers == {_CPU}
        self._outputs = output_names(spec)
        self._bound: dict[int, tuple[Any, RawOutputs]] = {}

    def run(self, images: np.ndarray) -> RawOutputs:
        """Return all outputs; see ``Graph``."""
        count = len(images)
        options = None
        if count not in self._bound:
            binding = self._session.io_binding()
            outputs = bind_outputs(self._session, binding, count)
            if outputs is None:
                return self._unbound(images)
            self._bound[count] = binding, RawOutputs(**outputs)
            options = first_run() if self._is_on_cpu else None
        binding, raw = self._bound[count]
        binding.bind_cpu_input(INPUT, images)
        self._session.run_with_iobinding(binding, options)
        return raw

    def _unbound(self, images: np.ndarray) -> RawOutputs:
        """Run with newly allocated outputs, for a graph that does not declare their sizes."""
        values = self._session.run(self._outputs, {INPUT: images})
        return RawOutputs(**dict(zip(self._outputs, values, strict=True)))


def _load_cuda() -> str:
    """Load the CUDA libraries installed by pip; return in one line what is missing."""
    if not hasattr(onnxruntime, 'preload_dlls'):  # before 1.21
        return ''
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        onnxruntime.preload_dlls()
    return printed.getvalue().partition('\n')[0]


def _gpu_providers(spec: ModelSpec, options: RuntimeOptions, say: Say) -> list[_Provider]:
    """Return the execution providers for a GPU; each leaves unsupported nodes to the next."""
    providers: list[_Provider] = [_CUDA, _CPU]
    if _TENSORRT not in onnxruntime.get_available_providers():
        return providers
    if not loads(_TENSORRT_LIBRARY):  # ONNX Runtime would print a long warning
        return providers
    shape = [f'{INPUT}:{"x".join(map(str, (count, *input_of(spec).shape[1:])))}'
             for count in (1, 1, MAX_BATCH)]
    settings: dict[str, Any] = {
        f'trt_profile_{which}_shapes': text
        for which, text in zip(('min', 'opt', 'max'), shape, strict=True)}
    folder = writable_cache_folder(options.cache, OnnxRuntime.name, say)
    if folder is not None:
        settings |= {'trt_engine_cache_enable': True, 'trt_engine_cache_path': str(folder)}
    say('ONNX Runtime builds a TensorRT engine unless it is cached: this takes minutes')
    return [(_TENSORRT, settings), *providers]
