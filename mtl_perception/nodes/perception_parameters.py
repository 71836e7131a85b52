"""The parameters of the perception node."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
import re

from mtl_perception.compressed import KINDS
from mtl_perception.errors import ConfigError
from mtl_perception.inference.pipeline import BOX_FORMATS, MAX_DETECTIONS, PipelineOptions
from mtl_perception.inference.registry import runtime_names
from mtl_perception.inference.runtime import (
    DEVICES,
    MAX_BATCH,
    MAX_THREADS,
    PRECISIONS,
    RuntimeOptions,
)
from mtl_perception.nodes.declaration import (
    ALWAYS,
    check,
    parameter,
    RELIABILITIES,
    UNCONFIGURED,
)

MAX_CAMERAS = 8

TRANSPORTS = ('auto', 'raw', 'compressed')

_CAMERA = re.compile(r'[A-Za-z](?:_?[A-Za-z0-9])*')
"""What may be a part of a topic's name in ROS 2."""


@dataclass(frozen=True)
class PerceptionParameters:
    """Parameters of the perception node."""

    cameras: tuple[str, ...] = parameter(
        (), 'names of several cameras, each with topics of its own: NAME/image in, ~/NAME/... '
        'out; empty: one camera without a name')
    model: str = parameter(
        '', 'path of the model file; empty: the shipped model',
        changes=UNCONFIGURED)
    runtime: str = parameter(
        'auto', 'what runs the model; auto: the first of an order that starts (see mtl runtimes)',
        choices=runtime_names(), changes=UNCONFIGURED)
    device: str = parameter(
        'auto', 'where it runs; auto: on a GPU that the runtime can use', choices=DEVICES,
        changes=UNCONFIGURED)
    precision: str = parameter(
        'auto', "number format that the model is computed in; auto: the model's own, or BF16 "
        'where the CPU computes that', choices=PRECISIONS, changes=UNCONFIGURED)
    threads: int = parameter(
        0, 'CPU threads of the runtime; 0: as many as this process may use', low=0,
        high=MAX_THREADS, changes=UNCONFIGURED)
    cache_folder: str = parameter(
        'auto', 'folder for what a runtime compiles for this machine; auto: '
        '~/.cache/mtl_perception', changes=UNCONFIGURED)
    score_threshold: float = parameter(
        PipelineOptions().score_threshold, 'lowest score of a published detection',
        low=0.0, high=1.0, changes=ALWAYS)
    nms_threshold: float = parameter(
        PipelineOptions().nms_threshold,
        'of two boxes of a class that overlap by more (IoU), the better one stays',
        low=0.0, high=1.0, changes=ALWAYS)
    max_detections: int = parameter(
        PipelineOptions().max_detections, 'most detections of a frame, best scores first',
        low=1, high=MAX_DETECTIONS, changes=ALWAYS)
    tiles: str = parameter(
        PipelineOptions().tiles,
        'tiles a frame is cut into: off, auto (large frames only) or ROWSxCOLUMNS',
        changes=ALWAYS)
    box_format: str = parameter(
        PipelineOptions().box_format,
        "boxes of detections: upright, or oriented along the object's pixels in the label map "
        '(vehicles in the shipped model)', choices=BOX_FORMATS, changes=ALWAYS)
    black_hot: bool = parameter(
        False, 'whether high values of grey images of more than 8 bits (thermal, depth) are black '
        'instead of white', changes=ALWAYS)
    detection_rate: float = parameter(
        0.0, 'upper bound of how often objects are detected; 0: in every frame', low=0.0,
        high=1000.0, unit='Hz', changes=ALWAYS)
    segmentation_rate: float = parameter(
        0.0, 'upper bound of how often pixels are labelled; 0: in every frame', low=0.0,
        high=1000.0, unit='Hz', changes=ALWAYS)
    class_id_format: str = parameter(
        'index', 'class_id of a detection: the class index as a number, or its name',
        choices=('index', 'name'), changes=ALWAYS)
    image_transport: str = parameter(
        'auto', 'how images are received; auto: raw where they are published so, else JPEG or '
        'PNG of TOPIC/compressed', choices=TRANSPORTS, changes=UNCONFIGURED)
    max_batch: int = parameter(
        0, 'most images, of several cameras or tiles, in one run of the network; 0: the number '
        'with the best rate, by a measurement of about a second when the node is configured',
        low=0, high=MAX_BATCH, changes=UNCONFIGURED)
    compressed_format: str = parameter(
        'jpeg', 'what ~/overlay/compressed and ~/segmentation_color/compressed are made of',
        choices=KINDS, changes=ALWAYS)
    jpeg_quality: int = parameter(
        80, 'quality of these JPEGs', low=1, high=100, changes=ALWAYS)
    reliability: str = parameter(
        'auto', 'reliability that is asked of the image publishers; auto: reliable while all of '
        'them offer it; best_effort accepts both', choices=('auto', *RELIABILITIES),
        changes=UNCONFIGURED)
    queue_depth: int = parameter(
        5, 'images that wait in the middleware until they are received, each of which may keep '
        'the memory of the largest; inside the node the newest one wins whatever the depth',
        low=1, high=100, changes=UNCONFIGURED)
    image_timeout: float = parameter(
        2.0, 'without an image for so long, log and diagnostics warn', low=0.1, high=3600.0,
        unit='s', changes=ALWAYS)
    idle_timeout: float = parameter(
        2.0, 'without a subscriber to any result for so long, images are no longer received, '
        'until there is one', low=0.0, high=86400.0, unit='s', changes=ALWAYS)
    autostart: bool = parameter(
        True, 'configure and activate at start, and exit where that fails; '
        'false: wait for lifecycle transitions')

    def __post_init__(self) -> None:
        check(self)
        self.options()
        if len(self.cameras) > MAX_CAMERAS or len({*self.cameras}) < len(self.cameras):
            raise ConfigError(f'parameter cameras: {list(self.cameras)} are not up to '
                              f'{MAX_CAMERAS} different names')
        for name in self.cameras:
            if not _CAMERA.fullmatch(name):
                raise ConfigError(f'parameter cameras: {name!r:.80} cannot be a part of a '
                                  "topic's name: letters, digits and single underscores")

    def options(self) -> PipelineOptions:
        """Return the pipeline's options for the next frame."""
        return PipelineOptions(
            score_threshold=self.score_threshold, nms_threshold=self.nms_threshold,
            max_detections=self.max_detections, tiles=self.tiles, box_format=self.box_format)

    def rates(self) -> dict[str, float]:
        """Return the upper bound of how often each task is done, in Hz; 0: in every frame."""
        return {'detection': self.detection_rate, 'segmentation': self.segmentation_rate}

    def runtime_options(self) -> RuntimeOptions:
        """Return how the model is to be run."""
        return RuntimeOptions(
            runtime=self.runtime, device=self.device, precision=self.precision,
            threads=self.threads, batch=max(1, self.max_batch),
            cache=None if self.cache_folder == 'auto' else Path(self.cache_folder))
