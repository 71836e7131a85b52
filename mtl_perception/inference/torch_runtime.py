"""A checkpoint run by torch itself; the one place where `inference` reaches `models`."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import nn

from mtl_perception.errors import StartError
from mtl_perception.graph_contract import check_batch, output_names, RawOutputs
from mtl_perception.inference.runtime import RuntimeFacts, RuntimeOptions, Say
from mtl_perception.models.checkpoint import load_checkpoint
from mtl_perception.models.graph import DeployableGraph
from mtl_perception.spec import ModelSpec


class TorchRuntime:
    """The deployable graph in torch; see ``Runtime``."""

    name: ClassVar[str] = 'torch'
    precision = 'fp32'

    def __init__(self, path: Path, device: str, options: RuntimeOptions, say: Say) -> None:
        """Load the checkpoint `path`; the number of threads is torch's, so the whole process's."""
        if options.precision not in ('auto', 'fp32'):
            raise StartError(f'it computes in fp32, not {options.precision}')
        if options.threads:
            torch.set_num_threads(options.threads)
        self._take(*load_checkpoint(path), device)

    @classmethod
    def of_network(cls, network: nn.Module, spec: ModelSpec, device: str) -> TorchRuntime:
        """Return a runtime of `network` itself, which is moved to the device and not copied."""
        runtime = cls.__new__(cls)
        runtime._take(spec, network, device)
        return runtime

    @classmethod
    def facts(cls) -> RuntimeFacts:
        """Return what torch can do here."""
        if torch.cuda.is_available():
            return RuntimeFacts(torch.__version__, ('cuda', 'cpu'), ('fp32',))
        return RuntimeFacts(torch.__version__, ('cpu',), ('fp32',), {
            'cuda': StartError('torch finds no CUDA device', 'check the driver with nvidia-smi')})

    def _take(self, spec: ModelSpec, network: nn.Module, device: str) -> None:
        self.spec = spec
        self.device = device
        self._graph = DeployableGraph(network, spec).eval().to(
            device, memory_format=torch.channels_last)

    def run(self, images: np.ndarray) -> RawOutputs:
        """Run the network; see ``Runtime.run``."""
        check_batch(images, self.spec)
        with torch.inference_mode():
            outputs = self._graph(torch.from_numpy(images).to(self.device))
            return RawOutputs(**{
                name: output.cpu().numpy()
                for name, output in zip(output_names(self.spec), outputs, strict=True)})
