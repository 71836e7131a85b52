"""Measurements after the main comparison: parts and, on request, limits and scaling."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
import importlib.util
from pathlib import Path

from mtl_perception.benchmark import parts
from mtl_perception.benchmark.measure import Plan, subjects_of, TORCH
from mtl_perception.benchmark.memory_limit import memory_limits
from mtl_perception.benchmark.results import Results
from mtl_perception.benchmark.sweep import sweep, SweepPlan
from mtl_perception.errors import DataError, MtlError, StartError
from mtl_perception.extras import remedy
from mtl_perception.inference.registry import ENTRIES
from mtl_perception.inference.runtime import Say

MEMORY_LIMIT, SWEEP = 'memory_limit', 'sweep'

_SWEEP_ROUNDS, _SWEEP_SECONDS = 7, 60.0
"""Maximum number of rounds, and seconds per axis and target, since there are many subjects."""


def measure_requested(plan: Plan, what: Collection[str], results: Results, folder: Path, say: Say
                      ) -> None:
    """Measure the requested ones of `MEMORY_LIMIT` and `SWEEP`, updating `results`."""
    values = results.values
    if MEMORY_LIMIT in what:
        values[MEMORY_LIMIT] = {}
        memory_limits({
            target.name: subjects_of(plan.files[ENTRIES[target.runtime].suffix], target,
                                     plan.network)
            for target in plan.targets}, plan.frames.path, say, values[MEMORY_LIMIT])
    if SWEEP in what:
        values[SWEEP] = []
        targets = [target for target in plan.targets if target.runtime != TORCH]
        if '.onnx' not in plan.files or not targets:
            say('sweep: skipped: it needs a runtime that reads ONNX files')
            return
        effort = replace(plan.effort, rounds=min(plan.effort.rounds, _SWEEP_ROUNDS),
                         seconds=_SWEEP_SECONDS)
        checkpoint = plan.files.get('.pt')
        sweep(SweepPlan(plan.files['.onnx'].multitask,
                        checkpoint.multitask if checkpoint else None, targets, plan.network,
                        plan.frames.path, folder), effort, say, values[SWEEP])


def measure_parts(plan: Plan, results: Results, say: Say) -> None:
    """Measure the parts of the multitask model in all targets whose runtime has a profile."""
    values = results.values
    for target in plan.targets:
        if target.runtime not in parts.RUNTIMES or target.device != 'cpu':
            continue
        say(f'{target.name}: time of the parts')
        path = plan.files[ENTRIES[target.runtime].suffix].multitask
        try:
            found = parts.time_parts(path, target.runtime, target.precision, plan.network.threads)
        except MtlError as error:
            values['warnings'].append(f'{target.name}: no time of the parts: {error}')
            continue
        values['parts'] = [*(values['parts'] or ()), *(
            {'target': target.name, 'part': part, 'milliseconds': milliseconds}
            for part, milliseconds in found.items())]


def prepare_report(folder: Path) -> None:
    """
    Create the folder of a report before hours are spent.

    Raises StartError if a package of the report is missing, DataError if the folder cannot be
    created.
    """
    for name in ('jinja2', 'matplotlib'):
        if importlib.util.find_spec(name) is None:
            raise StartError(f'the report needs the package {name}', remedy(name) or '')
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f'{folder}: cannot be created: {error.strerror}') from None
