import os
import subprocess
import sys
import time

import numpy as np
import pytest

from mtl_perception.benchmark import machine

BURN = 'while True: pass'


def facts(**changes):
    return {**machine.describe(), 'governor': None, 'cores': 8, 'cpu_quota': None, **changes}


def test_machine_is_described() -> None:
    found = machine.describe()
    assert found['cores'] == len(os.sched_getaffinity(0))
    assert found['memory_bytes'] > found['memory_available_bytes'] > 0
    assert found['versions']['numpy'] == np.__version__
    assert found['versions']['python'] == '.'.join(map(str, sys.version_info[:3]))
    assert found['flags'] == sorted(set(found['flags']))


@pytest.mark.slow
def test_load_of_other_processes_is_separated_from_own() -> None:
    with subprocess.Popen([sys.executable, '-c', BURN]) as process:
        try:
            ours, others = machine.OtherWork([process.pid]), machine.OtherWork([])
            time.sleep(1.5)
            with_it, without_it = ours.share(), others.share()
        finally:
            process.kill()
    assert 0 <= with_it <= 1 and 0 <= without_it <= 1
    # It gets at least a fifth of a core on a loaded machine.
    assert without_it - with_it > 0.2 / len(os.sched_getaffinity(0))


def test_conditions_that_distort_times_give_warnings() -> None:
    assert machine.warnings(facts(), {'a': 0.02, 'b': None}) == []
    busy, = machine.warnings(facts(), {'a': 0.02, 'b': 0.4})
    assert '40%' in busy and 'during b:' in busy
    assert 'powersave' in machine.warnings(facts(governor='powersave'), {})[0]
    assert 'one core' in machine.warnings(facts(cores=1), {})[0]
    assert '1.5 of 8 cores' in machine.warnings(facts(cpu_quota=1.5), {})[0]
