"""Images with a red rectangle, in many encodings, for the model with known outputs."""

import array

import cv2
import numpy as np
from sensor_msgs.msg import Image


def image(width, height):
    """Return RGB pixels, dark with a red rectangle, and the rectangle (x0, y0, x1, y1)."""
    pixels = np.full((height, width, 3), 16, np.uint8)
    box = (width // 4 & ~1, height // 4 & ~1, width * 3 // 4 & ~1, height // 2 & ~1)
    pixels[box[1]:box[3], box[0]:box[2]] = (250, 10, 10)
    return pixels, box


def encoded(pixels, encoding):
    """Return the rows of bytes of an image in an encoding; planes follow each other."""
    height, width = pixels.shape[:2]
    if encoding in ('yuv422', 'nv21'):
        y, u, v = np.moveaxis(studio_yuv(pixels), -1, 0)
        if encoding == 'yuv422':
            pairs = np.stack([np.where(np.arange(width) % 2, v, u), y], axis=-1)
            return pairs.reshape(height, -1)
        chroma = np.stack([v[::2, ::2], u[::2, ::2]], axis=-1).reshape(height // 2, -1)
        return np.concatenate([y, chroma])
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    return {
        'rgb8': lambda: pixels,
        'bgr8': lambda: pixels[..., ::-1],
        '8UC3': lambda: pixels[..., ::-1],
        'rgba8': lambda: np.dstack([pixels, grey]),
        'bgra8': lambda: np.dstack([pixels[..., ::-1], grey]),
        'mono8': lambda: grey,
        'mono16': lambda: np.dstack([grey, grey]),
    }[encoding]().reshape(height, -1)


def studio_yuv(pixels):
    """Return Y, Cb and Cr by ITU-R BT.601, 16 to 235 and 240, as uint8 [height, width, 3]."""
    red, green, blue = np.moveaxis(pixels.astype(np.float64), -1, 0)
    y = 16 + (65.481 * red + 128.553 * green + 24.966 * blue) / 255
    u = 128 + (-37.797 * red - 74.203 * green + 112 * blue) / 255
    v = 128 + (112 * red - 93.786 * green - 18.214 * blue) / 255
    return np.stack([y, u, v], axis=-1).round().astype(np.uint8)


def image_message(header, encoding, width, height, padding=0):
    rows = encoded(image(width, height)[0], encoding)
    rows = np.pad(rows, ((0, 0), (0, padding)), constant_values=255)
    return Image(
        header=header, width=width, height=height, encoding=encoding, step=rows.shape[1],
        data=array.array('B', rows.tobytes()))
