"""Loading of engines, and the contexts in which they run."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from mtl_perception.errors import StartError
from mtl_perception.graph_contract import check_graph
from mtl_perception.inference.trt.engine_cache import EngineFolder, LoadError, slug
from mtl_perception.inference.trt.library import FLAVOUR, LOG, trt
from mtl_perception.inference.trt.parsing import found
from mtl_perception.spec import ModelSpec


class Loader:
    """Loads engines; it must live as long as they do."""

    def __init__(self) -> None:
        """Start TensorRT's runtime; StartError if it does not."""
        LOG.take()
        try:
            self._runtime = trt.Runtime(LOG)
        except (RuntimeError, TypeError):  # its constructor returned no object
            raise StartError(f'TensorRT {FLAVOUR} does not start ({LOG.take()})',
                             "check NVIDIA's driver with nvidia-smi") from None

    def load(self, data: memoryview) -> trt.ICudaEngine:
        """Return the engine; LoadError if TensorRT rejects it."""
        LOG.take()
        engine: trt.ICudaEngine | None = self._runtime.deserialize_cuda_engine(data)
        if engine is None:
            raise LoadError(LOG.take())
        return engine


def check_engine(engine: trt.ICudaEngine, spec: ModelSpec, where: Path) -> None:
    """Raise ModelError if the engine's inputs and outputs are not those of `spec`."""
    names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    inputs, outputs = (
        found((name, engine.get_tensor_dtype(name), engine.get_tensor_shape(name))
              for name in names if engine.get_tensor_mode(name) == mode)
        for mode in (trt.TensorIOMode.INPUT, trt.TensorIOMode.OUTPUT))
    check_graph(where, spec, inputs, outputs)


class Contexts:
    """
    Creates contexts of an engine; the caller provides their memory for activations.

    TensorRT for RTX compiles kernels on first use. They are cached beside the engine, in a file
    for this GPU only, and read at the next start.
    """

    def __init__(self, engine: trt.ICudaEngine, folder: EngineFolder, name: str,
                 gpu: str) -> None:
        """Use the engine, and the folder and name of its file."""
        self._engine = engine
        self._folder = folder
        self._name = f'{name.removesuffix(".engine")}-{slug(gpu)}.kernels'
        self._cache: Any = None
        self._kept = 0
        self._config = self._runtime_config() if FLAVOUR.is_rtx else None

    def new(self) -> trt.IExecutionContext:
        """Return a new context; StartError if there is not enough memory."""
        LOG.take()
        context: trt.IExecutionContext | None = self._engine.create_execution_context(
            self._config or trt.ExecutionContextAllocationStrategy.USER_MANAGED)
        if context is None:
            raise StartError(f'TensorRT {FLAVOUR} cannot run the engine ({LOG.take()})',
                             'free memory of the GPU')
        return context

    def why(self) -> str:
        """Return TensorRT's last error in one line."""
        return LOG.take()

    def keep(self) -> None:
        """Cache the kernels compiled since the last call."""
        if self._cache is None:
            return
        data = memoryview(self._cache.serialize())
        if data.nbytes == self._kept:
            return
        self._kept = data.nbytes
        # Without them the next start only takes longer.
        with contextlib.suppress(OSError):
            self._folder.write(self._name, data)

    def _runtime_config(self) -> Any:
        """Return the configuration that only TensorRT for RTX has, which the type stubs lack."""
        config: Any = self._engine.create_runtime_config()
        config.set_execution_context_allocation_strategy(
            trt.ExecutionContextAllocationStrategy.USER_MANAGED)
        # A captured graph keeps its kernels: they must be the final ones, not the generic ones
        # used until the final ones are compiled in the background.
        rtx: Any = trt
        config.dynamic_shapes_kernel_specialization_strategy = (
            rtx.DynamicShapesKernelSpecializationStrategy.EAGER)
        self._cache = config.create_runtime_cache()
        data = self._folder.read(self._name)
        if data is not None and self._cache.deserialize(data):
            self._kept = data.nbytes
        config.set_runtime_cache(self._cache)
        return config
