"""The parameters of the recorder node."""

from __future__ import annotations

from dataclasses import dataclass

from mtl_perception.nodes.declaration import check, parameter

IMAGE_FORMATS = ('jpeg', 'png', 'raw')


@dataclass(frozen=True)
class RecorderParameters:
    """Parameters of the recorder node."""

    output: str = parameter('', 'folder of the bag to write; must not exist')
    topics: tuple[str, ...] = parameter(
        (), 'topics to record, NAME or NAME:PACKAGE/msg/TYPE where nobody publishes it yet')
    queue_depth: int = parameter(
        20, 'messages of a topic that the middleware keeps for the recorder', low=1, high=1000)
    image_format: str = parameter(
        'jpeg', 'how images are recorded: compressed, on TOPIC/compressed, or as they are; '
        'those of 16 bits become PNG for either', choices=IMAGE_FORMATS)
    jpeg_quality: int = parameter(75, 'quality of the JPEG images', low=1, high=100)
    raw_topics: tuple[str, ...] = parameter(
        ('*/segmentation', '*mask*', '*label*'),
        'image topics that are recorded as they are, such as those whose '
        'pixels are class ids: names, or patterns with * and ?')
    max_queue_size: int = parameter(
        128, 'messages that wait to be written; what exceeds it is dropped',
        low=1, high=16_384, unit='MB')
    max_file_size: int = parameter(
        2000, 'size at which the bag goes on in a new file; 0: never',
        low=0, high=1_000_000, unit='MB')
    max_file_duration: float = parameter(
        0.0, 'time after which the bag goes on in a new file; 0: never',
        low=0.0, high=604_800.0, unit='s')
    min_free_space: int = parameter(
        500, 'free space at which recording stops, or a tenth of the disk where that is less',
        low=0, high=1_000_000, unit='MB')

    def __post_init__(self) -> None:
        check(self)
