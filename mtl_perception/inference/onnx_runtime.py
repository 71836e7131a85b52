"""The deployable graph in an ONNX file, run by ONNX Runtime on the CPU or through CUDA."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from mtl_perception.errors import ConfigError, ModelError
from mtl_perception.inference.onnx_file import read_onnx_header
from mtl_perception.inference.runtime import check_batch, RawOutputs, usable_cores
from mtl_perception.spec import ModelSpec

_ERRORS_ONLY = 3
_CUDA = 'CUDAExecutionProvider'


class OnnxRuntime:
    """An ONNX Runtime session; see ``Runtime``."""

    name = 'onnxruntime'

    def __init__(self, path: Path, device: str = 'auto', threads: int = 0) -> None:
        """
        Load the ONNX file `path`.

        Raises ModelError where it is not a model of this package that ONNX Runtime can run, and
        ConfigError where `device` is 'cuda' and there is none.
        """
        header = read_onnx_header(path)
        self.spec = header.spec
        self.precision = header.precision
        # Its complaints about a broken model come back as exceptions too: those are shown.
        onnxruntime.set_default_logger_severity(_ERRORS_ONLY)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = _ERRORS_ONLY + 1
        # Told a number, ONNX Runtime does not pin its threads to the first cores of the machine,
        # which other processes want too.
        options.intra_op_num_threads = threads or usable_cores()
        options.inter_op_num_threads = 1
        # Threads that spin while they wait take the cores from the camera's driver, from DDS and
        # from this process's own next step. With all cores shared with another job, a run took
        # 1.5 s without and 2.3 s with it, and what followed the run 5 and 16 ms.
        options.add_session_config_entry('session.intra_op.allow_spinning', '0')
        providers = ['CPUExecutionProvider']
        if device != 'cpu' and _CUDA in onnxruntime.get_available_providers():
            providers.insert(0, _CUDA)
        elif device == 'cuda':
            raise ConfigError(
                'device cuda: this ONNX Runtime has no CUDA; install onnxruntime-gpu, or take the '
                'device auto or cpu')
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=providers)
        except Exception as error:  # its exceptions have no base class of their own
            raise ModelError(
                f'{path}: ONNX Runtime cannot load it ({_one_line(error)}); export it again, or '
                f'update onnxruntime') from None
        self.device = 'cuda' if _CUDA in self._session.get_providers() else 'cpu'
        if device == 'cuda' and self.device != 'cuda':
            raise ConfigError(
                'device cuda: ONNX Runtime found no usable GPU; check the driver and the CUDA and '
                'cuDNN libraries, or take the device auto or cpu')
        _check_signature(path, self._session, self.spec)
        self._outputs = list(_output_signature(self.spec))

    def run(self, images: np.ndarray) -> RawOutputs:
        """Run the network; see ``Runtime.run``."""
        check_batch(images, self.spec)
        values = dict(zip(self._outputs, self._session.run(self._outputs, {'images': images}),
                          strict=True))
        return RawOutputs(values.get('boxes'), values.get('scores'), values.get('classes'),
                          values.get('label_map'))


def _output_signature(spec: ModelSpec) -> dict[str, tuple[str, tuple[int | None, ...]]]:
    """
    Return type and shape without the batch of each output of the deployable graph.

    None stands for the number of boxes: a small input has fewer than ``ModelSpec.candidates``.
    """
    width, height = spec.input_size
    outputs: dict[str, tuple[str, tuple[int | None, ...]]] = {}
    if spec.detection:
        outputs['boxes'] = ('tensor(float)', (None, 4))
        outputs['scores'] = ('tensor(float)', (None,))
        outputs['classes'] = ('tensor(int32)', (None,))
    if spec.segmentation:
        outputs['label_map'] = (
            'tensor(uint8)', (-(-height // spec.label_stride), -(-width // spec.label_stride)))
    return outputs


def _check_signature(path: Path, session: Any, spec: ModelSpec) -> None:
    """Raise ModelError where inputs or outputs of the graph are not those of its spec."""
    width, height = spec.input_size
    inputs: dict[str, tuple[str, tuple[int | None, ...]]] = {
        'images': ('tensor(uint8)', (height, width, 3))}
    for kind, nodes, expected in (
            ('inputs', session.get_inputs(), inputs),
            ('outputs', session.get_outputs(), _output_signature(spec))):
        found = {node.name: (node.type, node.shape) for node in nodes}
        if set(found) != set(expected):
            raise ModelError(
                f'{path}: the graph\'s {kind} are {", ".join(sorted(found))}; its spec asks for '
                f'{", ".join(sorted(expected))}; export it again')
        for name, (dtype, shape) in expected.items():
            got_dtype, got_shape = found[name]
            # A size that the exporter left open is a name or None, and the batch must be.
            fits = len(got_shape) == len(shape) + 1 and not isinstance(got_shape[0], int) and all(
                size == want for size, want in zip(got_shape[1:], shape, strict=True)
                if isinstance(size, int) and want is not None)
            if got_dtype != dtype or not fits:
                raise ModelError(
                    f'{path}: {name} is {got_dtype} {got_shape}; its spec asks for {dtype} '
                    f'{["batch", *("boxes" if size is None else size for size in shape)]}; '
                    f'export it again')


def _one_line(error: Exception) -> str:
    """Return the error's text as one line of bearable length."""
    text = ' '.join(str(error).split())
    return text if len(text) <= 300 else text[:297] + '...'
