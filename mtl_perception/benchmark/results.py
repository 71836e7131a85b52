"""Results of a benchmark: the plain values of its JSON file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
import json
from pathlib import Path
from typing import Any

import numpy as np

from mtl_perception.benchmark.costs import FileCost
from mtl_perception.benchmark.rounds import facts_of, Samples
from mtl_perception.benchmark.statistics import Interval, medians, ratio, spread
from mtl_perception.benchmark.subjects import (
    BARE,
    MULTITASK,
    Network,
    PARALLEL,
    SEQUENTIAL,
    Subject,
)
from mtl_perception.files import write_text

FORMAT = 1
"""Version of the JSON."""

RATIOS = ('single_sequential_over_multitask', 'single_parallel_over_multitask', 'weights_memory',
          'peak_memory', 'peak_memory_parallel', 'torch_eager_over_best_runtime',
          'peers_over_multitask')
"""
Keys of 'ratios'. `weights_memory`: bytes of weights of two relative to one; `peak_memory`: peak
resident memory of the process with both single-task models relative to that with the multitask
model; `peak_memory_parallel`: the same for separate processes, with shared pages counted twice.
"""

Values = dict[str, Any]


@dataclass
class Results:
    """The values of the JSON file, complete at any time."""

    values: Values
    costs: dict[str, FileCost] = field(default_factory=dict)
    """`cost_key` of a network -> its costs."""

    def add(self, samples: Samples, target: str) -> None:
        """Add a measured subject; one without a complete round is omitted."""
        if samples.seconds:
            self.values['subjects'].append(subject_values(samples, self.costs, target))

    def add_ratios(self, target: str, samples: dict[str, Samples]) -> None:
        """Compute the ratios within a target: what -> its samples."""
        found: dict[str, Values | None] = dict.fromkeys(RATIOS)
        one = samples.get(MULTITASK)
        for what, name in ((SEQUENTIAL, RATIOS[0]), (PARALLEL, RATIOS[1])):
            if one and what in samples:
                found[name] = plain(ratio(samples[what].seconds, one.seconds))
        if one and one.seconds and SEQUENTIAL in samples:
            pair = samples[SEQUENTIAL]
            weights = weights_bytes(pair.subject, self.costs)
            of_one = weights_bytes(one.subject, self.costs)
            if weights and of_one:
                found['weights_memory'] = Interval.exact(weights / of_one).to_dict()
            for what, name in ((SEQUENTIAL, 'peak_memory'), (PARALLEL, 'peak_memory_parallel')):
                peaks = sum(samples[what].peak_bytes) if what in samples else 0
                own = sum(one.peak_bytes)
                if peaks and own:
                    found[name] = Interval.exact(peaks / own).to_dict()
        self.values['ratios_by_runtime'][target] = found
        self._choose_fastest()
        if one and BARE in samples:
            bare = samples[BARE]
            self.values['bare_loop'][target] = plain(
                ratio(one.stages.get('network', []), bare.stages.get('network', [])))

    def _choose_fastest(self) -> None:
        """Set 'ratios' to those of the target in which the multitask model is fastest so far."""
        medians_ms = {subject['target']: subject['milliseconds']['median']
                      for subject in self.values['subjects'] if subject['what'] == MULTITASK}
        if medians_ms:
            fastest = min(medians_ms, key=lambda name: medians_ms[name])
            self.values['fastest'] = fastest
            self.values['ratios'].update(self.values['ratios_by_runtime'][fastest])

    def write(self, path: Path) -> None:
        """Write the JSON file atomically; DataError if that fails."""
        write_json(self.values, path)


def subject_values(samples: Samples, costs: dict[str, FileCost], target: str) -> Values:
    """Return the entry of a subject under 'subjects'."""
    subject = samples.subject
    facts = facts_of(samples)
    return {
        'name': subject.name, 'what': subject.what, 'target': target,
        'runtime': facts[0]['runtime'], 'version': facts[0]['version'],
        'device': facts[0]['device'], 'precision': facts[0]['precision'],
        'threads': subject.networks[0].threads, 'input_size': facts[0]['input_size'],
        'milliseconds': spread([times * 1e3 for times in samples.seconds]).to_dict(),
        'stages': {name: float(np.median(medians(rounds))) * 1e3
                   for name, rounds in samples.stages.items()},
        'rounds': [float(value) * 1e3 for value in medians(samples.seconds)],
        'weights_bytes': weights_bytes(subject, costs),
        'peak_bytes': sum(samples.peak_bytes),
        'start_seconds': max(item.start_seconds for item in samples.facts),
        'networks': [costs[key].to_dict() for key in map(cost_key, subject.networks)
                     if key in costs]}


def cost_key(network: Network) -> str:
    """Return the key of the costs of a network: its file's path, or the peer."""
    return network.path or network.peer


def weights_bytes(subject: Subject, costs: dict[str, FileCost]) -> int | None:
    """Return the bytes of weights loaded by a subject's processes; None: unknown."""
    found = [costs[key].weights_bytes if key in costs else None
             for key in map(cost_key, subject.networks)]
    return None if None in found else sum(item for item in found if item is not None)


def plain(interval: Interval | None) -> Values | None:
    """Return an interval as plain values."""
    return None if interval is None else interval.to_dict()


def by_what(samples: Sequence[Samples]) -> dict[str, Samples]:
    """Return the samples of one target by the kind of subject."""
    return {item.subject.what if item.subject.networks[0].kind != BARE else BARE: item
            for item in samples}


def write_json(values: Values, path: Path) -> None:
    """Write JSON to the file atomically; DataError if that fails."""
    write_text(path, json.dumps(values, indent=2, allow_nan=False) + '\n')
