"""What several tests of training share."""

from pathlib import Path

import pytest

MANIFEST = """
detection: {names: [car, large_vehicle]}
segmentation: {names: [building, road, vegetation, water, ground, vehicle]}
sets:
  synthetic:
    reader: synthetic
    splits:
      train: {first_seed: 3, flights: 1, frames: 3}
      val: {first_seed: 4, flights: 1, frames: 1}
    options: {width: 320, height: 240}
    boxes: {classes: {car: car, large_vehicle: large_vehicle}, complete: [car, large_vehicle]}
    masks: {building: building, road: road, vegetation: vegetation, water: water, ground: ground,
            vehicle: vehicle}
"""


@pytest.fixture(scope='session')
def manifest_path(tmp_path_factory) -> Path:
    """Return a manifest of three drawn pictures that are labelled for both tasks."""
    path = tmp_path_factory.mktemp('manifest') / 'town.yaml'
    path.write_text(MANIFEST)
    return path
