"""A checkpoint run by torch; the only module of `inference` that imports `models`."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import nn, Tensor

from mtl_perception.errors import one_line, StartError
from mtl_perception.graph_contract import check_batch, output_names, RawOutputs
from mtl_perception.inference.runtime import MAX_BATCH, RuntimeFacts, RuntimeOptions, Say
from mtl_perception.models.checkpoint import load_checkpoint
from mtl_perception.models.graph import DeployableGraph
from mtl_perception.spec import ModelSpec

_WARM_UPS = 3
"""Runs before a CUDA graph is captured, as required by torch's notes on CUDA graphs."""


class TorchRuntime:
    """The deployable graph in torch, on a GPU as one CUDA graph per batch size."""

    name: ClassVar[str] = 'torch'
    precision = 'fp32'
    _launch: Callable[[Tensor, tuple[str, ...]], tuple[Tensor, ...]]

    def __init__(self, path: Path, device: str, options: RuntimeOptions, say: Say) -> None:
        """Load the checkpoint `path`; sets torch's number of threads for the whole process."""
        if options.precision not in ('auto', 'fp32'):
            raise StartError(f'it computes in fp32, not {options.precision}')
        if options.threads:
            torch.set_num_threads(options.threads)
        spec, network = load_checkpoint(path)
        self._take(spec, network, device)
        if device == 'cuda':
            self._launch = _CudaGraphs(self._graph, say)

    @classmethod
    def of_network(cls, network: nn.Module, spec: ModelSpec, device: str) -> TorchRuntime:
        """
        Return a runtime of `network` itself, which is moved to the device and not copied.

        It may be trained further between two runs.
        """
        runtime = cls.__new__(cls)
        runtime._take(spec, network, device)
        return runtime

    @classmethod
    def facts(cls) -> RuntimeFacts:
        """Return the capabilities of torch on this machine."""
        if torch.cuda.is_available():
            return RuntimeFacts(torch.__version__, ('cuda', 'cpu'), ('fp32',))
        return RuntimeFacts(torch.__version__, ('cpu',), ('fp32',), {
            'cuda': StartError('torch finds no CUDA device', 'check the driver with nvidia-smi')})

    def _take(self, spec: ModelSpec, network: nn.Module, device: str) -> None:
        self.spec = spec
        self.device = device
        self.batch = MAX_BATCH
        self._graph = DeployableGraph(network, spec).eval().to(
            device, memory_format=torch.channels_last)
        self._launch = lambda images, tasks: self._graph(images.to(device), tasks)

    def run(self, images: np.ndarray, tasks: Collection[str] | None = None) -> RawOutputs:
        """Run the network; see ``Runtime.run``."""
        check_batch(images, self.spec)
        spec = self.spec if tasks is None else self.spec.only(tasks)
        if not images.flags.writeable:
            images = images.copy()  # torch has no read-only tensors
        with torch.inference_mode():
            outputs = self._launch(torch.from_numpy(images), spec.tasks)
            return RawOutputs(**{
                name: output.cpu().numpy()
                for name, output in zip(output_names(spec), outputs, strict=True)})


class _CudaGraphs:
    """
    The network as a CUDA graph, launched as a whole instead of kernel by kernel.

    There is one capture for each batch size and set of tasks.

    If the capture fails, kernels are launched one by one.
    """

    def __init__(self, graph: nn.Module, say: Say) -> None:
        self._graph = graph
        self._say = say
        self._captured: dict[
            tuple[int, tuple[str, ...]],
            tuple[torch.cuda.CUDAGraph, Tensor, tuple[Tensor, ...]]] = {}
        self._can_capture = True

    def __call__(self, images: Tensor, tasks: tuple[str, ...]) -> tuple[Tensor, ...]:
        """Return the outputs on the GPU for `images` on the CPU; valid until the next call."""
        key = len(images), tasks
        if key not in self._captured and self._can_capture:
            self._capture(images, tasks)
        if key not in self._captured:
            outputs: tuple[Tensor, ...] = self._graph(images.cuda(), tasks)
            return outputs
        graph, inputs, results = self._captured[key]
        inputs.copy_(images)
        graph.replay()
        return results

    def _capture(self, images: Tensor, tasks: tuple[str, ...]) -> None:
        inputs = images.cuda()
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UPS):
                self._graph(inputs, tasks)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                outputs = self._graph(inputs, tasks)
        except RuntimeError as error:
            self._can_capture = False
            self._say(f'torch captures no CUDA graph of this network ({one_line(error)}); it '
                      'runs kernel by kernel')
            return
        self._captured[len(images), tasks] = graph, inputs, outputs
