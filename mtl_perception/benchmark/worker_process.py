"""The parent's side of a worker: starts it, sends requests and ensures that it ends."""

from __future__ import annotations

from collections.abc import Sequence
import contextlib
from dataclasses import dataclass
import json
import os
from pathlib import Path
import select
import signal
import subprocess
import sys
import tempfile
import time
from types import TracebackType
from typing import Any

import numpy as np

from mtl_perception import errors
from mtl_perception.benchmark.subjects import Network
from mtl_perception.errors import MtlError, StartError

START_WITHIN = 1800.0
"""Timeout for opening networks in seconds: building a TensorRT engine takes minutes."""

ANSWER_WITHIN = 300.0
"""Timeout for processing frames in seconds."""

_KINDS = {name: value for name, value in vars(errors).items()
          if isinstance(value, type) and issubclass(value, MtlError)}


@dataclass(frozen=True)
class Facts:
    """A worker's answer after its networks are open."""

    start_seconds: float
    """Seconds from the first line until all networks are open, including compilation."""
    peak_bytes: int
    """As in `Turn`, up to then."""
    networks: tuple[dict[str, Any], ...]
    """The runtime of each; see ``worker.Ready``."""


@dataclass(frozen=True, eq=False)
class Turn:
    """A worker's answer to a request for frames."""

    begins: np.ndarray
    ends: np.ndarray
    """float64 [frames]: seconds of the system-wide clock (CLOCK_MONOTONIC)."""
    stages: dict[str, np.ndarray]
    """'preprocess', 'network', 'postprocess' -> seconds, float64 [frames]."""
    peak_bytes: int
    """Peak resident memory of the process, including its code, libraries and one frame."""
    cpu_seconds: float
    """CPU time of all its threads since its start."""

    @property
    def seconds(self) -> np.ndarray:
        """Seconds from decoded frame to result, float64 [frames]."""
        return self.ends - self.begins


class WorkerProcess:
    """
    A worker; the `with` block's end kills it.

    It has its own session, so that Ctrl-C in the terminal reaches this process only.
    """

    def __init__(self, environment: dict[str, str] | None = None) -> None:
        """
        Start the process; it loads nothing before `load`, so that limits can be set until then.

        `environment` is added to that of this process.
        """
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (closed by `close`)
        self._buffer = b''
        self._process = subprocess.Popen(
            [sys.executable, '-m', 'mtl_perception.benchmark.worker'], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=self._log, start_new_session=True,
            env={**os.environ, **(environment or {})})

    def __enter__(self) -> WorkerProcess:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """Process id of the worker."""
        return self._process.pid

    def load(self, networks: Sequence[Network], frames: Path, limit_bytes: int | None = None,
             within: float = START_WITHIN) -> Facts:
        """
        Open the networks, for frames of the .npy file `frames`: uint8 [N, H, W, 3] BGR.

        `limit_bytes` limits the process's data (RLIMIT_DATA), `within` is in seconds. Raises the
        errors of opening a network (StartError, ModelError, ...), and MtlError if the worker ends
        or does not answer.
        """
        answer = self._ask({'networks': [network.to_dict() for network in networks],
                            'frames': str(frames), 'limit_bytes': limit_bytes}, within)
        return Facts(answer['start_seconds'], answer['peak_bytes'], tuple(answer['networks']))

    def run(self, frames: int, warm_up: int = 0, within: float = ANSWER_WITHIN) -> Turn:
        """Process `frames` frames after `warm_up` ones; MtlError as in `load`."""
        self.ask(frames, warm_up)
        return self.answer(within)

    def ask(self, frames: int, warm_up: int = 0) -> None:
        """Send the request of `run` and return at once; `answer` must follow."""
        self._send({'frames': frames, 'warm_up': warm_up})

    def answer(self, within: float = ANSWER_WITHIN) -> Turn:
        """Return the answer to `ask`; MtlError as in `load`."""
        values = self._receive(within)
        return Turn(np.array(values['begins']), np.array(values['ends']),
                    {name: np.array(item) for name, item in values['stages'].items()},
                    values['peak_bytes'], values['cpu_seconds'])

    def close(self) -> None:
        """Kill the worker and wait for its end."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._log):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

    def _ask(self, request: dict[str, Any], within: float) -> dict[str, Any]:
        self._send(request)
        return self._receive(within)

    def _send(self, request: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        # If it has ended, its last answer contains the reason.
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(request).encode() + b'\n')
            self._process.stdin.flush()

    def _receive(self, within: float) -> dict[str, Any]:
        line = self._line(time.monotonic() + within)
        if line is None:
            self.close()
            raise MtlError(f'a process of the benchmark did not answer within {within:g} s')
        if not line:
            code = self._process.wait()
            raise MtlError(f'a process of the benchmark ended ({_fate(code)}): '
                           f'{self._last_words()}')
        values: dict[str, Any] = json.loads(line)
        if 'error' in values:
            kind, text = values['kind'], values['error']
            if kind not in _KINDS:
                raise MtlError(f'a process of the benchmark failed: {kind}: {text}')
            raise StartError(text) if kind == 'StartError' else _KINDS[kind](text)
        return values

    def _line(self, deadline: float) -> bytes | None:
        """Return the next line; None on timeout, empty at the end."""
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        while b'\n' not in self._buffer:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([descriptor], [], [], left)[0]:
                return None
            found = os.read(descriptor, 65536)
            if not found:
                return b''
            self._buffer += found
        line, _, self._buffer = self._buffer.partition(b'\n')
        return line

    def _last_words(self) -> str:
        self._log.seek(0)
        lines = self._log.read().decode(errors='replace').split('\n')
        return next((line.strip() for line in reversed(lines) if line.strip()), 'no message')


def _fate(code: int) -> str:
    if code < 0:
        with contextlib.suppress(ValueError):
            return signal.Signals(-code).name
    return f'exit code {code}'
