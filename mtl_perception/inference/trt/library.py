"""
The TensorRT library: importing this module loads it; StartError if that fails.

Types are those of TensorRT 10 (`tensorrt-stubs`), which also apply to TensorRT for RTX.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from mtl_perception.errors import one_line, StartError
from mtl_perception.inference.trt.flavour import Flavour, load

if TYPE_CHECKING:
    import tensorrt as trt

    FLAVOUR: Flavour
else:
    FLAVOUR, trt = load()


class ErrorLog(trt.ILogger):
    """Keeps TensorRT's last errors, drops other messages and prints nothing."""

    def __init__(self) -> None:
        """Start without errors."""
        super().__init__()
        self._errors: deque[str] = deque(maxlen=20)

    def log(self, severity: trt.ILogger.Severity, msg: str) -> None:
        """Receive a message from any thread of TensorRT."""
        if severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
            self._errors.append(msg)

    def take(self) -> str:
        """Return the first error since the last call, which is the cause, in one line."""
        errors = list(self._errors)
        self._errors.clear()
        return one_line(Exception(without_echo(errors[0]))) if errors else 'no reason given'


LOG = ErrorLog()
"""TensorRT keeps its first logger for the whole process, so there is only one."""


def without_echo(text: str) -> str:
    """
    Return an error of TensorRT without the CUDA error that it appends if there is no driver.

    It appends the same CUDA error to all others, and also reports it separately.
    """
    lines = [line for line in text.splitlines() if not line.startswith('[checkMacros')]
    return ' '.join(lines) or text


def new_builder() -> trt.Builder:
    """Return a builder; StartError if TensorRT cannot create one, for example without a GPU."""
    LOG.take()
    try:
        return trt.Builder(LOG)
    except (RuntimeError, TypeError):  # its constructor returned no object
        raise StartError(f'TensorRT {FLAVOUR} does not start ({LOG.take()})',
                         "check NVIDIA's driver with nvidia-smi") from None
