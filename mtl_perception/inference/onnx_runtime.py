"""The deployable graph in an ONNX file, run by ONNX Runtime on the CPU or through CUDA."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import onnxruntime

from mtl_perception.errors import StartError
from mtl_perception.graph_contract import check_batch, INPUT, output_names, RawOutputs
from mtl_perception.inference.onnx_file import read_onnx_header
from mtl_perception.inference.runtime import (
    one_line,
    RuntimeFacts,
    RuntimeOptions,
    Say,
    usable_cores,
)

_ERRORS_ONLY = 3
_CPU, _CUDA = 'CPUExecutionProvider', 'CUDAExecutionProvider'


class OnnxRuntime:
    """An ONNX Runtime session; see ``Runtime``."""

    name: ClassVar[str] = 'onnxruntime'

    def __init__(self, path: Path, device: str, options: RuntimeOptions, say: Say) -> None:
        """Load the ONNX file `path`; see ``Runtime``."""
        header = read_onnx_header(path)
        self.spec = header.spec
        self.precision = header.precision
        if options.precision not in ('auto', self.precision):
            raise StartError(f'it computes in {self.precision} as the model, '
                             f'not in {options.precision}')
        # Its complaints about a broken model come back as exceptions too: those are shown.
        onnxruntime.set_default_logger_severity(_ERRORS_ONLY)
        settings = onnxruntime.SessionOptions()
        settings.log_severity_level = _ERRORS_ONLY + 1
        # Told a number, ONNX Runtime does not pin its threads to the first cores of the machine,
        # which other processes want too.
        settings.intra_op_num_threads = options.threads or usable_cores()
        settings.inter_op_num_threads = 1
        # Threads that spin while they wait take the cores from the camera's driver, from DDS and
        # from this process's own next step. With all cores shared with another job, a run took
        # 1.5 s without and 2.3 s with it, and what followed the run 5 and 16 ms.
        settings.add_session_config_entry('session.intra_op.allow_spinning', '0')
        providers = [_CUDA, _CPU] if device == 'cuda' else [_CPU]
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), settings, providers=providers)
        except Exception as error:  # its exceptions have no base class of their own
            raise StartError(f'ONNX Runtime cannot load it ({one_line(error)})',
                             'export it again, or update onnxruntime') from None
        self.device = 'cuda' if _CUDA in self._session.get_providers() else 'cpu'
        if self.device != device:
            raise StartError(
                'ONNX Runtime found no usable GPU',
                'check the driver and the CUDA and cuDNN libraries, or take the device cpu')
        self._outputs = list(output_names(self.spec))

    @classmethod
    def facts(cls) -> RuntimeFacts:
        """Return what ONNX Runtime can do here; it computes in the number format of the model."""
        version = str(onnxruntime.__version__)
        if _CUDA in onnxruntime.get_available_providers():
            return RuntimeFacts(version, ('cuda', 'cpu'), ('fp32', 'fp16', 'int8'))
        return RuntimeFacts(version, ('cpu',), ('fp32', 'int8'), {
            'cuda': StartError('this ONNX Runtime is built without CUDA',
                               'pip install onnxruntime-gpu instead of onnxruntime')})

    def run(self, images: np.ndarray) -> RawOutputs:
        """Run the network; see ``Runtime.run``."""
        check_batch(images, self.spec)
        values = self._session.run(self._outputs, {INPUT: images})
        return RawOutputs(**dict(zip(self._outputs, values, strict=True)))
