"""Executable: the camera node, see `mtl_perception.nodes.camera`."""

from __future__ import annotations

import sys

from mtl_perception.nodes.early_signals import hold_signals
from mtl_perception.nodes.quiet_opencv import keep_opencv_quiet

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mtl_perception.nodes.process import RunnableNode, Stop


def main(args: list[str] | None = None) -> int:
    """Run the node with ROS arguments (`sys.argv` by default); return the exit code."""
    hold_signals()
    from mtl_perception.nodes.process import run_node

    code = run_node(_make, args)
    # Not imported where the start failed for a package that is missing.
    if capture := sys.modules.get('mtl_perception.nodes.capture'):
        capture.exit_over_captures(code)
    return code


def _make(stop: Stop) -> RunnableNode:
    keep_opencv_quiet()
    from mtl_perception.nodes.camera import CameraNode

    return CameraNode(stop)


if __name__ == '__main__':
    sys.exit(main())
