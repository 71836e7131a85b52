"""What the command `mtl` does whatever the subcommand."""

import os
import subprocess
import sys


def test_a_reader_that_goes_away_is_no_failure():
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([sys.executable, '-m', 'mtl_perception.main', 'info'], stdout=writer,
                          stderr=subprocess.PIPE, text=True, timeout=60)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, '')  # as of a program of C that ends by SIGPIPE
