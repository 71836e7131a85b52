"""Synthetic flights over a drawn town, with exact ground truth; see `SyntheticFlight`."""

from mtl_perception.data.synthetic.flight import (
    BOX_NAMES,
    CLUTTER_BOX_NAMES,
    MASK_NAMES,
    SyntheticFlight,
    SyntheticFrame,
)

__all__ = ['BOX_NAMES', 'CLUTTER_BOX_NAMES', 'MASK_NAMES', 'SyntheticFlight', 'SyntheticFrame']
