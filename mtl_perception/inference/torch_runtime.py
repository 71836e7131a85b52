"""A checkpoint run by torch itself; the one place where `inference` reaches `models`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from mtl_perception.errors import ConfigError
from mtl_perception.inference.runtime import check_batch, RawOutputs
from mtl_perception.models.checkpoint import load_checkpoint
from mtl_perception.models.graph import DeployableGraph, output_names
from mtl_perception.spec import ModelSpec


class TorchRuntime:
    """The deployable graph in torch; see ``Runtime``."""

    name = 'torch'
    precision = 'fp32'

    def __init__(self, path: Path, device: str = 'auto', threads: int = 0) -> None:
        """
        Load the checkpoint `path`.

        `threads` is torch's, and so the whole process's. Raises ModelError where the file is no
        checkpoint of this package, ConfigError where `device` is 'cuda' and there is none.
        """
        if device == 'cuda' and not torch.cuda.is_available():
            raise ConfigError('device cuda: torch finds no CUDA device; take auto or cpu')
        if threads:
            torch.set_num_threads(threads)
        self._take(*load_checkpoint(path), device)

    @classmethod
    def of_network(cls, network: nn.Module, spec: ModelSpec, device: str = 'auto') -> TorchRuntime:
        """Return a runtime of `network` itself, which is moved to the device and not copied."""
        runtime = cls.__new__(cls)
        runtime._take(spec, network, device)
        return runtime

    def _take(self, spec: ModelSpec, network: nn.Module, device: str) -> None:
        self.spec = spec
        usable = torch.cuda.is_available() and device != 'cpu'
        self.device = 'cuda' if usable else 'cpu'
        self._graph = DeployableGraph(network, spec).eval().to(
            self.device, memory_format=torch.channels_last)

    def run(self, images: np.ndarray) -> RawOutputs:
        """Run the network; see ``Runtime.run``."""
        check_batch(images, self.spec)
        with torch.inference_mode():
            outputs = self._graph(torch.from_numpy(images).to(self.device))
            values = dict(zip(
                output_names(self.spec), (o.cpu().numpy() for o in outputs), strict=True))
        return RawOutputs(values.get('boxes'), values.get('scores'), values.get('classes'),
                          values.get('label_map'))
