"""A line of progress on stderr."""

from __future__ import annotations

import math
import shutil
import sys
import time

_EVERY = 5.0
"""Seconds between two lines where stderr is not a terminal."""


class StatusLine:
    """One line that is rewritten on a terminal; elsewhere a new line every few seconds."""

    def __init__(self) -> None:
        self._is_terminal = sys.stderr.isatty()
        self._shown = ''
        self._printed_at = -math.inf

    def show(self, text: str) -> None:
        """Replace the line by `text`."""
        if text == self._shown:
            return
        if self._is_terminal:
            width = shutil.get_terminal_size().columns - 1
            print(f'\r{text[:width].ljust(min(len(self._shown), width))}', end='',
                  file=sys.stderr, flush=True)
            self._shown = text
        elif time.monotonic() - self._printed_at >= _EVERY:
            self._printed_at = time.monotonic()
            print(text, file=sys.stderr, flush=True)
            self._shown = text

    def end(self) -> None:
        """Leave the last text on its line."""
        if self._shown and self._is_terminal:
            print(file=sys.stderr, flush=True)
        self._shown = ''
