"""The parameters of the recorder node."""

from __future__ import annotations

from dataclasses import dataclass

from mtl_perception.nodes.declaration import check, parameter


@dataclass(frozen=True)
class RecorderParameters:
    """Parameters of the recorder node."""

    output: str = parameter('', 'folder of the bag to write; must not exist')
    topics: tuple[str, ...] = parameter(
        (), 'topics to record, NAME or NAME:PACKAGE/msg/TYPE where nobody publishes it yet')
    queue_depth: int = parameter(
        20, 'messages of a topic that wait while the disk is busy', low=1, high=1000)

    def __post_init__(self) -> None:
        check(self)
