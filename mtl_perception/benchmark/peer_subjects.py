"""Pairs of public networks as subjects, for comparison with a model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from mtl_perception.benchmark.costs import file_cost, FileCost
from mtl_perception.benchmark.measure import TORCH
from mtl_perception.benchmark.peers import export_peer, PAIRS, Peer, peer_cost, peers_of
from mtl_perception.benchmark.subjects import MODEL, Network, PEER, Subject
from mtl_perception.errors import MtlError, StartError
from mtl_perception.inference.runtime import Say
from mtl_perception.spec import ModelSpec


def peer_subjects(spec: ModelSpec, network: Network, folder: Path, in_torch: bool, say: Say
                  ) -> tuple[list[Subject], dict[str, FileCost]]:
    """
    Return the pairs for the model of `spec`, and the costs of each network for ``Results.costs``.

    Each pair is exported into `folder`, at its original sizes and at the model's; at its original
    sizes it is also a subject in torch eager if `in_torch` is set. The first one is similar to the
    thesis. Both networks of a pair are in one process. `say` receives the pairs that are omitted
    because they cannot be built. Raises StartError if torch or torchvision is missing.
    """
    subjects: list[Subject] = []
    costs: dict[str, FileCost] = {}
    for own_size in (True, False):
        for pair in PAIRS:
            peers = peers_of(spec, pair, own_size)
            name = ' + '.join(peer.name for peer in peers)
            size = 'own sizes' if own_size else 'our size'
            say(f'exporting {name}, {size}')
            try:
                networks = tuple(_exported(peer, network, folder, costs) for peer in peers)
            except StartError:
                raise
            except MtlError as error:
                say(f'{name}, {size}: skipped: {error}')
                continue
            subjects.append(Subject(f'{name}, {size}', f'peers {pair}', networks))
            if own_size and in_torch:
                subjects.append(Subject(f'{name}, {size}', f'peers {pair}', tuple(
                    _eager(peer, exported, network, costs)
                    for peer, exported in zip(peers, networks, strict=True))))
    return subjects, costs


def _exported(peer: Peer, network: Network, folder: Path, costs: dict[str, FileCost]) -> Network:
    path = export_peer(peer, folder)
    costs[str(path)] = replace(file_cost(path), gmac=peer_cost(peer).macs / 1e9)
    return replace(network, kind=MODEL, path=str(path), tasks=(peer.task,))


def _eager(peer: Peer, exported: Network, network: Network, costs: dict[str, FileCost]
           ) -> Network:
    """Return the peer in torch, with nearly the same weights as the exported file."""
    text = peer.to_text()
    costs[text] = costs[exported.path]
    return replace(network, kind=PEER, peer=text, runtime=TORCH, device='cpu', precision='fp32',
                   tasks=(peer.task,))
