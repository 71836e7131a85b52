"""The nodes as processes, from their start to an orderly end."""

from __future__ import annotations

from collections.abc import Mapping
import contextlib
import importlib.util
import json
import os
from pathlib import Path
import random
import signal
import subprocess
import sys
import time
from types import TracebackType

from mtl_perception.errors import ConfigError, MtlError
from mtl_perception.extras import remedy

_END_WITHIN = 15.0
"""Seconds that a node gets to end; the recorder writes its index then."""


def node_environment(logs: Path) -> dict[str, str]:
    """
    Return this process's environment with a ROS domain of its own, kept to this machine.

    A domain and a discovery range that the user has set are kept. The transport is the nodes' own
    choice.
    """
    environment = dict(os.environ)
    # Domains up to 101 keep clear of the ports that Linux gives out by itself.
    environment.setdefault('ROS_DOMAIN_ID', str(random.SystemRandom().randint(1, 101)))
    if environment.get('ROS_DISTRO') == 'humble':
        environment.setdefault('ROS_LOCALHOST_ONLY', '1')
    else:
        environment.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    environment.setdefault('ROS_LOG_DIR', str(logs / 'ros'))
    # ROS 2 as wheels: the virtual environment is a prefix, whether it is activated or not.
    prefixes = environment.get('AMENT_PREFIX_PATH', '').split(os.pathsep)
    if (Path(sys.prefix) / 'share' / 'ament_index').is_dir() and sys.prefix not in prefixes:
        environment['AMENT_PREFIX_PATH'] = os.pathsep.join(filter(None, [sys.prefix, *prefixes]))
    environment['PYTHONUNBUFFERED'] = '1'
    return environment


class NodeProcesses:
    """
    Starts nodes and sees that none outlives the `with` block.

    Each has a session of its own: Ctrl-C in the terminal reaches this process alone, which then
    ends them in an order in which no data are lost.
    """

    def __init__(self, logs: Path) -> None:
        """Write the nodes' output to `logs`/NAME.log; ConfigError where ROS 2 is missing."""
        if importlib.util.find_spec('rclpy') is None:
            raise ConfigError(f'ROS 2 (rclpy) is not in this Python: {remedy("rclpy")}')
        self._logs = logs
        self.environment = node_environment(logs)
        """Environment variables of the nodes."""
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._asked: set[str] = set()

    def __enter__(self) -> NodeProcesses:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        # A second Ctrl-C must not leave processes behind.
        before = {number: signal.signal(number, signal.SIG_IGN)
                  for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
        try:
            for name in self._processes:
                self._ask(name)
            deadline = time.monotonic() + _END_WITHIN
            for process in self._processes.values():
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(max(0.0, deadline - time.monotonic()))
                if process.poll() is None:
                    process.kill()
                    process.wait()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def start(self, name: str, parameters: Mapping[str, object]) -> None:
        """Start the executable `name` of `mtl_perception.nodes` with ROS parameters."""
        arguments = [sys.executable, '-m', f'mtl_perception.nodes.{name}', '--ros-args']
        for key, value in parameters.items():
            # Parameters are parsed as YAML, of which JSON is a subset: no path needs quoting.
            arguments += ['-p', f'{key}:={json.dumps(value, ensure_ascii=False)}']
        self._logs.mkdir(parents=True, exist_ok=True)
        with (self._logs / f'{name}.log').open('wb') as log:
            self._processes[name] = subprocess.Popen(
                arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                env=self.environment, start_new_session=True)

    def running(self, name: str) -> bool:
        """Return whether the node still runs."""
        return self._processes[name].poll() is None

    def pid(self, name: str) -> int:
        """Return the process id of the node."""
        return self._processes[name].pid

    def check(self, may_end: str = '') -> None:
        """Raise MtlError with a node's own error where one has ended; `may_end` may, with 0."""
        for name, process in self._processes.items():
            code = process.poll()
            if code is None or name in self._asked or (code == 0 and name == may_end):
                continue
            raise MtlError(f'{name} ended ({_fate(code)}): {self.failure(name)}')

    def stop(self, name: str) -> None:
        """End a node and wait for it; MtlError where it did not end in good order."""
        self._ask(name)
        try:
            code = self._processes[name].wait(_END_WITHIN)
        except subprocess.TimeoutExpired:
            raise MtlError(
                f'{name} did not end within {_END_WITHIN:g} s; see {self.log(name)}') from None
        if code:
            raise MtlError(f'{name} ended ({_fate(code)}): {self.failure(name)}')

    def log(self, name: str) -> Path:
        """Return the file with the node's output."""
        return self._logs / f'{name}.log'

    def failure(self, name: str) -> str:
        """Return the error that a node which has ended printed, else its last line."""
        text = self.log(name).read_text(encoding='utf-8', errors='replace')
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith('error: ')]
        if errors:
            return errors[-1].removeprefix('error: ')
        return f'{lines[-1] if lines else "without output"} (see {self.log(name)})'

    def _ask(self, name: str) -> None:
        # Not SIGINT, which is ignored by what a shell starts in the background.
        self._asked.add(name)
        if self._processes[name].poll() is None:
            self._processes[name].send_signal(signal.SIGTERM)


def _fate(code: int) -> str:
    if code < 0:
        with contextlib.suppress(ValueError):
            return signal.Signals(-code).name
    return f'exit code {code}'
