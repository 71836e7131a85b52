"""Behaviour of the command `mtl` common to all subcommands."""

import os
import subprocess
import sys


def test_closed_pipe_exits_like_sigpipe():
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([sys.executable, '-m', 'mtl_perception.main', 'info'], stdout=writer,
                          stderr=subprocess.PIPE, text=True, timeout=60)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, '')  # as for a C program ended by SIGPIPE
