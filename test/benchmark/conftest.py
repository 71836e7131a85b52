from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope='session')
def frames(tmp_path_factory) -> Path:
    """Three frames of 200x120 in a file."""
    path = tmp_path_factory.mktemp('frames') / 'frames.npy'
    np.save(path, np.random.default_rng(0).integers(0, 256, (3, 120, 200, 3), np.uint8))
    return path
