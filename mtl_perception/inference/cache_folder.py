"""Where a runtime keeps what it has compiled for this machine."""

from __future__ import annotations

import os
from pathlib import Path

_PACKAGE = 'mtl_perception'


def cache_folder(chosen: Path | None, kind: str) -> Path | None:
    """
    Return the folder for what is compiled by the runtime `kind`; it need not exist.

    `chosen` is the user's choice; without one it lies in $XDG_CACHE_HOME, which is ~/.cache
    where it is not set (XDG Base Directory Specification). None: this user has no home folder.
    """
    if chosen is not None:
        return chosen.expanduser() / kind
    base = Path(os.environ.get('XDG_CACHE_HOME', ''))
    if base.is_absolute():  # as the specification asks
        return base / _PACKAGE / kind
    try:
        return Path.home() / '.cache' / _PACKAGE / kind
    except RuntimeError:
        return None
