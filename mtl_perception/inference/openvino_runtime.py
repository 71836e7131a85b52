"""The deployable graph in an ONNX file, compiled by OpenVINO for the CPU."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache, partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import openvino

from mtl_perception.errors import one_line, StartError
from mtl_perception.graph_contract import INPUT, input_of, output_names, RawOutputs
from mtl_perception.inference.cache_folder import writable_cache_folder
from mtl_perception.inference.onnx_file import read_onnx_header
from mtl_perception.inference.onnx_part import OnnxParts
from mtl_perception.inference.runtime import RuntimeFacts, RuntimeOptions, Say, usable_cores
from mtl_perception.inference.split_batches import run_split
from mtl_perception.inference.task_graphs import TaskGraphs
from mtl_perception.spec import ModelSpec

_HINTS = {'fp32': 'f32', 'bf16': 'bf16'}


class OpenVinoRuntime:
    """A model compiled by OpenVINO; see ``Runtime``."""

    name: ClassVar[str] = 'openvino'

    def __init__(self, path: Path, device: str, options: RuntimeOptions, say: Say) -> None:
        """Load the ONNX file `path`; see ``Runtime``."""
        header = read_onnx_header(path)
        self.spec = header.spec
        self.device = device
        usual, *others = self.facts().precisions
        computed = usual if options.precision == 'auto' else options.precision
        if computed not in (usual, *others):
            raise StartError(f'this CPU does not compute in {computed}', 'select precision fp32')
        # Quantised layers stay in INT8; all others are computed in the format of the hint.
        self.precision = f'int8/{computed}' if header.precision == 'int8' else computed
        settings: dict[str, Any] = {
            'PERFORMANCE_HINT': 'LATENCY',
            'INFERENCE_PRECISION_HINT': _HINTS[computed],
            'INFERENCE_NUM_THREADS': options.threads or usable_cores(),
            # Threads would be pinned to the first cores of the machine, which other processes use.
            'ENABLE_CPU_PINNING': False}
        folder = writable_cache_folder(options.cache, self.name, say)
        if folder is not None:
            settings['CACHE_DIR'] = str(folder)
        parts = OnnxParts(path)
        self.batch = options.batch
        self._graphs = TaskGraphs(
            self.spec, _Compiled(path, self.spec, settings, self.batch),
            lambda spec: _Compiled(parts.part(output_names(spec)), spec, settings, self.batch),
            say)

    @classmethod
    def facts(cls) -> RuntimeFacts:
        """Return the capabilities of OpenVINO on this CPU."""
        capabilities = _core().get_property('CPU', 'OPTIMIZATION_CAPABILITIES')
        return RuntimeFacts(
            openvino.__version__.partition('-')[0], ('cpu',),
            ('bf16', 'fp32', 'int8') if 'BF16' in capabilities else ('fp32', 'int8'))

    def run(self, images: np.ndarray, tasks: Collection[str] | None = None) -> RawOutputs:
        """Run the network; see ``Runtime.run``."""
        return run_split(partial(self._graphs.run, tasks=tasks), images, self.batch)


class _Compiled:
    """A compiled graph; its outputs are views of its own memory."""

    def __init__(self, model: Path | bytes, spec: ModelSpec, settings: dict[str, Any],
                 batch: int) -> None:
        try:
            graph = _core().read_model(model)
            # For one image: faster than with a dynamic batch size, and with a third less memory.
            graph.reshape({INPUT: [
                1 if batch == 1 else openvino.Dimension(1, batch), *input_of(spec).shape[1:]]})
            compiled = _core().compile_model(graph, 'CPU', settings)
        except Exception as error:  # its exceptions have no common base class
            raise StartError(f'OpenVINO cannot load it ({one_line(error)})',
                             'export it again, or update openvino') from None
        self._request = compiled.create_infer_request()
        self._outputs = output_names(spec)

    def run(self, images: np.ndarray) -> RawOutputs:
        """Return all outputs; see ``Graph``."""
        # Without `share_outputs` it would return copies of all outputs.
        self._request.infer({INPUT: images}, share_inputs=True, share_outputs=True)
        return RawOutputs(**{
            name: self._request.get_tensor(name).data for name in self._outputs})


@cache
def _core() -> openvino.Core:
    """
    Return the process's only Core, which is never freed.

    Its CPU plugin gives the thread an alternate signal stack. With several Cores, the thread may
    be left with a stack that has been freed, and the next signal (Ctrl-C, SIGCHLD) kills the
    process.
    """
    return openvino.Core()
