"""Detections and label maps of an input's images, written to a folder."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
import sys
import time

from tqdm import tqdm

from mtl_perception.errors import DataError
from mtl_perception.files import readable
from mtl_perception.images.inputs import open_images
from mtl_perception.inference.orientation import check_oriented
from mtl_perception.inference.pipeline import ORIENTED, Pipeline, PipelineOptions
from mtl_perception.inference.runtime import RuntimeOptions, Say
from mtl_perception.prediction.output_folder import OutputFolder
from mtl_perception.resources import model_path


@dataclass(frozen=True)
class PredictConfig:
    """What is predicted, by which model, and where the results go."""

    input: Path
    """An image, a folder of images or a video."""
    output: Path
    """Folder of the results; made if missing, files of the same names are replaced."""
    model: Path | None = None
    """Model file; None is the shipped model."""
    black_hot: bool = False
    """Whether high values of images of more than 8 bits are black instead of white."""
    pipeline: PipelineOptions = field(default_factory=PipelineOptions)
    runtime: RuntimeOptions = field(default_factory=RuntimeOptions)


@dataclass(frozen=True)
class PredictResult:
    """What was predicted."""

    images: int
    """Images processed."""
    objects: int
    """Detections in them."""
    seconds: float
    """Wall-clock time, reading and writing included."""
    runtime: str
    """Runtime, device and precision."""
    broken: tuple[str, ...]
    """Names of the images that could not be read, and of a video that is not complete."""


def predict(config: PredictConfig, say: Say) -> PredictResult:
    """
    Predict every image of the input; `say` receives what the model's runtime reports.

    A broken image is reported on stderr and skipped. On Ctrl-C, the results so far are saved.
    Raises MtlError for an invalid option, model or input, DataError where results cannot be
    written.
    """
    images = open_images(config.input, config.black_hot)
    model = config.model or model_path()
    pipeline = Pipeline(model, config.pipeline, config.runtime, say)
    if config.pipeline.box_format == ORIENTED:
        check_oriented(pipeline.spec)
    folder = OutputFolder(config.output, pipeline.spec, pipeline.options, Path(model).name)
    broken: list[str] = []
    start = time.perf_counter()
    try:
        # None: no bar where stderr is not a terminal.
        with tqdm(images.items, 'predict', images.count, unit='image', disable=None) as bar:
            items = iter(bar)
            while True:
                name = config.input.name
                try:
                    if (item := next(items, None)) is None:
                        break
                    name = item.file_name
                    image = item.read()
                    perception = pipeline.run(image, 'bgr')
                except DataError as error:
                    broken.append(readable(name))
                    text = str(error)
                    where = '' if name in text else f'{name}: '
                    bar.write(readable(f'mtl: skipped: {where}{text}'), sys.stderr)
                else:
                    folder.add(item, image, perception)
    except KeyboardInterrupt:
        folder.save()
        raise
    folder.save()
    runtime = pipeline.runtime
    return PredictResult(
        folder.images, folder.objects, time.perf_counter() - start,
        f'{runtime.name}, {runtime.device}, {runtime.precision}', tuple(broken))
