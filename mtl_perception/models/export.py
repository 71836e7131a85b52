"""
Export of a network as the deployable graph in ONNX, with a check that both agree.

The file contains the model's spec as metadata, so that a user only needs to give its path.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
import logging
from pathlib import Path
import warnings

import numpy as np
import onnx
import onnxruntime
import torch
from torch import nn

from mtl_perception.errors import ModelError
from mtl_perception.files import make_folder, replacing
from mtl_perception.graph_contract import INPUT, output_names
from mtl_perception.models.graph import DeployableGraph
from mtl_perception.models.onnx_graph import fold, forget_sources, name_parts
from mtl_perception.models.onnx_half import to_half
from mtl_perception.spec import METADATA_KEY, ModelSpec

OPSET = 18
"""ONNX operator set of the graph: read by ONNX Runtime 1.14, OpenVINO 2023 and TensorRT 10."""

IR_VERSION = 8
"""Version of the file format introduced with `OPSET`; ONNX Runtime 1.17 reads up to version 9."""


@dataclass(frozen=True)
class Tolerance:
    """Tolerated differences between torch and ONNX."""

    box: float
    """Network pixels."""
    score: float
    equal_labels: float
    """Minimum share of equal pixels in an image's label map."""
    shown: float
    """Candidates below this score are not compared, except for the `COMPARED_ANYWAY` best ones."""


TOLERANCES = {
    'fp32': Tolerance(box=0.5, score=1e-3, equal_labels=0.999, shown=0.05),
    # Weights are rounded to 11 bits (on a CPU, ONNX Runtime rounds nothing else). These are two to
    # three times the largest differences of the shipped model on 28 images of its data sets: 2.1
    # px, 0.007 and 0.92 (for a thermal image, without training labels for segmentation; 0.989 for
    # a colour image). Below a score of 0.2, candidates change class or leave the list, and have no
    # counterpart.
    'fp16': Tolerance(box=5, score=0.02, equal_labels=0.8, shown=0.3),
}
"""Number format of the graph -> tolerated differences from torch in FP32."""

COMPARED_ANYWAY = 20
"""Number of best candidates that are compared regardless of their score."""


@dataclass(frozen=True)
class Difference:
    """Largest differences between two runs of the graph over some images."""

    candidates: int
    """Number of candidates compared."""
    box: float
    """Network pixels."""
    score: float
    equal_labels: float
    """Smallest share of equal pixels in an image's label map."""
    tolerance: Tolerance = TOLERANCES['fp32']

    @property
    def tolerable(self) -> bool:
        """Whether all differences are tolerated."""
        return (self.box <= self.tolerance.box and self.score <= self.tolerance.score
                and self.equal_labels >= self.tolerance.equal_labels)


def export_onnx(network: nn.Module, spec: ModelSpec, path: Path,
                images: Sequence[np.ndarray], precision: str = 'fp32') -> Difference:
    """
    Write `network` to `path` as ONNX with a dynamic batch and return the differences from torch.

    `images` are uint8 [H, W, 3] RGB of the spec's input size, `precision` one of `TOLERANCES`.
    If ONNX Runtime and torch, which computes in FP32, differ by more than the tolerance, `path` is
    not written and ModelError is raised.
    """
    graph = DeployableGraph(network, spec).eval().cpu()
    pair = torch.from_numpy(np.repeat(images[0][None], 2, axis=0))
    make_folder(path.parent)
    with replacing(path) as temporary:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter('ignore')
            # Its warnings are about operators of packages that this graph does not use.
            logging.getLogger('torch.onnx').setLevel(logging.ERROR)
            torch.onnx.export(
                graph, (pair,), temporary, input_names=[INPUT],
                output_names=list(output_names(spec)), opset_version=OPSET, dynamo=True,
                dynamic_shapes={'images': {0: torch.export.Dim('batch')}}, external_data=False,
                verbose=False)
        model = onnx.load(temporary)
        fold(model)
        name_parts(model)
        forget_sources(model)
        if precision == 'fp16':
            to_half(model)
        # The exporter writes a later version, whose features the graph does not use.
        model.ir_version = IR_VERSION
        onnx.helper.set_model_props(model, {METADATA_KEY: spec.to_json()})
        onnx.checker.check_model(model, full_check=True)
        onnx.save(model, temporary)
        difference = compare(graph, temporary, images, TOLERANCES[precision])
        if not difference.tolerable:
            raise ModelError(
                f'{path}: not written, since ONNX Runtime and torch differ too much: boxes '
                f'{difference.box:.3f} px, scores {difference.score:.2g}, equal labels '
                f'{difference.equal_labels:.5f}')
    return difference


def compare(graph: DeployableGraph, path: Path, images: Sequence[np.ndarray],
            tolerance: Tolerance = TOLERANCES['fp32']) -> Difference:
    """Return the largest differences between `graph` and the ONNX file over `images`."""
    names = output_names(graph.spec)
    session = onnxruntime.InferenceSession(str(path), providers=['CPUExecutionProvider'])
    count, box, score, equal = 0, 0.0, 0.0, 1.0
    for image in images:
        with torch.no_grad():
            outputs = graph(torch.from_numpy(image[None]))
        ours = dict(zip(names, (o.numpy()[0] for o in outputs), strict=True))
        theirs = dict(zip(
            names, (o[0] for o in session.run(names, {INPUT: image[None]})), strict=True))
        if 'label_map' in names:
            equal = min(equal, float((ours['label_map'] == theirs['label_map']).mean()))
        if 'boxes' in names:
            # Nearly equal scores may change order, so each candidate is matched to its
            # counterpart.
            shown = int((ours['scores'] >= tolerance.shown).sum())
            for index in range(min(max(shown, COMPARED_ANYWAY), len(ours['scores']))):
                same = theirs['classes'] == ours['classes'][index]
                if not same.any():
                    box = score = float('inf')
                    continue
                gaps = np.abs(theirs['boxes'][same] - ours['boxes'][index]).max(axis=1)
                scores = np.abs(theirs['scores'][same] - ours['scores'][index])
                twin = (gaps / tolerance.box + scores / tolerance.score).argmin()
                box, score = max(box, float(gaps[twin])), max(score, float(scores[twin]))
                count += 1
    return Difference(count, box, score, equal, tolerance)
