"""
Worker process that opens networks and processes frames.

Started by ``python -m mtl_perception.benchmark.worker``. It reads JSON lines from its standard
input and answers each with one on its standard output; output of libraries is redirected to
standard error. The first line names the networks to open:

    {"networks": [Network.to_dict(), ...], "frames": "FILE.npy", "limit_bytes": null}

`frames` is uint8 [N, H, W, 3] BGR; `limit_bytes` is set as RLIMIT_DATA before anything is loaded.
The answer is a `Facts`: start time, and the runtime of each network. Every further line requests
frames,

    {"frames": 4, "warm_up": 1}

and its answer is a `Turn`. A failure is answered by ``{"error": text, "kind": class}``, and the
process ends with exit code 1. It also ends with its input or its parent process.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
import ctypes
import json
import os
from pathlib import Path
import signal
import sys
import time
from typing import Any, BinaryIO, Protocol, TYPE_CHECKING

# Standard library only: the memory of modules loaded before the limit is not limited.
from mtl_perception.benchmark.subjects import BARE, MODEL, Network
from mtl_perception.errors import DataError, MtlError, one_line
from mtl_perception.unused_modules import leave_out_unused

if TYPE_CHECKING:
    import numpy as np

    from mtl_perception.inference.results import Timings
    from mtl_perception.inference.runtime import Runtime

# From Linux's prctl.h.
_PR_SET_PDEATHSIG = 1


class Ready(Protocol):
    """An open network."""

    facts: dict[str, Any]
    """'runtime', 'version', 'device', 'precision' and 'input_size' [width, height]."""

    def run(self, image: np.ndarray) -> Timings:
        """Process a decoded frame, uint8 [H, W, 3] BGR, up to the result."""
        ...


class PipelineNetwork:
    """A model file or a peer in the pipeline of node and commands."""

    def __init__(self, source: str | Runtime, network: Network) -> None:
        """Open the file `source`, or use a runtime; MtlError as in ``open_runtime``."""
        from mtl_perception.inference.pipeline import Pipeline
        from mtl_perception.inference.runtime import RuntimeOptions

        self._pipeline = Pipeline(source, runtime=RuntimeOptions(
            network.runtime, network.device, network.precision, network.threads,
            Path(network.cache) if network.cache else None))
        runtime = self._pipeline.runtime
        self.facts = {
            'runtime': runtime.name, 'version': runtime.facts().version,
            'device': runtime.device, 'precision': runtime.precision,
            'input_size': list(runtime.spec.input_size)}

    def run(self, image: np.ndarray) -> Timings:
        """Process a frame; see ``Ready``."""
        return self._pipeline.run(image, 'bgr').timings


def open_network(network: Network) -> Ready:
    """Open a network of any kind; MtlError if that fails."""
    if network.kind == MODEL:
        return PipelineNetwork(network.path, network)
    if network.kind == BARE:
        from mtl_perception.benchmark.bare import BareNetwork
        return BareNetwork(network)
    from mtl_perception.benchmark.peers import open_peer, Peer
    values = json.loads(network.peer)
    peer = Peer(**{**values, 'input_size': tuple(values['input_size'])})
    opened = open_peer(peer, network.runtime, network.precision, network.threads)
    return PipelineNetwork(opened.runtime, network)


class Frames:
    """
    Frames of a file, each read into the same buffer, as by a camera driver or decoder.

    A process thus holds one frame, whose pixels are cached by the CPU as far as they fit.
    """

    def __init__(self, path: str) -> None:
        """Open a .npy file, uint8 [N, H, W, 3]; DataError if it is not one."""
        import numpy as np

        try:
            stored = np.load(path, mmap_mode='r', allow_pickle=False)
        except (OSError, ValueError) as error:
            raise DataError(f'{path}: no frames ({error})') from None
        if not isinstance(stored, np.memmap) or stored.dtype != np.uint8 or stored.ndim != 4 \
                or stored.shape[3] != 3 or not stored.size:
            raise DataError(f'{path}: not frames, uint8 [N, H, W, 3]')
        self._count, self._begin = len(stored), stored.offset
        self._image = np.empty(stored.shape[1:], np.uint8)
        self._file = Path(path).open('rb', buffering=0)  # noqa: SIM115 (as long as the process)
        self._next = 0

    def read(self) -> np.ndarray:
        """Return the next frame, [H, W, 3]; the first follows the last."""
        self._file.seek(self._begin + self._next * self._image.nbytes)
        if self._file.readinto(self._image.reshape(-1).data) != self._image.nbytes:
            raise DataError('the file of frames is truncated')
        self._next = (self._next + 1) % self._count
        return self._image


def run_frames(networks: Sequence[Ready], frames: Frames, count: int, warm_up: int
               ) -> dict[str, Any]:
    """
    Run all networks on `count` frames one after the other, after `warm_up` uncounted ones.

    Returns the values of a `Turn`: for each frame the start of the first and the end of the last
    network in seconds of the system-wide clock, and the seconds of the stages, summed over the
    networks.
    """
    begins, ends = [], []
    stages: dict[str, list[float]] = {'preprocess': [], 'network': [], 'postprocess': []}
    for index in range(-warm_up, count):
        image = frames.read()
        begin = time.monotonic()
        timings = [network.run(image) for network in networks]
        end = time.monotonic()
        if index < 0:
            continue
        begins.append(begin)
        ends.append(end)
        for name, attribute in (('preprocess', 'preprocess'), ('network', 'run'),
                                ('postprocess', 'postprocess')):
            stages[name].append(sum(getattr(item, attribute) for item in timings))
    return {'begins': begins, 'ends': ends, 'stages': stages,
            'peak_bytes': peak_bytes(), 'cpu_seconds': time.process_time()}


def peak_bytes() -> int:
    """Return the peak resident memory of this process (VmHWM) in bytes."""
    for line in Path('/proc/self/status').read_text(encoding='utf-8').splitlines():
        if line.startswith('VmHWM:'):
            return int(line.split()[1]) * 1024
    return 0


def serve(requests: Iterator[str], answer: BinaryIO) -> None:
    """Answer the lines of `requests`, as in the module's docstring; MtlError on failure."""
    def say(values: dict[str, Any]) -> None:
        answer.write(json.dumps(values).encode() + b'\n')
        answer.flush()

    try:
        begun = time.monotonic()
        first = json.loads(next(requests))
        _limit(first.get('limit_bytes'))
        networks = [open_network(Network.from_dict(item)) for item in first['networks']]
        frames = Frames(first['frames'])
        say({'start_seconds': time.monotonic() - begun, 'peak_bytes': peak_bytes(),
             'networks': [network.facts for network in networks]})
        for line in requests:
            request = json.loads(line)
            say(run_frames(networks, frames, request['frames'], request.get('warm_up', 0)))
    except StopIteration:
        return
    except BrokenPipeError:
        # The parent has gone, so there is nobody to report to.
        os._exit(1)
    except BaseException as error:
        words = one_line(error, 2000)
        say({'error': words, 'kind': type(error).__name__})
        raise


def _limit(limit_bytes: int | None) -> None:
    if limit_bytes is not None:
        import resource
        resource.setrlimit(resource.RLIMIT_DATA, (limit_bytes, limit_bytes))


def end_with_parent() -> None:
    """Make the system kill this process when its parent ends."""
    try:
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    except (AttributeError, OSError):
        return


def main() -> int:
    """Serve standard input; return the exit code."""
    end_with_parent()
    leave_out_unused()
    # Output of libraries, including C code, must not be mixed with the answers.
    answer = os.fdopen(os.dup(1), 'wb')
    os.dup2(2, 1)
    try:
        serve(iter(sys.stdin.readline, ''), answer)
    except MtlError as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
