import fcntl
import importlib.util
import os
from pathlib import Path
import re
import signal
import subprocess
import sys
import time

import pytest

from mtl_perception.shared_memory import remove_dead_segments


@pytest.fixture
def segment(tmp_path):
    """Return a function that creates an old segment of 1000 bytes with its lock."""
    def segment(name, age=3600.0):
        (tmp_path / name).write_bytes(bytes(1000))
        lock = tmp_path / f'{name}_el'
        lock.touch()
        os.utime(lock, (time.time() - age, time.time() - age))
        return lock

    return segment


def test_segments_of_ended_processes_are_removed(segment, tmp_path):
    segment('fastdds_0123456789abcdef')
    segment('fastrtps_0123456789abcdef')
    assert remove_dead_segments(tmp_path) == 2000
    assert list(tmp_path.iterdir()) == []


def test_used_segments_and_other_files_are_kept(segment, tmp_path):
    held = segment('fastdds_0000000000000001').open()
    fcntl.flock(held, fcntl.LOCK_EX)
    segment('fastdds_0000000000000002', age=1.0)
    segment('fastdds_port7412')
    segment('other_0000000000000003')
    (tmp_path / 'fastdds_0000000000000004_el').symlink_to(tmp_path / 'fastdds_port7412')
    before = sorted(tmp_path.iterdir())
    assert remove_dead_segments(tmp_path) == 0
    assert sorted(tmp_path.iterdir()) == before
    held.close()
    assert remove_dead_segments(tmp_path) == 1000


def test_missing_folder_is_ignored(tmp_path):
    assert remove_dead_segments(tmp_path / 'none') == 0


@pytest.mark.skipif(importlib.util.find_spec('rclpy') is None, reason='needs ROS 2 (rclpy)')
@pytest.mark.slow
def test_segment_of_killed_process_is_recognised(tmp_path):
    program = ('import os, rclpy; rclpy.init(); node = rclpy.create_node("x"); '
               'print("up", flush=True); os.read(0, 1)')
    process = subprocess.Popen([sys.executable, '-c', program], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, env=os.environ | {'ROS_DOMAIN_ID': '93'})
    assert process.stdout.readline() == b'up\n'
    held = [path.readlink() for path in Path(f'/proc/{process.pid}/fd').iterdir()]
    [lock] = [path for path in held if re.fullmatch(r'fast\w+_[0-9a-f]{16}_el', path.name)]
    os.utime(lock, (0, 0))
    remove_dead_segments()
    assert lock.exists(), 'its process lives'
    process.send_signal(signal.SIGKILL)
    process.communicate()
    remove_dead_segments()
    assert not lock.exists()
    assert not lock.with_name(lock.name.removesuffix('_el')).exists()
