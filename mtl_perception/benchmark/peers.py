"""
Pairs of public networks, as alternatives to one multitask model.

They are torchvision's networks with random weights: nothing is downloaded, and the time of a
network does not depend on its weights. The time of NMS depends on the number of boxes, so the
score of the background is set such that about `SHOWN` boxes per image pass the score threshold, as
in a frame with some traffic.

Peers have all optimisations of our models. They run in the same pipeline and runtimes, as the same
deployable graph: normalisation, decoding, top-k and arg max inside, batch norms folded, and our
NMS instead of torchvision's. They have the same numbers of classes as our model, not the 91 of
COCO or the 21 of VOC, and their label maps have the stride of ours. They differ from ours only by
the networks and their number.

Requires torch and torchvision, except for running an exported file.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mtl_perception.errors import ConfigError, StartError
from mtl_perception.inference.pipeline import Pipeline, PipelineOptions
from mtl_perception.inference.registry import open_runtime
from mtl_perception.inference.results import Timings
from mtl_perception.inference.runtime import not_installed, Runtime, RuntimeOptions, silent
from mtl_perception.labels import LabelSet
from mtl_perception.spec import ModelSpec

if TYPE_CHECKING:
    from torch import nn

PAIRS = {
    'thesis kind': ('ssd300_vgg16', 'fcn_resnet50'),
    'mobile kind': ('ssdlite320_mobilenet_v3_large', 'lraspp_mobilenet_v3_large'),
}
"""Pair -> torchvision's names of its detector and its segmentation network."""

OWN_SIZES = {
    'ssd300_vgg16': (300, 300),
    'fcn_resnet50': (520, 520),
    'ssdlite320_mobilenet_v3_large': (320, 320),
    'lraspp_mobilenet_v3_large': (520, 520),
}
"""
Name -> the network's original width and height in pixels.

Those of segmentation are torchvision's for evaluation (`resize_size` of the weights' transforms),
at which the published accuracy is measured; torchvision states no other.
"""

SHOWN = 30
"""Mean number of boxes per image above the threshold, over images of noise."""

_SEED = 0
_IMAGES = 4


@dataclass(frozen=True)
class Peer:
    """One public network at one size."""

    name: str
    """torchvision's name, one of `OWN_SIZES`."""
    pair: str
    """One of `PAIRS`."""
    task: str
    """'detection' or 'segmentation'."""
    input_size: tuple[int, int]
    """Width and height in pixels."""
    classes: int
    """Number of classes, as in our model."""
    label_stride: int = 4
    """Network pixels per pixel of the label map: 4 or 1, as our model's."""
    candidates: int = 1000
    """Number of boxes in the graph's outputs, as in our model."""

    def to_text(self) -> str:
        """Return the fields as JSON, for ``Network.peer``."""
        return json.dumps(asdict(self))

    @property
    def spec(self) -> ModelSpec:
        """The spec in the peer's file; its architecture is not one that can be trained."""
        labels = LabelSet.of(*(f'class {index}' for index in range(self.classes)))
        return ModelSpec(
            architecture=self.name, backbone=self.name.partition('_')[2],
            detection=labels if self.task == 'detection' else None,
            segmentation=labels if self.task == 'segmentation' else None,
            input_size=self.input_size, label_stride=self.label_stride,
            candidates=self.candidates,
            provenance={'weights': 'random', 'source': 'torchvision'})


@dataclass(frozen=True)
class PeerCost:
    """Cost of a peer for one image."""

    parameters: int
    macs: int
    """Multiply-accumulate operations of convolutions and matrix products."""


class OpenPeer:
    """An open peer that processes frames."""

    def __init__(self, runtime: Runtime, options: PipelineOptions | None = None) -> None:
        """Use the peer in a runtime."""
        self.runtime = runtime
        self._pipeline = Pipeline(runtime, options)

    def run(self, image: np.ndarray) -> Timings:
        """
        Return the seconds from a decoded frame to its result.

        `image` is uint8 [H, W, 3] BGR; this includes letterbox, network, NMS, boxes and label map
        in pixels of the frame.
        """
        return self._pipeline.run(image, 'bgr').timings


def peers_of(spec: ModelSpec, pair: str, own_size: bool) -> tuple[Peer, Peer]:
    """
    Return detector and segmentation network of a pair for comparison with the model of `spec`.

    They have their original sizes, or that of the model. Raises ConfigError if the model has only
    one task, or there is no such pair.
    """
    if pair not in PAIRS:
        raise ConfigError(f'no pair of peers {pair!r}; the pairs are {", ".join(PAIRS)}')
    if not (spec.detection and spec.segmentation):
        raise ConfigError(f'peers are compared with a model of two tasks; this one has '
                          f'{", ".join(spec.tasks)} only')
    counts = len(spec.detection), len(spec.segmentation)
    first, second = (
        Peer(name, pair, task, OWN_SIZES[name] if own_size else spec.input_size, count,
             spec.label_stride, spec.candidates)
        for name, task, count in zip(PAIRS[pair], ('detection', 'segmentation'), counts,
                                     strict=True))
    return first, second


def build_peer(peer: Peer) -> nn.Module:
    """
    Return the peer's network, in evaluation mode, with the same random weights each time.

    Raises StartError if torch or torchvision is missing, ConfigError for an unknown name.
    """
    if peer.name not in OWN_SIZES:
        raise ConfigError(f'no peer {peer.name!r}; the peers are {", ".join(OWN_SIZES)}')
    try:
        import torch

        from mtl_perception.benchmark.peer_networks import PeerDetector, PeerSegmenter
    except ModuleNotFoundError as error:
        raise not_installed(error) from None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        if peer.task == 'segmentation':
            return PeerSegmenter(peer.name, peer.classes).eval()
        network = PeerDetector(peer.name, peer.classes, peer.input_size).eval()
        network.calibrate(torch.from_numpy(np.stack(_noise(peer, _IMAGES))), SHOWN,
                          PipelineOptions().score_threshold)
    return network


def peer_cost(peer: Peer) -> PeerCost:
    """Return parameters and operations of a peer; StartError as `build_peer`."""
    network = build_peer(peer)
    from mtl_perception.models.cost import part_costs
    return PeerCost(sum(parameter.numel() for parameter in network.parameters()),
                    sum(part.macs for part in part_costs(network, peer.input_size)))


def export_peer(peer: Peer, folder: Path) -> Path:
    """
    Write the peer as ONNX into `folder` and return the file's path.

    It is a regular model file of this package, which all runtimes for ONNX open. Raises StartError
    if torch, torchvision or onnx is missing, ModelError if ONNX Runtime and torch do not agree.
    """
    network = build_peer(peer)
    try:
        from mtl_perception.models.export import export_onnx
    except ModuleNotFoundError as error:
        raise not_installed(error) from None
    width, height = peer.input_size
    path = folder / f'{peer.name}_{width}x{height}.onnx'
    export_onnx(network, peer.spec, path, _noise(peer, 1))
    return path


def open_peer(source: Path | Peer, runtime: str = 'auto', precision: str = 'auto',
              threads: int = 0) -> OpenPeer:
    """
    Return a peer ready to run: a file of `export_peer`, or a peer in torch eager on the CPU.

    `runtime` is a name of ``mtl_perception.inference.registry``, for a `Peer` 'torch' or 'auto';
    `precision` and `threads` are those of ``RuntimeOptions``. Raises ConfigError for an
    unsupported choice, ModelError and StartError as ``open_runtime`` and `build_peer` do.
    """
    if isinstance(source, Path):
        options = RuntimeOptions(runtime, 'cpu', precision, threads)
        return OpenPeer(open_runtime(source, options, silent))
    if runtime not in ('auto', 'torch'):
        raise ConfigError(
            f'{source.name}: the runtime {runtime} needs the peer as an exported file')
    if precision not in ('auto', 'fp32'):
        raise StartError(f'{source.name}: torch computes in fp32, not {precision}')
    network = build_peer(source)
    import torch

    from mtl_perception.inference.torch_runtime import TorchRuntime
    if threads:
        torch.set_num_threads(threads)
    return OpenPeer(TorchRuntime.of_network(network, source.spec, 'cpu'))


def _noise(peer: Peer, count: int) -> list[np.ndarray]:
    """Return images of noise, uint8 [H, W, 3], of the peer's size, from coarse to fine."""
    import cv2
    width, height = peer.input_size
    random = np.random.default_rng(_SEED)
    cells = (64 >> index for index in range(count))
    return [cv2.resize(random.integers(0, 256, (-(-height // cell), -(-width // cell), 3),
                                       np.uint8), (width, height)) for cell in cells]
