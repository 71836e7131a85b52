"""
The process around a node: memory, transport, signals, exit code.

Imports nothing heavy, so that a signal is in good hands from the first moment: the executables
import rclpy and the node itself only inside `run_node`.
"""

from __future__ import annotations

from collections.abc import Callable
import contextlib
import os
import signal
import sys
import threading
import time
from typing import Any, Protocol

from mtl_perception.errors import MtlError, one_line
from mtl_perception.extras import missing_package
from mtl_perception.memory import keep_freed_memory
from mtl_perception.nodes.early_signals import ENDING_SIGNALS, hold_signals
from mtl_perception.nodes.launched import end_with_launch
from mtl_perception.shared_memory import remove_dead_segments
from mtl_perception.transport import choose_transport
from mtl_perception.unused_modules import leave_out_unused


class Stop:
    """Asks a node's process to end; any thread may do so, once with the reason of a failure."""

    def __init__(self) -> None:
        self._asked = threading.Event()
        self._wake: Callable[[], None] = lambda: None
        self.error: MtlError | None = None

    def __call__(self, error: MtlError | None = None) -> None:
        """End the process: with exit code 1 and the line of `error` if given."""
        if not self._asked.is_set():
            self.error = error
            self._asked.set()
            self._wake()

    def asked(self) -> bool:
        return self._asked.is_set()

    def wait(self, seconds: float) -> bool:
        """Sleep for so long, or less where the process is to end; return whether it is."""
        return self._asked.wait(seconds)

    def on_ask(self, wake: Callable[[], None]) -> None:
        """Have `wake` called when the process is to end, at once where that is already so."""
        self._wake = wake
        if self.asked():
            wake()


class RunnableNode(Protocol):
    """What `run_node` needs of a node besides being an rclpy node."""

    def start(self) -> None:
        """Begin to work; MtlError ends the process with exit code 1."""

    def close(self) -> None:
        """Stop working, before the node is destroyed."""


def run_node(
        make: Callable[[Stop], RunnableNode], args: list[str] | None = None, *,
        exit_within: float = 0.9) -> int:
    """
    Run one node until it asks for the end or SIGINT or SIGTERM comes; return the exit code.

    `make` imports and makes the node. 0: ended by a signal or by itself. 1: a MtlError or
    a package that is missing, of which a line is on stderr, or the launch that started the process
    is gone. Where the node has not ended in good order `exit_within` seconds after a signal, the
    process just ends.
    """
    stop = Stop()
    _end_on_signals(stop, exit_within)
    if not end_with_launch():
        return 1
    keep_freed_memory()
    leave_out_unused()
    try:
        remove_dead_segments()
        transport = choose_transport(os.environ)
        os.environ.update(transport.environment)
        if transport.warning:
            print(f'warning: {transport.warning}', file=sys.stderr, flush=True)
        _spin(make, stop, args)
        if stop.error is not None:
            raise stop.error
    except MtlError as error:
        print(f'error: {error}', file=sys.stderr, flush=True)
        return 1
    except ModuleNotFoundError as error:
        missing = missing_package(error)
        if missing is None:
            raise
        print(f'error: {missing}', file=sys.stderr, flush=True)
        return 1
    return 0


def _spin(make: Callable[[Stop], RunnableNode], stop: Stop, args: list[str] | None) -> None:
    import rclpy
    from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
    from rclpy.signals import SignalHandlerOptions

    try:
        rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    except Exception as error:  # rclpy's own errors for command lines have no common class
        raise MtlError(one_line(error, 500)) from None
    with contextlib.ExitStack() as undo:
        undo.callback(rclpy.try_shutdown)
        if stop.asked():
            return
        node: Any = make(stop)
        undo.callback(node.destroy_node)
        undo.callback(node.close)
        # A multi-threaded executor lost most of a camera's frames in tests; work that takes
        # long goes to threads of the nodes' own.
        executor = SingleThreadedExecutor()
        executor.add_node(node)

        def wake() -> None:
            executor.create_task(lambda: None)

        stop.on_ask(wake)
        undo.callback(stop.on_ask, lambda: None)
        with contextlib.suppress(ExternalShutdownException):
            node.start()
            # Not `spin_until_future_complete`: Humble's continues until the next callback after
            # the future is done, and Jazzy's keeps memory for every callback until then.
            while rclpy.ok() and not stop.asked():
                executor.spin_once()


def _end_on_signals(stop: Stop, exit_within: float) -> None:
    """
    Turn SIGINT and SIGTERM into `stop`, and into the end of the process if that takes too long.

    A thread waits for the signals, which all others block: a Python handler would have to wait
    until the main thread returns from C code, such as loading a model or reading a camera.
    """
    hold_signals()

    def wait() -> None:
        signal.sigwait(ENDING_SIGNALS)
        stop()
        # Further signals are ignored: Ctrl-C in a terminal is sent once by the
        # terminal and once more from `ros2 launch`.
        time.sleep(exit_within)
        sys.stderr.flush()
        sys.stdout.flush()
        os._exit(0 if stop.error is None else 1)

    threading.Thread(target=wait, name='signals', daemon=True).start()
