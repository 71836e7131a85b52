"""Files of a model and of its two single-task models, in each format read by a runtime."""

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
    """A multitask model and the two single-task models that it replaces, in one format."""

    multitask: Path
    detection: Path
    segmentation: Path


def gather(model: Path, given: dict[str, Path], folder: Path, say: Say) -> dict[str, ModelFiles]:
    """
    Return the files by suffix; derived models are written into `folder`.

    `given` has the single-task models by task, both or none; with them only their format is
    measured. Otherwise the checkpoint of an ONNX file is the one beside it with the same name and
    model, and a checkpoint is exported if the required packages are installed. Raises ModelError
    if a file is not such a model, ConfigError if `given` is not suitable, StartError if a
    checkpoint is given and torch is missing.
    """
    spec = read_spec(model)
    missing = [task for task in TASKS if task not in spec.tasks]
    if missing:
        raise ModelError(f'{model}: has no {missing[0]}; give a model of both tasks')
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
            raise ConfigError(f'{path}: not a {model.suffix} file like {model}')
        found = read_spec(path).tasks
        if found != (task,):
            raise ConfigError(f'{path}: a model for {" and ".join(found)}, not for {task} only')
    return ModelFiles(model, given['detection'], given['segmentation'])


def _is_same(checkpoint: Path, spec: ModelSpec) -> bool:
    """Return whether the checkpoint is the model of `spec`; False if torch is missing."""
    try:
        from mtl_perception.models.checkpoint import read_checkpoint
        found, _ = read_checkpoint(checkpoint)
    except (ImportError, ModelError):
        return False
    # The provenance and options of the deployed graph may differ.
    return replace(found, provenance=spec.provenance, label_stride=spec.label_stride,
                   candidates=spec.candidates) == spec


def _export(model: Path, folder: Path, say: Say) -> Path | None:
    """Write the checkpoint as ONNX; None, which is reported, if a package is missing."""
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
