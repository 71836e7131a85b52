import pytest

from mtl_perception.errors import ConfigError

pytest.importorskip('torch')

from mtl_perception.models.network import ARCHITECTURES
from mtl_perception.training.criteria import (
    ASSIGNMENTS,
    choose_criterion,
    CRITERIA,
)


@pytest.mark.parametrize('name', sorted(ARCHITECTURES))
def test_architecture_accepts_the_assignments_of_its_criterion_only(name):
    offered = CRITERIA[ARCHITECTURES[name].CRITERION]
    assert choose_criterion(ARCHITECTURES[name].CRITERION, 'auto') is next(iter(offered.values()))
    for assignment in ASSIGNMENTS[1:]:
        if assignment in offered:
            assert choose_criterion(
                ARCHITECTURES[name].CRITERION, assignment) is offered[assignment]
        else:
            with pytest.raises(ConfigError, match=f'assignment {assignment}'):
                choose_criterion(ARCHITECTURES[name].CRITERION, assignment)
