"""Where a runtime keeps what it has compiled for this machine."""

from __future__ import annotations

import os
from pathlib import Path

from mtl_perception.inference.runtime import Say

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


def writable_cache_folder(chosen: Path | None, kind: str, say: Say) -> Path | None:
    """
    Return `cache_folder`, made if missing; None, and a word, where nothing can be written there.

    Others cannot look into a folder that is made.
    """
    folder = cache_folder(chosen, kind)
    if folder is None:
        return None
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        reason = '' if os.access(folder, os.W_OK | os.X_OK) else 'it is read-only'
    except OSError as error:
        reason = error.strerror or str(error)
    if reason:
        say(f'{folder}: what is compiled for this machine is not kept there ({reason})')
        return None
    return folder
