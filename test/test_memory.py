import subprocess
import sys

import pytest

# Frees and takes large blocks again; prints the page faults that cost.
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


@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='a matter of glibc')
def test_freed_blocks_are_taken_again_without_page_faults():
    pages = 4 * 64 * 256
    assert faults('default', 64) > pages / 2  # or the test proves nothing
    assert faults('everything', 64) < 100
    assert faults('frames', 64) > pages / 2  # more than a frame takes goes back to the system
    assert faults('frames', 24) < 100
