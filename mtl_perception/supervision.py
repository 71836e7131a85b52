"""
Handling of the end of nodes in a launch.

`ros2 launch` by itself continues without a failed node and returns 0. Here a failed node is
restarted, or ends the launch with a non-zero exit code and the node's error as the last line.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
import re
import signal
import time

from launch.action import Action
from launch.actions import RegisterEventHandler, Shutdown, TimerAction
from launch.event_handlers import OnProcessExit, OnProcessIO, OnProcessStart
from launch.events.process import ProcessExited, ProcessIO, ProcessStarted
from launch.launch_context import LaunchContext
from launch.logging import get_logger
from launch_ros.actions import Node

SHUTDOWN, IGNORE = 'shutdown', 'ignore'
ON_EXIT = (SHUTDOWN, IGNORE)
"""Effects of the end of a node on the others."""

_MINUTE = 60.0

_END_GRACE = 1.0
"""Seconds between the normal end of a node and that of the others, so that the last image of a
camera is processed and recorded."""

_KEPT_OUTPUT = 8192
"""Bytes of a process's last output that are searched for its error."""

_ERROR = re.compile(r'^(?:error: |(?=[\w.]+(?:Error|Exception): ))(.*)$', re.MULTILINE)

_ASKED_TO_END = {-signal.SIGINT, -signal.SIGTERM, 128 + signal.SIGINT, 128 + signal.SIGTERM}
"""Exit codes of a process ended by a signal before its own signal handling was set up."""


class LaunchError(Exception):
    """Raised in a handler, it makes launch print the message in one line and return 1."""


class Supervisor:
    """Starts the nodes of a launch, and restarts them or ends the launch when they end."""

    def __init__(self, *, on_exit: str, respawn: bool, respawn_delay: float,
                 respawn_max_per_minute: int) -> None:
        """
        Read the launch arguments of these names.

        `respawn_delay` is in seconds. A node that fails more often than `respawn_max_per_minute`
        ends the launch.
        """
        self._on_exit = on_exit
        self._respawn = respawn
        self._delay = respawn_delay
        self._max_per_minute = respawn_max_per_minute
        self._logger = get_logger('supervisor')
        self._makers: dict[Action, Callable[..., Node] | None] = {}
        self._running: set[Action] = set()
        self._output: dict[Action, bytes] = {}
        self._failures: dict[str, list[float]] = {}
        self._failure = ''

    def handlers(self) -> list[Action]:
        """Return the actions that must precede those of the nodes."""
        return [RegisterEventHandler(handler) for handler in (
            OnProcessStart(on_start=self._started),
            OnProcessIO(on_stdout=self._said, on_stderr=self._said),
            OnProcessExit(on_exit=self._ended))]

    def watch(self, make: Callable[..., Node]) -> Node:
        """
        Create a node and handle its end.

        `make` is called once more, with `name=None`, for each new start.
        """
        node = make()
        self._makers[node] = make
        return node

    def tolerate(self, node: Node) -> Node:
        """Ignore the end of a node, but wait for it before the last line."""
        self._makers[node] = None
        return node

    def _started(self, event: ProcessStarted, context: LaunchContext) -> None:
        if event.action in self._makers:
            self._running.add(event.action)

    def _said(self, event: ProcessIO) -> None:
        if event.action in self._makers:
            known = self._output.get(event.action, b'')
            self._output[event.action] = (known + event.text)[-_KEPT_OUTPUT:]

    def _ended(self, event: ProcessExited, context: LaunchContext) -> list[Action]:
        if event.action not in self._makers:
            return []
        self._running.discard(event.action)
        make = self._makers.pop(event.action)
        output = self._output.pop(event.action, b'').decode(errors='replace')
        code = event.returncode
        actions: list[Action] = []
        if make is not None:
            name = event.action.node_executable
            errors = _ERROR.findall(output.replace('\r', ''))
            text = f'{name} failed ({_fate(code)})' + (f': {errors[-1]}' if errors else '')
            if context.is_shutdown:
                if code and code not in _ASKED_TO_END:
                    self._failure = self._failure or text
            elif code:
                actions = self._after_failure(name, text, make)
            else:
                actions = self._after_end(name)
        if self._failure and not self._running:
            raise LaunchError(self._failure)
        return actions

    def _after_end(self, name: str) -> list[Action]:
        if self._on_exit == IGNORE:
            self._logger.info(f'{name} has ended; the others go on (on_exit:={IGNORE})')
            return []
        self._logger.info(f'{name} has ended, and so does the launch (on_exit:={SHUTDOWN})')
        return [TimerAction(period=_END_GRACE, actions=[Shutdown(reason=f'{name} has ended')])]

    def _after_failure(self, name: str, text: str, make: Callable[..., Node]) -> list[Action]:
        if self._respawn:
            now = time.monotonic()
            recent = [at for at in self._failures.get(name, []) if at > now - _MINUTE]
            self._failures[name] = [*recent, now]
            if len(recent) < self._max_per_minute:
                self._logger.warning(
                    f'{text}; starts again in {self._delay:g} s (start {len(recent) + 1} of at '
                    f'most {self._max_per_minute} a minute)')
                # launch_ros counts names during the whole launch and would warn about two nodes
                # with the same name; our nodes set their names themselves.
                again = self.watch(partial(make, name=None))
                return [TimerAction(period=self._delay, actions=[again])]
            text += (f'; failure {len(recent) + 1} within a minute, more than '
                     f'respawn_max_per_minute:={self._max_per_minute} allows')
        elif self._on_exit == IGNORE:
            self._logger.error(f'{text}; the others go on (on_exit:={IGNORE})')
            self._failure = self._failure or text
            return []
        self._failure = self._failure or text
        return [Shutdown(reason=text)]


def _fate(code: int) -> str:
    if code < 0:
        try:
            return signal.Signals(-code).name
        except ValueError:
            return f'signal {-code}'
    return f'exit code {code}'
