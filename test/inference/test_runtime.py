import os

import pytest

from mtl_perception.errors import ConfigError, one_line
from mtl_perception.inference.runtime import RuntimeOptions, usable_cores


def test_invalid_option_lists_valid_values():
    with pytest.raises(ConfigError, match="no device 'npu'; the choices are auto, cpu, cuda"):
        RuntimeOptions(device='npu')
    with pytest.raises(ConfigError, match="no precision 'fp4'; the choices are auto, fp32, bf16"):
        RuntimeOptions(precision='fp4')
    for threads in (-1, 1000, True, 1.5):
        with pytest.raises(ConfigError, match=r'0\.\.256'):
            RuntimeOptions(threads=threads)


def test_usable_cores_follow_process_affinity():
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)


def test_one_line_joins_and_shortens_text():
    assert one_line(ValueError('a\n\t b')) == 'a b'
    assert len(one_line(ValueError('long ' * 999))) == 300
