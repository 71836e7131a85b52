"""Executable: the camera node, see `mtl_perception.nodes.camera`."""

from __future__ import annotations

import os
import sys

from mtl_perception.nodes.early_signals import hold_signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mtl_perception.nodes.process import RunnableNode, Stop


def main(args: list[str] | None = None) -> int:
    """Run the node with ROS arguments (`sys.argv` by default); return the exit code."""
    hold_signals()
    from mtl_perception.nodes.process import run_node

    return run_node(_make, args)


def _make(stop: Stop) -> RunnableNode:
    # A source that cannot be opened is one line of ours, not several of OpenCV's.
    os.environ.setdefault('OPENCV_LOG_LEVEL', 'ERROR')
    from mtl_perception.nodes.camera import CameraNode

    return CameraNode(stop)


if __name__ == '__main__':
    sys.exit(main())
