import subprocess
import sys

import pytest

# Frees and reallocates large blocks; prints the number of page faults.
PROGRAM = """
import ctypes, resource, sys
from mtl_perception.memory import keep_freed_memory
if sys.argv[1] != 'default':
    keep_freed_memory(everything=sys.argv[1] == 'everything')
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
size = int(sys.argv[2]) << 20
def faults(rounds):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(rounds):
        block = libc.malloc(size)
        ctypes.memset(block, 1, size)
        libc.free(block)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults(2)
print(faults(4))
"""


def faults(setting: str, mib: int) -> int:
    done = subprocess.run([sys.executable, '-c', PROGRAM, setting, str(mib)], check=True,
                          capture_output=True, text=True)
    return int(done.stdout)


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='a matter of glibc')
def test_freed_blocks_are_reused_without_page_faults():
    pages = 4 * 64 * 256
    assert faults('default', 64) > pages / 2  # otherwise the test has no effect
    assert faults('everything', 64) < 100
    assert faults('frames', 64) > pages / 2  # large blocks are returned
    assert faults('frames', 24) < 100


# Frees small blocks below a used top of the heap; prints the MB kept before and after.
HOLES = """
import os
from mtl_perception.memory import give_back_freed_memory, keep_freed_memory
def resident():
    with open('/proc/self/statm') as file:
        return int(file.read().split()[1]) * os.sysconf('SC_PAGE_SIZE') / 1e6
keep_freed_memory()
begin = resident()
blocks = [bytes(100_000) for _ in range(400)]
top = bytes(100_000)
del blocks
print(resident() - begin)
give_back_freed_memory()
print(resident() - begin)
"""


@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='a matter of glibc')
def test_memory_freed_at_start_is_returned():
    done = subprocess.run([sys.executable, '-c', HOLES], check=True, capture_output=True,
                          text=True)
    kept, after = map(float, done.stdout.split())
    assert kept > 30 and after < 5
