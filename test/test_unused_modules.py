import subprocess
import sys

import pytest

PROGRAM = """
import sys
if sys.argv[1] == 'ours':
    from mtl_perception.unused_modules import leave_out_unused
    leave_out_unused()
import openvino
print(sys.modules.get('openvino.tools.ovc') is not None, 'openvino_telemetry' in sys.modules)
openvino.Core()
"""


@pytest.mark.parametrize('process, loads', [('ours', False), ('theirs', True)])
def test_openvino_is_loaded_without_converter(process, loads):
    pytest.importorskip('openvino')
    pytest.importorskip('openvino.tools.ovc')
    done = subprocess.run([sys.executable, '-c', PROGRAM, process], capture_output=True,
                          check=True, text=True, env={'CI': 'true'})
    assert done.stdout.split()[0] == str(loads)
    assert process == 'theirs' or done.stdout.split()[1] == 'False'


def test_library_does_not_affect_imports_of_user():
    code = ('import sys, mtl_perception.inference.pipeline; '
            'assert "openvino.tools.ovc" not in sys.modules')
    subprocess.run([sys.executable, '-c', code], check=True)
