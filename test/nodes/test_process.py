"""The process of a node, without ROS: signals are handled in any state of the node."""

import signal
import subprocess
import sys
import time

import pytest

from mtl_perception.errors import ConfigError
from mtl_perception.nodes.process import Stop

WITHOUT_ROS = """
import sys, time, types
from mtl_perception.errors import MtlError
from mtl_perception.nodes import process

def spin(make, stop, args):
    make(stop)

process._spin = spin
"""


def start(body: str) -> subprocess.Popen:
    process = subprocess.Popen(
        [sys.executable, '-c', WITHOUT_ROS + body], stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True)
    return process


@pytest.mark.slow
@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_process_inside_c_code(number):
    # sleep() of the C library without the interpreter lock, like a long forward pass.
    process = start("""
import ctypes
def make(stop):
    print('ready', flush=True)
    ctypes.CDLL(None).sleep(60)
sys.exit(process.run_node(make))
""")
    assert process.stdout.readline() == 'ready\n'
    begin = time.monotonic()
    process.send_signal(number)
    assert process.wait(10) == 0
    assert time.monotonic() - begin < 1.5
    assert process.stderr.read() == ''


def test_node_that_ends_in_time_is_not_killed():
    process = start("""
def make(stop):
    print('ready', flush=True)
    while not stop.asked():
        time.sleep(0.01)
    time.sleep(0.3)
    print('closed', flush=True)
sys.exit(process.run_node(make))
""")
    assert process.stdout.readline() == 'ready\n'
    process.send_signal(signal.SIGINT)
    time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 0
    assert process.stdout.read() == 'closed\n' and process.stderr.read() == ''


def test_user_error_gives_one_line_and_exit_code_1():
    process = start("""
def make(stop):
    raise MtlError('no such thing: mend it')
sys.exit(process.run_node(make))
""")
    out, error = process.communicate(timeout=10)
    assert (process.returncode, out, error) == (1, '', 'error: no such thing: mend it\n')


def test_thread_error_ends_process():
    process = start("""
def make(stop):
    stop(MtlError('the camera is gone'))
    stop(MtlError('and so am I'))
sys.exit(process.run_node(make))
""")
    _, error = process.communicate(timeout=10)
    assert (process.returncode, error) == (1, 'error: the camera is gone\n')


def test_image_transport_is_set_unless_user_sets_it():
    for given, expected, warned in (
            ('', 'fastdds.xml None', False), ('UDPv4', 'None UDPv4', False),
            ('LARGE_DATA', 'None LARGE_DATA', True)):
        process = start(f"""
import os
for name in [name for name in os.environ if name.startswith(('FAST', 'ROS_'))]:
    del os.environ[name]
if {given!r}:
    os.environ['FASTDDS_BUILTIN_TRANSPORTS'] = {given!r}
from mtl_perception.transport import profile_variable
def make(stop):
    file = os.environ.get(profile_variable(os.environ))
    print(file and os.path.basename(file), os.environ.get('FASTDDS_BUILTIN_TRANSPORTS'))
sys.exit(process.run_node(make))
""")
        out, error = process.communicate(timeout=10)
        assert out == f'{expected}\n'
        assert error.startswith('warning: FASTDDS_BUILTIN_TRANSPORTS=LARGE_DATA: ') == warned
        assert error.count('\n') == warned


def test_stop_wakes_waiters_even_if_set_before():
    stop, woken = Stop(), []
    assert not stop.asked() and not stop.wait(0.01)
    stop(ConfigError('first'))
    stop.on_ask(lambda: woken.append(True))
    assert woken == [True] and stop.wait(0)
    stop(ConfigError('second'))
    assert str(stop.error) == 'first' and woken == [True]
