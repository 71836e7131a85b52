"""TIFF files with the tags that a test wants; uncompressed, in one strip."""

import struct

import numpy as np

_TYPES = {'B': 1, 's': 2, 'H': 3, 'I': 4, 'd': 12}
_FORMATS = {'u': 1, 'b': 1, 'i': 2, 'f': 3, 'c': 6}


def tiff(pixels: np.ndarray, *, data: bytes | None = None, bits: int = 0, photometric: int = -1,
         orientation: int = 0, extra: int = -1, tags: dict[int, tuple[str, object]] | None = None,
         order: str = '<', pages: int = 1) -> bytes:
    """
    Return the file of `pixels` [H, W] or [H, W, C].

    `data` are its bytes where samples have less than 8 or packed `bits`; `extra` is the meaning
    of the last channel (1: colours are multiplied by it, 2: they are not), `tags` are further
    ones: struct's code and value. `order` is '<' or '>'. The same image is on each page.
    """
    height, width, *rest = pixels.shape
    channels = rest[0] if rest else 1
    if photometric < 0:
        photometric = 2 if channels > 2 else 1
    if data is None:
        data = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
    entries: dict[int, tuple[str, object]] = {
        256: ('I', width), 257: ('I', height),
        258: ('H', (bits or 8 * pixels.itemsize,) * channels), 259: ('H', 1),
        262: ('H', photometric), 277: ('H', channels), 278: ('I', height),
        279: ('I', len(data)), 339: ('H', (_FORMATS[pixels.dtype.kind],) * channels),
        **({274: ('H', orientation)} if orientation else {}),
        **({338: ('H', extra)} if extra >= 0 else {}), **(tags or {})}
    result = struct.pack(order + '2sHI', b'II' if order == '<' else b'MM', 42, 8)
    for page in range(pages):
        result += _directory(entries, data, order, len(result), last=page == pages - 1)
    return result


def _directory(entries, data, order, at, last):
    """Return a directory that begins at `at`, its values and the pixels."""
    entries = {**entries, 273: ('I', 0)}
    long_at = at + 2 + 12 * len(entries) + 4
    longs, lines = b'', b''
    values = {}
    for tag, (code, value) in sorted(entries.items()):
        items = value if isinstance(value, tuple) else (value,)
        packed = (items[0] if code == 's' else struct.pack(f'{order}{len(items)}{code}', *items))
        values[tag] = code, len(packed) if code == 's' else len(items), packed
    size = sum(len(packed) + len(packed) % 2 for _, _, packed in values.values()
               if len(packed) > 4)
    values[273] = 'I', 1, struct.pack(order + 'I', long_at + size)
    for tag, (code, count, packed) in sorted(values.items()):
        if len(packed) > 4:
            field = struct.pack(order + 'I', long_at + len(longs))
            longs += packed + b'\0' * (len(packed) % 2)
        else:
            field = packed.ljust(4, b'\0')
        lines += struct.pack(order + 'HHI', tag, _TYPES[code], count) + field
    data = data + b'\0' * (len(data) % 2)
    following = 0 if last else long_at + size + len(data)
    return (struct.pack(order + 'H', len(values)) + lines + struct.pack(order + 'I', following)
            + longs + data)
