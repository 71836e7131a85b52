"""Suggestions for unknown names."""

from __future__ import annotations

from collections.abc import Sequence
import difflib


def suggestion(name: str, known: Sequence[str], otherwise: str) -> str:
    """
    Return `did you mean NEAREST?`, or all known names after `otherwise` if none is similar.

    >>> suggestion('runtim', ['model', 'runtime'], 'there are')
    'did you mean runtime?'
    >>> suggestion('x', ['model', 'runtime'], 'there are')
    'there are model, runtime'
    """
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f'did you mean {near[0]}?' if near else f'{otherwise} {", ".join(known)}'
