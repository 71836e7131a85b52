"""Parsing of image sizes in options."""

from __future__ import annotations

import re

from mtl_perception.errors import ConfigError


def parse_size(text: str, option: str) -> tuple[int, int]:
    """
    Return (width, height) of a text such as 640x480, both in 0..99999.

    Narrower ranges must be checked by the caller. Raises ConfigError, naming the `option`, for
    other texts.
    """
    found = re.fullmatch('([0-9]{1,5})[xX]([0-9]{1,5})', text)
    if not found:
        raise ConfigError(f'{option} {text} is not of the form WIDTHxHEIGHT, such as 640x480')
    return int(found[1]), int(found[2])
