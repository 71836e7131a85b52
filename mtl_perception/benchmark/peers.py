"""
Public networks of both tasks in pairs: what a user would run instead of one multitask model.

They are torchvision's, with random weights: nothing is downloaded, and how long a network takes
does not depend on its weights. What comes after it does: NMS takes longer the more boxes there
are. So the score of the background is set such that about `SHOWN` boxes of an image pass the score
threshold, as in a frame with some traffic.

Peers get every benefit that our models have. They run through the same pipeline and runtimes, as
the same deployable graph: normalisation, decoding, top-k and arg max inside, batch norms folded,
and our NMS outside instead of torchvision's. They tell apart as many classes as our model, not the
91 of COCO or the 21 of VOC, and their label maps have the stride of ours. What is left between
them and ours is the networks, and that there are two.

Needs torch and torchvision, but for running a file that is exported.
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
Name -> width and height in pixels that the network is made for.

Those of segmentation are torchvision's for evaluation (`resize_size` of the weights' transforms),
at which the published accuracy is measured; it has no other of its own.
"""

SHOWN = 30
"""Boxes of an image that score above the threshold, as a mean over images of noise."""

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
    """As many as our model has of this task."""
    label_stride: int = 4
    """Network pixels per pixel of the label map: 4 or 1, as our model's."""
    candidates: int = 1000
    """Boxes that leave the graph, as our model's."""

    def to_text(self) -> str:
        """Return the fields as JSON, which ``Network.peer`` holds."""
        return json.dumps(asdict(self))

    @property
    def spec(self) -> ModelSpec:
        """The spec in the peer's file; its architecture is not one that we can train."""
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
    """What a peer costs for one image."""

    parameters: int
    macs: int
    """Multiply-accumulate operations of convolutions and matrix products."""


class OpenPeer:
    """A peer that answers frames."""

    def __init__(self, runtime: Runtime, options: PipelineOptions | None = None) -> None:
        """Take the peer in a runtime."""
        self.runtime = runtime
        self._pipeline = Pipeline(runtime, options)

    def run(self, image: np.ndarray) -> Timings:
        """
        Return the seconds that a decoded frame took, from the frame to the result.

        `image` is uint8 [H, W, 3] BGR; letterbox, network, NMS, boxes and label map in pixels of
        the frame are all done.
        """
        return self._pipeline.run(image, 'bgr').timings


def peers_of(spec: ModelSpec, pair: str, own_size: bool) -> tuple[Peer, Peer]:
    """
    Return detector and segmentation network of a pair that stand beside the model of `spec`.

    At their own sizes, or at that of the model. Raises ConfigError where the model has one task
    only, or there is no such pair.
    """
    if pair not in PAIRS:
        raise ConfigError(f'no pair of peers {pair!r}; there are {", ".join(PAIRS)}')
    if not (spec.detection and spec.segmentation):
        raise ConfigError(f'peers stand beside a model of two tasks; this one has '
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
    Return the peer's network, in evaluation mode, the same random weights each time.

    Raises StartError where torch or torchvision is missing, ConfigError for an unknown name.
    """
    if peer.name not in OWN_SIZES:
        raise ConfigError(f'no peer {peer.name!r}; there are {", ".join(OWN_SIZES)}')
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

    It is an ordinary model file of this package: every runtime that reads ONNX opens it. Raises
    StartError where torch, torchvision or onnx is missing, ModelError where ONNX Runtime does not
    give the same results as torch.
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
    `precision` and `threads` are those of ``RuntimeOptions``. Raises ConfigError for an impossible
    choice, ModelError and StartError as ``open_runtime`` and `build_peer` do.
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
    """Return images of noise, uint8 [H, W, 3], of the peer's size: coarse, and the next finer."""
    import cv2
    width, height = peer.input_size
    random = np.random.default_rng(_SEED)
    cells = (64 >> index for index in range(count))
    return [cv2.resize(random.integers(0, 256, (-(-height // cell), -(-width // cell), 3),
                                       np.uint8), (width, height)) for cell in cells]
