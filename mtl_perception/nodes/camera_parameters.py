"""The parameters of the camera node."""

from __future__ import annotations

from dataclasses import dataclass

from mtl_perception.compressed import KINDS
from mtl_perception.nodes.declaration import check, parameter, RELIABILITIES


@dataclass(frozen=True)
class CameraParameters:
    """Parameters of the camera node."""

    source: str = parameter(
        'synthetic:0',
        'folder of images, video file, number or path of a V4L2 device, URL or GStreamer '
        'pipeline, or synthetic:SEED')
    rate: float = parameter(
        0.0, "images per second; 0: the video's, camera's or stream's own, 10 for others",
        low=0.0, high=1000.0, unit='Hz')
    loop: bool = parameter(
        True, 'begin again at the end of a folder, video or synthetic flight; '
        'false: end there')
    encoding: str = parameter(
        'bgr8', 'encoding of the published images', choices=('bgr8', 'rgb8'))
    black_hot: bool = parameter(
        False, 'whether high values of grey images of more than 8 bits, of a folder, video or '
        'device, are black instead of white')
    output: str = parameter(
        'raw', 'what is published: raw images on `image`, compressed ones on `image/compressed`, '
        'or both', choices=('raw', 'compressed', 'both'))
    compressed_format: str = parameter(
        'jpeg', 'format of the compressed images', choices=KINDS)
    jpeg_quality: int = parameter(
        85, 'quality of JPEG images; more: larger', low=1, high=100)
    stamp: str = parameter(
        'auto', 'stamps of a live source; auto: the capture time if its driver provides it '
        '(V4L2), else that of arrival', choices=('auto', 'arrival'))
    timeout: float = parameter(
        5.0, 'without an image for so long a live source is closed and opened again',
        low=0.5, high=600.0, unit='s')
    frame_id: str = parameter('camera', 'frame id of images and camera info')
    width: int = parameter(640, 'width of a synthetic flight', low=32, high=4096, unit='px')
    height: int = parameter(480, 'height of a synthetic flight', low=32, high=4096, unit='px')
    frames: int = parameter(300, 'length of a synthetic flight', low=1, high=100000, unit='images')
    calibration: str = parameter(
        '', 'camera calibration file (YAML); empty: camera info is uncalibrated')
    reliability: str = parameter(
        'reliable', 'reliability that is offered to subscribers; reliable serves both',
        choices=RELIABILITIES)
    queue_depth: int = parameter(
        5, 'images kept for slow reliable subscribers', low=1, high=100)
    wait_for_subscribers: int = parameter(
        0, 'number of subscribers of the images, raw and compressed, to wait for before '
        'publishing',
        low=0, high=100)

    def __post_init__(self) -> None:
        check(self)
