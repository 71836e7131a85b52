"""Sizes of images as users write them."""

from __future__ import annotations

import re

from mtl_perception.errors import ConfigError


def parse_size(text: str) -> tuple[int, int]:
    """Return (width, height) of a text like 640x480, both in 1..99999; ConfigError otherwise."""
    parts = text.lower().split('x')
    if len(parts) != 2 or not all(re.fullmatch('0*[1-9][0-9]{0,4}', part) for part in parts):
        raise ConfigError(f'size {text!r} is not of the form WIDTHxHEIGHT, like 640x480')
    return int(parts[0]), int(parts[1])
