"""
A model file run directly by the runtime's library, as a reference without this package.

It uses the library's defaults, except for the number of threads, the number format and the device,
which are those of the network that it is compared with.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
import time
from typing import Any

import numpy as np

from mtl_perception.benchmark.subjects import Network
from mtl_perception.errors import StartError
from mtl_perception.graph_contract import INPUT, input_of
from mtl_perception.inference.letterbox import Canvas
from mtl_perception.inference.onnx_file import read_onnx_header
from mtl_perception.inference.results import Timings
from mtl_perception.inference.runtime import usable_cores

RUNTIMES = ('onnxruntime', 'openvino')
"""The supported runtimes, all on the CPU."""


class BareNetwork:
    """A network whose library is called directly; see ``worker.Ready``."""

    def __init__(self, network: Network) -> None:
        """Load the ONNX file `network.path`; StartError if its runtime is not supported."""
        if network.runtime not in RUNTIMES or network.device != 'cpu':
            raise StartError(f'there is no bare loop of {network.runtime} on {network.device}')
        header = read_onnx_header(Path(network.path))
        self._size = header.spec.input_size
        self._canvas = Canvas(self._size)
        threads = network.threads or usable_cores()
        shape = [1, *input_of(header.spec).shape[1:]]
        make = _onnxruntime if network.runtime == 'onnxruntime' else _openvino
        version, self._run = make(network, threads, shape)
        self.facts = {'runtime': network.runtime, 'version': version, 'device': 'cpu',
                      'precision': network.precision, 'input_size': list(self._size)}

    def run(self, image: np.ndarray) -> Timings:
        """Process a frame up to the raw outputs; see ``worker.Ready``."""
        begun = time.perf_counter()
        batch, _ = self._canvas.load([(image, 'bgr')])
        loaded = time.perf_counter()
        self._run(batch)
        return Timings(loaded - begun, time.perf_counter() - loaded, 0.0)


_Made = tuple[str, Callable[[np.ndarray], object]]


def _onnxruntime(network: Network, threads: int, shape: list[Any]) -> _Made:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(
        network.path, options, providers=['CPUExecutionProvider'])
    return onnxruntime.__version__, lambda images: session.run(None, {INPUT: images})


def _openvino(network: Network, threads: int, shape: list[Any]) -> _Made:
    import openvino

    core = openvino.Core()
    model = core.read_model(network.path)
    model.reshape({INPUT: shape})
    settings: dict[str, Any] = {'INFERENCE_NUM_THREADS': threads, 'PERFORMANCE_HINT': 'LATENCY'}
    hint = {'fp32': 'f32', 'bf16': 'bf16'}.get(network.precision.rpartition('/')[2])
    if hint:
        settings['INFERENCE_PRECISION_HINT'] = hint
    compiled = core.compile_model(model, 'CPU', settings)
    request = compiled.create_infer_request()
    version = openvino.__version__.partition('-')[0]
    return version, lambda images: request.infer({INPUT: images})
