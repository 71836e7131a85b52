"""
Measurement of the groups of subjects, one after the other, and collection of their results.

All subjects of a target are a group, so that ratios within it are paired by round. The last group
contains the multitask model in all targets, and peers, for ratios between these.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
import time

from mtl_perception.benchmark import bare
from mtl_perception.benchmark.frames import FrameFile
from mtl_perception.benchmark.machine import OtherWork
from mtl_perception.benchmark.model_files import ModelFiles
from mtl_perception.benchmark.results import by_what, plain, Results
from mtl_perception.benchmark.rounds import Effort, Group, MIN_ROUNDS, Samples
from mtl_perception.benchmark.statistics import ratio, spread
from mtl_perception.benchmark.subjects import (
    BARE,
    DETECTION,
    MODEL,
    MULTITASK,
    Network,
    PARALLEL,
    PEER,
    SEGMENTATION,
    SEQUENTIAL,
    Subject,
)
from mtl_perception.benchmark.targets import Target
from mtl_perception.errors import MtlError
from mtl_perception.inference.registry import ENTRIES
from mtl_perception.inference.runtime import Say

BOTH = (DETECTION, SEGMENTATION)

TORCH = 'torch'
TORCH_ROUNDS = 3
"""Torch runs in one of this number of rounds only: it is slow, and included for comparison."""

ACROSS = 'all runtimes'
"""Name of the last group."""


@dataclass(frozen=True)
class Plan:
    """Subjects of the measurement."""

    files: dict[str, ModelFiles]
    """Model files by suffix."""
    targets: tuple[Target, ...]
    frames: FrameFile
    network: Network
    """Threads and cache of all networks."""
    effort: Effort
    """Its seconds apply to all groups together."""
    peers: tuple[Subject, ...] = ()
    """Peers, opened in the last group; their ONNX files run in the fastest target."""


def measure(plan: Plan, results: Results, others: dict[str, float | None], say: Say) -> None:
    """
    Measure all groups; `results` is updated after each, also if this is interrupted.

    `others`: group -> share of the cores used by other processes. A group whose process fails is
    skipped with a warning; MtlError if all do.
    """
    groups = len(plan.targets) + (len(plan.targets) > 1 or bool(plan.peers))
    end = time.monotonic() + plan.effort.seconds
    failed: list[MtlError] = []
    for index, target in enumerate(plan.targets):
        effort = _share(plan.effort, end, groups - index)
        if target.runtime == TORCH and len(plan.targets) > 1:
            effort = replace(effort, rounds=min(
                effort.rounds, max(MIN_ROUNDS, effort.rounds // TORCH_ROUNDS)))
        try:
            _measure_target(plan, target, effort, results, others, say)
        except MtlError as error:
            failed.append(error)
            results.values['warnings'].append(f'{target.name}: skipped: {error}')
    if len(failed) == len(plan.targets):
        raise failed[0]
    if groups > len(plan.targets):
        measured = {subject['target'] for subject in results.values['subjects']}
        targets = [target for target in plan.targets if target.name in measured]
        try:
            _measure_across(plan, targets, _share(plan.effort, end, 1), results, others, say)
        except MtlError as error:
            results.values['warnings'].append(f'{ACROSS}: skipped: {error}')


def subjects_of(files: ModelFiles, target: Target, network: Network) -> list[Subject]:
    """Return the subjects of a target; 'parallel' uses the processes of the two single ones."""
    def opened(path: object, *tasks: str) -> Network:
        return target.on(replace(network, kind=MODEL, path=str(path), tasks=tasks))

    one = opened(files.multitask, *BOTH)
    detection, segmentation = opened(files.detection, DETECTION), opened(
        files.segmentation, SEGMENTATION)
    found = [Subject(_name(what, target), what, networks, what == PARALLEL)
             for what, networks in (
                 (MULTITASK, (one,)), (DETECTION, (detection,)), (SEGMENTATION, (segmentation,)),
                 (SEQUENTIAL, (detection, segmentation)), (PARALLEL, (detection, segmentation)))]
    if target.runtime in bare.RUNTIMES and target.device == 'cpu':
        found.append(Subject(_name('bare loop', target), MULTITASK, (replace(
            one, kind=BARE, precision=target.precision),)))
    return found


def _name(what: str, target: Target) -> str:
    return f'{what}, {target.name}'


def _share(effort: Effort, end: float, groups: int) -> Effort:
    """Return the effort of a group: the remaining time is divided among the remaining groups."""
    return replace(effort, seconds=max(0.0, (end - time.monotonic()) / groups))


def _measure_target(plan: Plan, target: Target, effort: Effort, results: Results,
                    others: dict[str, float | None], say: Say) -> None:
    """Measure a target's subjects."""
    subjects = subjects_of(plan.files[ENTRIES[target.runtime].suffix], target, plan.network)
    with Group() as group:
        say(f'{target.name}: opening')
        try:
            for subject in subjects:
                group.add(subject, plan.frames.path)
            _rounds(group, target.name, effort, others, say)
        finally:
            samples = by_what([item for item in group.samples.values() if item.seconds])
            for what, item in samples.items():
                if what != BARE:
                    results.add(item, target.name)
            if samples:
                results.add_ratios(target.name, samples)


def _measure_across(plan: Plan, measured: Sequence[Target], effort: Effort, results: Results,
                    others: dict[str, float | None], say: Say) -> None:
    """Measure the multitask model in all targets, and peers, interleaved."""
    targets = {target.name: target for target in measured}
    fastest = results.values['fastest']
    with Group() as group:
        say(f'{ACROSS}: opening')
        try:
            for target in targets.values():
                files = plan.files[ENTRIES[target.runtime].suffix]
                group.add(subjects_of(files, target, plan.network)[0], plan.frames.path)
            for peer in plan.peers:
                _add_peer(group, peer, targets[fastest], plan, results)
            _rounds(group, ACROSS, effort, others, say)
        finally:
            _keep_across(group, targets, fastest, results)


def _add_peer(group: Group, peer: Subject, fastest: Target, plan: Plan, results: Results) -> None:
    """Open a pair of peers: an exported one in the fastest target."""
    is_exported = all(network.kind == MODEL for network in peer.networks)
    networks = tuple(
        fastest.on(network) if network.kind == MODEL else network for network in peer.networks)
    where = fastest.name if is_exported else 'torch fp32'
    if is_exported and fastest.runtime == TORCH:
        return
    try:
        group.add(replace(peer, name=f'{peer.name}, {where}', networks=networks),
                  plan.frames.path)
    except MtlError as error:
        results.values['warnings'].append(f'{peer.name}: skipped: {error}')


def _keep_across(group: Group, targets: dict[str, Target], fastest: str, results: Results) -> None:
    samples = {name: item for name, item in group.samples.items() if item.seconds}
    best = samples.get(_name(MULTITASK, targets[fastest]))
    if best is None:
        return
    across = {}
    for name, target in targets.items():
        found = samples.get(_name(MULTITASK, target))
        if found:
            across[name] = {
                'milliseconds': spread([times * 1e3 for times in found.seconds]).to_dict(),
                'over_fastest': plain(ratio(found.seconds, best.seconds))}
            if target.runtime == TORCH and target.device == 'cpu' and target.name != fastest:
                results.values['ratios']['torch_eager_over_best_runtime'] = \
                    across[name]['over_fastest']
    results.values['across_runtimes'] = across
    peers = [item for item in samples.values() if item.subject.what.startswith('peers')]
    for item in peers:
        _keep_peer(item, best, results)


def _keep_peer(item: Samples, best: Samples, results: Results) -> None:
    runtime = 'torch fp32' if item.subject.networks[0].kind == PEER else results.values['fastest']
    results.add(item, runtime)
    over = plain(ratio(item.seconds, best.seconds))
    results.values['subjects'][-1]['over_multitask'] = over
    # The first is the pair similar to the thesis, at its original size.
    if results.values['ratios']['peers_over_multitask'] is None and runtime != 'torch fp32':
        results.values['ratios']['peers_over_multitask'] = over


def _rounds(group: Group, name: str, effort: Effort, others: dict[str, float | None],
            say: Say) -> None:
    say(f'{name}: {len(group.samples)} interleaved subjects, {effort.rounds} rounds')
    meter = OtherWork(group.pids)
    try:
        group.measure(effort)
    finally:
        others[name] = meter.share()
    made = min(len(item.seconds) for item in group.samples.values())
    if made < effort.rounds:
        say(f'{name}: {made} rounds within the time limit')

