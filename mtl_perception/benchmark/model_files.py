"""The files of a model and of its two single-task ones, in each format that a runtime reads."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mtl_perception.benchmark.single_task import TASKS, write_single_task
from mtl_perception.errors import ConfigError, ModelError
from mtl_perception.extras import missing_package
from mtl_perception.inference.registry import read_spec
from mtl_perception.inference.runtime import Say
from mtl_perception.spec import ModelSpec

ONNX, TORCH = '.onnx', '.pt'


@dataclass(frozen=True)
class ModelFiles:
    """A multitask model and the two that it takes the place of, in one format."""

    multitask: Path
    detection: Path
    segmentation: Path


def gather(model: Path, given: dict[str, Path], folder: Path, say: Say) -> dict[str, ModelFiles]:
    """
    Return the files by suffix; what is derived is written into `folder`.

    `given` has single-task models by task, both or none: then only their format is measured.
    Otherwise an ONNX file's checkpoint is the one beside it of the same name and model, and a
    checkpoint is exported where what that needs is installed. Raises ModelError where a file is
    not such a model, ConfigError where `given` does not fit, StartError where a checkpoint is
    given and torch is missing.
    """
    spec = read_spec(model)
    missing = [task for task in TASKS if task not in spec.tasks]
    if missing:
        raise ModelError(f'{model}: does no {missing[0]}; give a model of both tasks')
    if given:
        return {model.suffix: _given(model, given)}
    paths = {model.suffix: model}
    if model.suffix == ONNX:
        beside = model.with_suffix(TORCH)
        if beside.is_file() and _is_same(beside, spec):
            paths[TORCH] = beside
    else:
        exported = _export(model, folder, say)
        if exported:
            paths[ONNX] = exported
    return {suffix: ModelFiles(path, *(write_single_task(path, task, folder) for task in TASKS))
            for suffix, path in paths.items()}


def _given(model: Path, given: dict[str, Path]) -> ModelFiles:
    for task in TASKS:
        if task not in given:
            raise ConfigError(f'--{task} is missing: give the models of both tasks, or none')
        path = given[task]
        if path.suffix != model.suffix:
            raise ConfigError(f'{path}: not a file {model.suffix} as {model}')
        found = read_spec(path).tasks
        if found != (task,):
            raise ConfigError(f'{path}: a model for {" and ".join(found)}, not for {task} alone')
    return ModelFiles(model, given['detection'], given['segmentation'])


def _is_same(checkpoint: Path, spec: ModelSpec) -> bool:
    """Return whether the checkpoint is the model of `spec`; False where torch is missing."""
    try:
        from mtl_perception.models.checkpoint import read_checkpoint
        found, _ = read_checkpoint(checkpoint)
    except (ImportError, ModelError):
        return False
    # What is said about the weights, and what the deployed graph alone has, may differ.
    return replace(found, provenance=spec.provenance, label_stride=spec.label_stride,
                   candidates=spec.candidates) == spec


def _export(model: Path, folder: Path, say: Say) -> Path | None:
    """Write the checkpoint as ONNX; None, and a word about it, where a package is missing."""
    from mtl_perception.models.checkpoint import load_checkpoint
    try:
        from mtl_perception.models.export import export_onnx
    except ImportError as error:
        missing = missing_package(error)
        if missing is None:
            raise
        say(f'{model.name} runs in torch only: {missing}')
        return None
    say(f'exporting {model.name}')
    spec, network = load_checkpoint(model)
    path = folder / f'{model.stem}.onnx'
    width, height = spec.input_size
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    export_onnx(network, spec, path, [noise])
    return path
