"""A received image, raw or compressed: checked on arrival, decoded when it is processed."""

from __future__ import annotations

from typing import Any

import numpy as np

from mtl_perception.compressed import check_compressed, CompressedData, decode_compressed
from mtl_perception.encodings import check_image, decode_image, RawImage
from mtl_perception.stretch import stretched, StretchPixels

ReceivedImage = RawImage | CompressedData


def received_image(message: Any) -> ReceivedImage:
    """Return the fields of an Image or CompressedImage; nothing is copied or checked."""
    if hasattr(message, 'format'):
        return CompressedData(message.data, message.format)
    return RawImage.of(message)


def check_received(image: ReceivedImage) -> None:
    """Raise FrameError where fields or header are invalid; takes microseconds."""
    if isinstance(image, CompressedData):
        check_compressed(image)
    else:
        check_image(image)


def decode_received(
        image: ReceivedImage, stretch: StretchPixels = stretched) -> tuple[np.ndarray, str]:
    """Return pixels and order; see ``encodings.decode_image``."""
    if isinstance(image, CompressedData):
        return decode_compressed(image, stretch)
    return decode_image(image, stretch)
