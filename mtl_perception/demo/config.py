"""The options of a demonstration flight."""

from __future__ import annotations

from dataclasses import dataclass, field
import math
from pathlib import Path

from mtl_perception.data.synthetic.flight import MAX_SIDE, MIN_SIDE
from mtl_perception.errors import ConfigError
from mtl_perception.inference.pipeline import PipelineOptions
from mtl_perception.inference.runtime import RuntimeOptions

DEFAULT_RATE = 5.0
"""Images per second: two cores process every one with the shipped model, beside the recorder."""

MAX_FRAMES = 100_000


@dataclass(frozen=True)
class DemoConfig:
    """What is flown, by which model, and where the results go; ConfigError if invalid."""

    flight: str = 'synthetic:8'
    """`synthetic:SEED`, a folder of images, a video or a bag."""
    topic: str = ''
    """Image topic of a bag; empty: the likeliest one."""
    frames: int = 250
    """The flight ends after this number of images."""
    rate: float = 0.0
    """Images per second; 0: the source's own, else `DEFAULT_RATE`."""
    size: tuple[int, int] = (640, 480)
    """Width and height of a synthetic flight in pixels."""
    model: Path | None = None
    """Model file; None: the shipped model."""
    tiles: str = 'auto'
    """Tiles of large images, as in `PipelineOptions`."""
    black_hot: bool = False
    """Whether high values of images of more than 8 bits are black instead of white."""
    output: Path = Path('out/demo')
    """Folder of the results; one that an earlier demo made is replaced."""
    runtime: RuntimeOptions = field(default_factory=RuntimeOptions)

    def __post_init__(self) -> None:
        if not 1 <= self.frames <= MAX_FRAMES:
            raise ConfigError(f'--frames {self.frames} is not in 1..{MAX_FRAMES}')
        if not (math.isfinite(self.rate) and 0 <= self.rate <= 1000):
            raise ConfigError(f'--rate {self.rate} is not in 0..1000 Hz')
        if not all(MIN_SIDE <= side <= MAX_SIDE for side in self.size):
            raise ConfigError(f'--size {self.size[0]}x{self.size[1]}: a side is not in '
                              f'{MIN_SIDE}..{MAX_SIDE} pixels')
        PipelineOptions(tiles=self.tiles)
