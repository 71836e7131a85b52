"""Executable: the perception node, see `mtl_perception.nodes.perception`."""

from __future__ import annotations

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


def _make(_: Stop) -> RunnableNode:
    from mtl_perception.nodes.perception import PerceptionNode

    return PerceptionNode()


if __name__ == '__main__':
    sys.exit(main())
