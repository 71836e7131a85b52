"""
Export of a network as the deployable graph in ONNX, and the check that both say the same.

The file carries the model's spec as metadata, so that its path is all that a user gives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
import logging
import os
from pathlib import Path
import warnings

import numpy as np
import onnx
import onnxruntime
import torch
from torch import nn

from mtl_perception.errors import ModelError
from mtl_perception.graph_contract import INPUT, output_names
from mtl_perception.models.graph import DeployableGraph
from mtl_perception.models.onnx_graph import fold, forget_sources
from mtl_perception.spec import METADATA_KEY, ModelSpec

OPSET = 18
"""ONNX operator set of the graph: read by ONNX Runtime 1.14, OpenVINO 2023 and TensorRT 10."""

IR_VERSION = 8
"""Version of the file format that came with `OPSET`; ONNX Runtime 1.17 reads none above 9."""

MAX_BOX_ERROR = 0.5
MAX_SCORE_ERROR = 1e-3
MIN_EQUAL_LABELS = 0.999
"""What is tolerated between torch and ONNX: network pixels, score, share of label map pixels."""

COMPARED_SCORE = 0.05
COMPARED_ANYWAY = 20
"""Candidates below this score are hardly ever shown; beyond so many of them none is compared."""


@dataclass(frozen=True)
class Difference:
    """Largest differences between two runs of the graph over some pictures."""

    candidates: int
    """Number of candidates compared."""
    box: float
    """Network pixels."""
    score: float
    equal_labels: float
    """Smallest share of equal pixels in a picture's label map."""

    @property
    def tolerable(self) -> bool:
        """Whether all of it is within the tolerances of this file."""
        return (self.box <= MAX_BOX_ERROR and self.score <= MAX_SCORE_ERROR
                and self.equal_labels >= MIN_EQUAL_LABELS)


def export_onnx(network: nn.Module, spec: ModelSpec, path: Path,
                pictures: Sequence[np.ndarray]) -> Difference:
    """
    Write `network` to `path` as ONNX with a dynamic batch and return how far it is from torch.

    `pictures` are uint8 [H, W, 3] RGB of the spec's input size. Nothing is left at `path` and
    ModelError is raised where ONNX Runtime and torch differ by more than is tolerated.
    """
    graph = DeployableGraph(network, spec).eval().cpu()
    images = torch.from_numpy(np.repeat(pictures[0][None], 2, axis=0))
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f'.{path.stem}.{os.getpid()}.onnx')
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter('ignore')
            # Its warnings are about operators of packages that this graph does not use.
            logging.getLogger('torch.onnx').setLevel(logging.ERROR)
            torch.onnx.export(
                graph, (images,), temporary, input_names=[INPUT],
                output_names=list(output_names(spec)), opset_version=OPSET, dynamo=True,
                dynamic_shapes={'images': {0: torch.export.Dim('batch')}}, external_data=False,
                verbose=False)
        model = onnx.load(temporary)
        fold(model)
        forget_sources(model)
        # The exporter writes a later one, of which the graph uses nothing.
        model.ir_version = IR_VERSION
        onnx.helper.set_model_props(model, {METADATA_KEY: spec.to_json()})
        onnx.checker.check_model(model, full_check=True)
        onnx.save(model, temporary)
        difference = compare(graph, temporary, pictures)
        if not difference.tolerable:
            raise ModelError(
                f'{path}: not written, since ONNX Runtime and torch differ too much: boxes '
                f'{difference.box:.3f} px, scores {difference.score:.2g}, equal labels '
                f'{difference.equal_labels:.5f}')
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return difference


def compare(graph: DeployableGraph, path: Path, pictures: Sequence[np.ndarray]) -> Difference:
    """Return the largest differences between `graph` and the ONNX file over `pictures`."""
    names = output_names(graph.spec)
    session = onnxruntime.InferenceSession(str(path), providers=['CPUExecutionProvider'])
    count, box, score, equal = 0, 0.0, 0.0, 1.0
    for picture in pictures:
        with torch.no_grad():
            outputs = graph(torch.from_numpy(picture[None]))
        ours = dict(zip(names, (o.numpy()[0] for o in outputs), strict=True))
        theirs = dict(zip(
            names, (o[0] for o in session.run(names, {INPUT: picture[None]})), strict=True))
        if 'label_map' in names:
            equal = min(equal, float((ours['label_map'] == theirs['label_map']).mean()))
        if 'boxes' in names:
            # Nearly equal scores may change places, so every candidate looks for its twin.
            shown = int((ours['scores'] >= COMPARED_SCORE).sum())
            for index in range(min(max(shown, COMPARED_ANYWAY), len(ours['scores']))):
                same = theirs['classes'] == ours['classes'][index]
                if not same.any():
                    box = score = float('inf')
                    continue
                gaps = np.abs(theirs['boxes'][same] - ours['boxes'][index]).max(axis=1)
                scores = np.abs(theirs['scores'][same] - ours['scores'][index])
                twin = (gaps / MAX_BOX_ERROR + scores / MAX_SCORE_ERROR).argmin()
                box, score = max(box, float(gaps[twin])), max(score, float(scores[twin]))
                count += 1
    return Difference(count, box, score, equal)
