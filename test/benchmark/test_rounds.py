from dataclasses import replace

import numpy as np
import pytest

from mtl_perception.benchmark.rounds import Effort, Group, MIN_ROUNDS
from mtl_perception.benchmark.subjects import (
    DETECTION,
    MULTITASK,
    Network,
    PARALLEL,
    SEGMENTATION,
    SEQUENTIAL,
    Subject,
)
from mtl_perception.errors import MtlError


@pytest.fixture
def subjects(paint_model) -> list[Subject]:
    one, detection, segmentation = (
        Network(path=str(path), runtime='onnxruntime', device='cpu', precision='fp32', threads=1)
        for path in (paint_model(), paint_model(segmentation=False),
                     paint_model(detection=False)))
    return [Subject(MULTITASK, MULTITASK, (one,)), Subject(DETECTION, DETECTION, (detection,)),
            Subject(SEGMENTATION, SEGMENTATION, (segmentation,)),
            Subject(SEQUENTIAL, SEQUENTIAL, (detection, segmentation)),
            Subject(PARALLEL, PARALLEL, (detection, segmentation), parallel=True)]


@pytest.mark.slow
def test_every_round_runs_all_subjects(subjects, frames) -> None:
    made = []
    with Group() as group:
        for subject in subjects:
            group.add(subject, frames)
        assert len(set(group.pids)) == 4  # two at once use the processes of the single ones
        group.measure(Effort(4, 2, 60), made.append)
    assert made == [1, 2, 3, 4]
    for samples in group.samples.values():
        assert [len(times) for times in samples.seconds] == [2] * 4
        assert all((times > 0).all() for times in samples.seconds)
        assert sum(samples.peak_bytes) > 20e6
    assert len(group.samples[PARALLEL].peak_bytes) == 2
    assert len(group.samples[SEQUENTIAL].peak_bytes) == 1


@pytest.mark.slow
def test_two_at_once_take_at_least_the_slower_time(subjects, frames) -> None:
    with Group() as group:
        for subject in subjects[1:]:
            group.add(subject, frames)
        group.measure(Effort(15, 4, 60))
    fastest = {name: min(times.min() for times in samples.seconds)
               for name, samples in group.samples.items()}
    assert fastest[PARALLEL] > 0.8 * max(fastest[DETECTION], fastest[SEGMENTATION])
    stages = group.samples[PARALLEL].stages
    for index, times in enumerate(group.samples[PARALLEL].seconds):
        assert (np.sum([stages[name][index] for name in stages], axis=0) <= times).all()


def test_stops_at_time_limit(subjects, frames) -> None:
    with Group() as group:
        group.add(subjects[0], frames)
        group.measure(Effort(1000, 1, 0))
    assert len(group.samples[MULTITASK].seconds) == MIN_ROUNDS


def test_complete_rounds_are_kept_after_failure(subjects, frames) -> None:
    def kill(number: int) -> None:
        if number == 2:
            group._workers[subjects[0].networks][0].close()

    with Group() as group:
        group.add(subjects[0], frames)
        group.add(subjects[1], frames)
        with pytest.raises((MtlError, ValueError)):
            group.measure(Effort(5, 1, 60), kill)
        assert [len(item.seconds) for item in group.samples.values()] == [2, 2]


def test_network_that_does_not_open_is_excluded(subjects, frames) -> None:
    bad = replace(subjects[0].networks[0], path='/nowhere.onnx')
    with Group() as group, pytest.raises(MtlError):
        group.add(replace(subjects[0], networks=(bad,)), frames)
    assert not group.samples
