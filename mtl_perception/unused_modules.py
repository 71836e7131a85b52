"""
Modules that other packages load by default, but that no process of this package uses.

Imports only the standard library, since it is used before all other imports.
"""

from __future__ import annotations

import sys

UNUSED = ('openvino.tools.ovc', 'rosidl_generator_py.generate_py_impl')
"""
Modules that packages try to import but do not require.

OpenVINO's model converter takes 15 MB and 0.1 s, and reports each import to Intel over the network
(`openvino_telemetry`). The code generator of ROS messages takes 3 MB.
"""


def leave_out_unused() -> None:
    """
    Make imports of `UNUSED` fail in this process, as if they were not installed.

    For executables of this package only: a library must not affect the imports of its user.
    """
    for name in UNUSED:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]
