"""Fixtures for ROS processes and test nodes, on a separate domain without network."""

from collections.abc import Callable, Iterator
import contextlib
from dataclasses import dataclass, field
import importlib.util
import json
import os
from pathlib import Path
import signal
import subprocess
import sys
import threading
import time
from typing import Any

import pytest

from mtl_perception.demo.processes import node_environment

# Without ROS 2, tests that do not need it still run.
if importlib.util.find_spec('rclpy') is None:
    collect_ignore_glob = ['test_[!p]*.py', 'test_pa*.py', 'test_pe*.py', 'test_pu*.py']


@pytest.fixture(scope='session', autouse=True)
def ros_environment(tmp_path_factory) -> Iterator[dict[str, str]]:
    """Return the environment of all processes of these tests, including this one."""
    before = dict(os.environ)
    os.environ.pop('ROS_DOMAIN_ID', None)
    environment = node_environment(tmp_path_factory.mktemp('logs'))
    os.environ.update(environment)
    yield environment
    for name in set(os.environ) - set(before):
        del os.environ[name]
    os.environ.update(before)


@dataclass
class NodeProcess:
    """A running executable of a node."""

    process: subprocess.Popen
    log: Path
    started: float = field(default_factory=time.monotonic)

    def said(self) -> str:
        return self.log.read_text(encoding='utf-8', errors='replace')

    def wait_for_words(self, words: str, seconds: float = 30.0) -> None:
        wait_until(lambda: words in self.said() or self.process.poll() is not None, seconds)
        assert words in self.said(), self.said()

    def end(self, number: int = signal.SIGINT) -> tuple[int, float]:
        """Send a signal; return exit code and the seconds until the end."""
        begin = time.monotonic()
        self.process.send_signal(number)
        return self.process.wait(20), time.monotonic() - begin

    def wait(self, seconds: float = 30.0) -> int:
        return self.process.wait(seconds)


StartProcess = Callable[..., NodeProcess]


@pytest.fixture
def start_process(tmp_path) -> Iterator[StartProcess]:
    """Return a function that starts a command with an environment; it ends with the test."""
    started: list[NodeProcess] = []

    def start(command: list[str], environment: dict[str, str]) -> NodeProcess:
        log = tmp_path / f'process_{len(started)}.log'
        with log.open('wb') as output:
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT,
                env=environment, start_new_session=True)
        started.append(NodeProcess(process, log))
        return started[-1]

    yield start
    for node in started:
        if node.process.poll() is None:
            node.process.kill()
        node.process.communicate()


@pytest.fixture
def start_node(start_process, ros_environment) -> StartProcess:
    """
    Return a function that starts the executable `name` with these ROS parameters.

    `before` is Python code that its process runs first.
    """
    def start(name: str, *arguments: str, environment: dict[str, str] = ros_environment,
              before: str = '', **parameters: Any) -> NodeProcess:
        module = f'mtl_perception.nodes.{name}'
        command = [sys.executable, '-m', module, '--ros-args', *arguments]
        if before:
            # Threads of modules imported by `before` must not receive the node's signals.
            command[1:3] = ['-c', (
                'import runpy, signal\n'
                'signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))\n'
                f'{before}\n'
                f'runpy.run_module({module!r}, run_name="__main__")')]
        for key, value in parameters.items():
            command += ['-p', f'{key}:={json.dumps(value)}']
        return start_process(command, environment)

    return start


def wait_until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait until `condition` holds; assertion error after the timeout."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f'not within {seconds} s'
        time.sleep(0.01)


@pytest.fixture(name='wait_until')
def wait_until_fixture() -> Callable[..., None]:
    """Return `wait_until`, for test modules, which cannot import this one."""
    return wait_until


@contextlib.contextmanager
def spinning_node(name: str) -> Iterator[Any]:
    """Make an rclpy node that spins in a separate thread."""
    import rclpy
    from rclpy.executors import SingleThreadedExecutor

    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node(name, context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    thread = threading.Thread(target=executor.spin, daemon=True)
    thread.start()
    yield node
    executor.shutdown()
    thread.join(5)
    node.destroy_node()
    rclpy.shutdown(context=context)


@pytest.fixture
def ros_node(ros_environment):
    """Return an rclpy node that spins in a separate thread."""
    with spinning_node('tester') as node:
        yield node


@pytest.fixture
def other_node(ros_environment):
    """Return another such node."""
    with spinning_node('other') as node:
        yield node


@pytest.fixture
def idle_node(ros_environment):
    """Return a function that creates rclpy nodes with parameters that are not spun."""
    import rclpy
    from rclpy.parameter import Parameter

    context = rclpy.Context()
    rclpy.init(context=context)
    nodes = []

    def make(**parameters):
        node = rclpy.create_node(f'idle_{len(nodes)}', context=context, parameter_overrides=[
            Parameter(name, value=value) for name, value in parameters.items()])
        nodes.append(node)
        return node

    yield make
    for node in nodes:
        node.destroy_node()
    rclpy.shutdown(context=context)


@pytest.fixture
def paint(paint_model):
    """Return the path of the model with known outputs."""
    return paint_model(size=(192, 128))


@pytest.fixture
def results(ros_node):
    """Return what the perception node publishes from now on."""
    from node_results import Results
    return Results(ros_node)


@pytest.fixture
def call(ros_node, wait_until):
    """Return a function that calls a service of the perception node."""
    def call(kind, name, **request):
        client = ros_node.create_client(kind, f'/perception_node/{name}')
        wait_until(client.service_is_ready)
        future = client.call_async(kind.Request(**request))
        wait_until(future.done)
        ros_node.destroy_client(client)
        return future.result()

    return call
