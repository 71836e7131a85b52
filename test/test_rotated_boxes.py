import math

import numpy as np
import pytest

from mtl_perception.rotated_boxes import upright_hull


@pytest.mark.parametrize(('angle', 'box'), [
    (0, (80, 100, 240, 140)), (math.pi / 2, (140, 40, 180, 200)), (math.pi, (80, 100, 240, 140)),
    (-math.pi / 2, (140, 40, 180, 200)),
])
def test_hull_after_quarter_turns(angle: float, box: tuple[float, float, float, float]) -> None:
    assert upright_hull(160, 120, 160, 40, angle) == box


@pytest.mark.parametrize('angle', [0.3, 2.1, -1.0, 7.5])
def test_hull_is_the_hull_of_its_corners(angle: float) -> None:
    x, y = np.array([[5, 5, -5, -5], [2, -2, 2, -2]], np.float64)
    cos, sin = math.cos(angle), math.sin(angle)
    across, down = 7 + x * cos - y * sin, 8 + x * sin + y * cos
    hull = (across.min(), down.min(), across.max(), down.max())
    assert upright_hull(7, 8, 10, 4, angle) == pytest.approx(hull, abs=1e-9)


def test_hull_without_area_or_finite_angle() -> None:
    assert upright_hull(7, 8, 0, 4, 0.5) == (7, 6, 7, 10)
    assert math.isnan(upright_hull(7, 8, 3, 4, math.inf)[0])
