"""PNG files of any depth and colour type, and with any chunks."""

import struct
import zlib

import numpy as np

GREY, RGB, PALETTE, GREY_ALPHA, RGB_ALPHA = 0, 2, 3, 4, 6


def png(values: np.ndarray, bits: int, kind: int, *, before: dict[bytes, bytes] | None = None,
        after: dict[bytes, bytes] | None = None) -> bytes:
    """
    Return the file of `values` [H, W] or [H, W, C] of `bits` in the colour type `kind`.

    `before` and `after` are chunks around the pixels.
    """
    height, width = values.shape[:2]
    rows = b''
    for row in values.reshape(height, -1):
        if bits == 16:
            rows += b'\0' + row.astype('>u2').tobytes()
        else:
            levels = (row[:, None] >> np.arange(bits)[::-1]) & 1
            rows += b'\0' + np.packbits(levels.astype(np.uint8)).tobytes()
    chunks = {b'IHDR': struct.pack('>IIBBBBB', width, height, bits, kind, 0, 0, 0),
              **(before or {}), b'IDAT': zlib.compress(rows), **(after or {}), b'IEND': b''}
    return b'\x89PNG\r\n\x1a\n' + b''.join(
        struct.pack('>I', len(data)) + name + data
        + struct.pack('>I', zlib.crc32(name + data)) for name, data in chunks.items())
