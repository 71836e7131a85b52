"""Sizes of images as users write them."""

from __future__ import annotations

import re

from mtl_perception.errors import ConfigError


def parse_size(text: str, option: str) -> tuple[int, int]:
    """
    Return (width, height) of a text like 640x480, both in 0..99999.

    Smaller ranges are the caller's concern. Raises ConfigError, which names the `option`, for
    other texts.
    """
    found = re.fullmatch('([0-9]{1,5})[xX]([0-9]{1,5})', text)
    if not found:
        raise ConfigError(f'{option} {text} is not of the form WIDTHxHEIGHT, like 640x480')
    return int(found[1]), int(found[2])
