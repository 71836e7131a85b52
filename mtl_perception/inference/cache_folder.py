"""Folder in which a runtime caches models compiled for this machine."""

from __future__ import annotations

import os
from pathlib import Path

from mtl_perception.files import expanded
from mtl_perception.inference.runtime import Say

_PACKAGE = 'mtl_perception'


def cache_folder(chosen: Path | None, kind: str) -> Path | None:
    """
    Return the cache folder of the runtime `kind`; it need not exist.

    `chosen` is the user's choice; by default it is in $XDG_CACHE_HOME, or in ~/.cache if that is
    not set (XDG Base Directory Specification). Returns None if the user has no home folder.
    """
    if chosen is not None:
        return expanded(chosen) / kind
    base = Path(os.environ.get('XDG_CACHE_HOME', ''))
    if base.is_absolute():  # as the specification requires
        return base / _PACKAGE / kind
    try:
        return Path.home() / '.cache' / _PACKAGE / kind
    except RuntimeError:
        return None


def writable_cache_folder(chosen: Path | None, kind: str, say: Say) -> Path | None:
    """
    Return `cache_folder`, created if missing; None, reported to `say`, if it is not writable.

    A new folder is accessible to its owner only.
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
        say(f'{folder}: compiled models are not cached there ({reason})')
        return None
    return folder
