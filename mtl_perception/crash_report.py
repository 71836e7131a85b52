"""The log file of an exception that no code foresaw: a defect, of which the user sees one line."""

from __future__ import annotations

from collections.abc import Sequence
import os
from pathlib import Path
import platform
import shlex
import sys
import tempfile
import time
import traceback

from mtl_perception import __version__
from mtl_perception.credentials import hide_credentials

KEPT = 20
"""Number of log files that are kept; older ones are removed."""


def write_crash_report(error: BaseException, arguments: Sequence[str]) -> Path | None:
    """
    Write the traceback of `error` and the command line to a new file; None if that fails.

    It lies in `$XDG_STATE_HOME/mtl_perception` (~/.local/state by default), or where that is not
    writable in the folder of temporary files; only its owner can read it. Users and passwords of
    URLs are left out.
    """
    text = '\n'.join((
        f'mtl_perception {__version__}, Python {sys.version.split()[0]}, {platform.platform()}',
        f'mtl {shlex.join(arguments)}',
        ''.join(traceback.format_exception(type(error), error, error.__traceback__))))
    for find in (_state_folder, lambda: Path(tempfile.gettempdir())):
        try:
            folder = find()
            folder.mkdir(parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(
                '.log', time.strftime('mtl-%Y%m%d-%H%M%S-'), folder)
            with os.fdopen(descriptor, 'w', encoding='utf-8', errors='backslashreplace') as file:
                file.write(hide_credentials(text))
            _remove_old(folder)
        except (OSError, RuntimeError):  # RuntimeError: there is no home directory
            continue
        return Path(name)
    return None


def _state_folder() -> Path:
    state = Path(os.environ.get('XDG_STATE_HOME', ''))
    return (state if state.is_absolute() else Path('~/.local/state').expanduser()) \
        / 'mtl_perception'


def _remove_old(folder: Path) -> None:
    # Names begin with the time.
    for path in sorted(folder.glob('mtl-*.log'))[:-KEPT]:
        path.unlink(missing_ok=True)
