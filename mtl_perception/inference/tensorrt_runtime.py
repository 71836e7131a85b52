"""
The deployable graph in an ONNX file, compiled by TensorRT for the GPU.

The engine is built at the first start, which takes minutes on a Jetson, and cached; see
``mtl_perception.inference.trt.engine_cache``, and `mtl build-engine` to build it in advance. A
single task has its own engine.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import ClassVar

import numpy as np

from mtl_perception.errors import StartError
from mtl_perception.graph_contract import output_names, RawOutputs
from mtl_perception.inference.cache_folder import cache_folder
from mtl_perception.inference.onnx_file import read_onnx_header
from mtl_perception.inference.onnx_part import OnnxParts
from mtl_perception.inference.runtime import MAX_BATCH, RuntimeFacts, RuntimeOptions, Say
from mtl_perception.inference.task_graphs import TaskGraphs
from mtl_perception.inference.trt import flavour
from mtl_perception.inference.trt.engine_cache import engine_name, EngineFolder, open_engine
from mtl_perception.inference.trt.gpu import current_gpu
from mtl_perception.spec import ModelSpec

# Modules that load TensorRT are imported only if there is a GPU.

_PRECISIONS = ('fp32', 'fp16', 'bf16', 'int8')


class TensorRtRuntime:
    """An engine of TensorRT, or of TensorRT for RTX; see ``Runtime``."""

    name: ClassVar[str] = 'tensorrt'

    def __init__(self, path: Path, device: str, options: RuntimeOptions, say: Say) -> None:
        """Load the ONNX file `path`, building its engine if necessary; see ``Runtime``."""
        header = read_onnx_header(path)
        self.spec = header.spec
        self.device = device
        self.precision = header.precision
        self.batch = MAX_BATCH
        if options.precision not in ('auto', self.precision):
            raise StartError(f'it computes in {self.precision} as the model, '
                             f'not in {options.precision}')
        gpu = current_gpu()
        from mtl_perception.inference.trt import building, contexts
        from mtl_perception.inference.trt.execution import Executor
        from mtl_perception.inference.trt.library import FLAVOUR

        building.check_capability(gpu.capability)
        folder = EngineFolder(cache_folder(options.cache, self.name), say)
        # It must live as long as the engines that it loads.
        self._loader = contexts.Loader()

        def graph(model: bytes, spec: ModelSpec) -> Executor:
            name = engine_name(model, FLAVOUR, gpu.capability, gpu.name, MAX_BATCH)
            engine = open_engine(
                folder, name,
                lambda: building.build(model, spec, path, gpu.capability, MAX_BATCH, say),
                self._loader.load, say)
            contexts.check_engine(engine, spec, path)
            return Executor(
                engine, contexts.Contexts(engine, folder, name, gpu.name), spec, say)

        parts = OnnxParts(path)
        self._graphs = TaskGraphs(
            self.spec, graph(parts.whole(), self.spec),
            lambda spec: graph(parts.part(output_names(spec)), spec), say)

    @classmethod
    def facts(cls) -> RuntimeFacts:
        """
        Return the capabilities of TensorRT on this machine; it computes in the model's number
        format.

        CUDA is queried first: without a GPU, TensorRT is not loaded.
        """
        found = flavour.flavour()
        try:
            gpu = current_gpu()
        except StartError as error:
            return RuntimeFacts(str(found), (), (), {'cuda': error})
        from mtl_perception.inference.trt.building import check_capability
        from mtl_perception.inference.trt.library import FLAVOUR

        try:
            check_capability(gpu.capability)
        except StartError as error:
            return RuntimeFacts(str(FLAVOUR), (), (), {'cuda': error})
        return RuntimeFacts(str(FLAVOUR), ('cuda',), _PRECISIONS)

    def run(self, images: np.ndarray, tasks: Collection[str] | None = None) -> RawOutputs:
        """
        Run the network; see ``Runtime.run``.

        Batches larger than the engine supports are split. Raises StartError if CUDA fails.
        """
        return self._graphs.run(images, tasks)
