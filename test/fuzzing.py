"""Damaged files for tests that no content of a file makes the package fail with a traceback."""

import os

from hypothesis import strategies as st


def fuzz_examples() -> int:
    """Return the number of examples of a fuzz test: $MTL_FUZZ_EXAMPLES, or 100."""
    return int(os.environ.get('MTL_FUZZ_EXAMPLES', '100'))


@st.composite
def damaged(draw: st.DrawFn, data: bytes) -> bytes:
    """
    Draw `data` with up to eight flipped bits and, in some examples, its end cut off.

    Any sequence of bit flips and truncations has the result of flips followed by one truncation.
    """
    result = bytearray(data)
    for bit in draw(st.lists(st.integers(0, 8 * len(data) - 1), max_size=8)):
        result[bit // 8] ^= 1 << bit % 8
    length = draw(st.none() | st.integers(0, len(data)))
    return bytes(result[:length])
