"""
Modules of other packages that they load unasked, and that no process of this package uses.

Imports nothing but the standard library: it is asked before anything else is imported.
"""

from __future__ import annotations

import sys

UNUSED = ('openvino.tools.ovc', 'rosidl_generator_py.generate_py_impl')
"""
What packages try to import and do without.

OpenVINO's converter of models takes 15 MB and 0.1 s, and reports each import to Intel over the
network (`openvino_telemetry`). What generates the code of ROS messages takes 3 MB.
"""


def leave_out_unused() -> None:
    """
    Have the import of `UNUSED` fail in this process, as if they were not installed.

    For executables of this package: a library does not decide what its user's process imports.
    """
    for name in UNUSED:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]
