"""How many steps fit into a time budget, from the measured speed of a few of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import csv
from dataclasses import dataclass
import math
from pathlib import Path

import numpy as np

from mtl_perception.training.experiment_file import Experiment, Network
from mtl_perception.training.run_log import LOG_FILE

MARGIN = 1.1
"""Factor of the minutes that a run may take to those that its steps should."""

CLOSING_SECONDS, CLOSING_SHARE = 5.0, 0.03
"""Time, and share of the budget, that is set aside for collecting the results."""

EVALUATION_MARGIN = 1.5
"""Factor of the time that is set aside for evaluations to what a few images' suggests."""

EVALUATION_SHARE = 0.4
"""Largest share of the budget for evaluations, above which they are of fewer images."""


@dataclass(frozen=True)
class RunSpeed:
    """What the log of a run says about its speed."""

    steps: int
    seconds: float
    """Time of all steps."""
    step_seconds: float
    """Mean time of a step, without the first third of them, which are slow to start."""
    images_per_second: float
    """Median over the steps."""
    wait_share: float
    """Median share of a step's time that was spent waiting for its batch."""


@dataclass(frozen=True)
class Plan:
    """What is to be trained within the time."""

    steps: int
    minutes: tuple[float, ...]
    """Limit of a run of each generation."""
    evaluation_images: int | None
    """Limit of the images of each set that are evaluated; None: all."""
    evaluation_seconds: float
    """Time that is set aside for evaluations."""


@dataclass(frozen=True)
class EvaluationTime:
    """What an evaluation of one task takes, besides the others that run at the same time."""

    fixed: float
    """Seconds besides its images."""
    per_image: float
    """Seconds of an image of any set, for all networks that are compared."""
    sizes: tuple[int, ...]
    """Validation images of each set."""

    def seconds(self, limit: int) -> float:
        """Return the seconds for at most `limit` images of each set."""
        return self.fixed + self.per_image * sum(min(size, limit) for size in self.sizes)


def read_speed(folder: Path, images: int) -> RunSpeed | None:
    """Return the speed of the run in `folder`, whose steps have `images` images; None: no step."""
    with (folder / LOG_FILE).open(newline='') as file:
        rows = list(csv.DictReader(file))
    if not rows:
        return None
    speeds = np.array([float(row['images_per_second']) for row in rows])
    seconds = images / np.maximum(speeds, 1e-3)
    return RunSpeed(
        len(rows), float(seconds.sum()), float(seconds[len(rows) // 3:].mean()),
        float(np.median(speeds)), float(np.median([float(row['wait_share']) for row in rows])))


def generations(experiment: Experiment) -> list[list[tuple[Network, int]]]:
    """Return networks and seeds by generation: without teachers, with such as teachers, ..."""
    found: dict[str, int] = {}
    for network in experiment.networks:
        found[network.name] = 1 + max(
            (found[name] for name in network.teachers.values()), default=-1)
    return [[(network, seed) for seed in experiment.seeds() for network in experiment.networks
             if found[network.name] == number and seed in network.seeds]
            for number in range(max(found.values()) + 1)]


def rounds(counts: Sequence[int], jobs: int) -> list[int]:
    """Return how often `jobs` runs at a time are started for each generation of `counts` runs."""
    return [math.ceil(count / jobs) for count in counts]


def make_plan(seconds: float, budget: float, counts: Sequence[int], jobs: int,
              step_seconds: Sequence[float], start_seconds: float,
              evaluations: Sequence[EvaluationTime]) -> Plan | None:
    """
    Return what fits into `seconds`, the rest of a `budget`; None where that is not one step.

    `counts` and `step_seconds` are by generation: runs, of which `jobs` at a time, and the time of
    a step. `start_seconds` is a run's time besides its steps. The longest of the
    `evaluations` counts.
    """
    def longest(limit: int) -> float:
        return max(item.seconds(limit) for item in evaluations)

    most = max(size for item in evaluations for size in item.sizes)
    room = EVALUATION_SHARE * budget / EVALUATION_MARGIN
    limit = next((images for images in range(most, 1, -1)
                  if longest(images) <= room), 1)
    aside = EVALUATION_MARGIN * longest(limit)
    times = rounds(counts, jobs)
    window = (seconds - aside - CLOSING_SECONDS - CLOSING_SHARE * budget
              - start_seconds * sum(times))
    one_step = sum(count * each for count, each in zip(times, step_seconds, strict=True))
    steps = int(window / (MARGIN * one_step))
    if steps < 1:
        return None
    return Plan(steps, tuple(MARGIN * steps * each / 60 for each in step_seconds),
                None if limit == most else limit, aside)


def medians(speeds: Mapping[str, RunSpeed]) -> tuple[float, float]:
    """Return the medians over runs of images per second and of the share of waiting."""
    return (float(np.median([speed.images_per_second for speed in speeds.values()])),
            float(np.median([speed.wait_share for speed in speeds.values()])))
