"""The images that a flight leaves behind: overlays, a contact sheet and a video."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from mtl_perception.bags.results import RecordedFrame
from mtl_perception.compressed import compress
from mtl_perception.drawing import draw_overlay
from mtl_perception.errors import DataError
from mtl_perception.files import write_bytes
from mtl_perception.images.listing import spread
from mtl_perception.inference.results import Perception, Timings
from mtl_perception.labels import LabelSet
from mtl_perception.spec import ModelSpec

OVERLAYS = 6
"""Images kept at full size."""

CELLS = 12
"""Images of the contact sheet."""

_SHEET_WIDTH = 1920
_GAP = 6
_VIDEO_SIDE = 1280
_QUALITY = 93
_PAPER = (24, 26, 30)
_INK = (226, 228, 232)


class FlightImages:
    """
    Draws the processed frames of a flight of about `expected` frames into `folder`.

    `overlay/NUMBER.jpg`, `contact_sheet.jpg` and `flight.mp4`; DataError where they cannot be
    written.
    """

    def __init__(self, folder: Path, spec: ModelSpec, rate: float, expected: int) -> None:
        self._folder, self._spec, self._rate = folder, spec, rate
        self._overlays = list(spread(expected, OVERLAYS))
        self._sheet_frames = list(spread(expected, CELLS))
        self._cells: list[np.ndarray] = []
        self._columns = 0
        self._video: cv2.VideoWriter | None = None
        self._video_size = (0, 0)
        self._latest: np.ndarray = np.empty(0, np.uint8)
        self._number = -1
        (folder / 'overlay').mkdir(parents=True, exist_ok=True)

    def add(self, frame: RecordedFrame) -> None:
        """Draw the next frame; where it was dropped, the video holds the last image."""
        self._number += 1
        if not frame.processed:
            if self._video is not None:
                self._video.write(self._latest)
            return
        height, width = frame.image.shape[:2]
        overlay = draw_overlay(frame.image, Perception(
            width, height, frame.detections, frame.label_map, Timings(0.0, 0.0, 0.0)), self._spec)
        # The first processed frame at or after each of the chosen ones.
        if self._overlays and self._number >= self._overlays[0]:
            self._overlays.pop(0)
            _write(self._folder / 'overlay' / f'{self._number:04}.jpg', overlay)
        if self._sheet_frames and self._number >= self._sheet_frames[0]:
            self._sheet_frames.pop(0)
            self._columns = self._columns or _columns(width, height)
            self._cells.append(_fit(overlay, (_SHEET_WIDTH - _GAP) // self._columns - _GAP))
        self._film(overlay)

    def close(self) -> list[Path]:
        """Finish the video and the contact sheet; return what there is, files and folders."""
        made = []
        if self._cells:
            sheet = self._folder / 'contact_sheet.jpg'
            _write(sheet, contact_sheet(self._cells, self._columns, self._spec))
            made += [self._folder / 'overlay', sheet]
        if self._video is not None:
            self._video.release()
            self._video = None
            made.append(self._folder / 'flight.mp4')
        return made

    def _film(self, overlay: np.ndarray) -> None:
        if self._video is None:
            height, width = overlay.shape[:2]
            scale = min(1.0, _VIDEO_SIDE / max(width, height))
            # Codecs want even sides.
            self._video_size = tuple(max(2, round(side * scale) // 2 * 2)
                                     for side in (width, height))
            path = self._folder / 'flight.mp4'
            self._video = cv2.VideoWriter(
                str(path), cv2.VideoWriter.fourcc(*'mp4v'), self._rate, self._video_size)
            if not self._video.isOpened():
                raise DataError(f'{path} cannot be written: this OpenCV has no MPEG-4 encoder')
        self._latest = cv2.cvtColor(_onto(overlay, self._video_size), cv2.COLOR_RGB2BGR)
        self._video.write(self._latest)


def contact_sheet(cells: list[np.ndarray], columns: int, spec: ModelSpec) -> np.ndarray:
    """Return images [h, w, 3] of one width in `columns`, and a legend under them."""
    width = cells[0].shape[1]
    height = max(cell.shape[0] for cell in cells)
    columns = min(columns, len(cells))
    rows = -(-len(cells) // columns)
    legend = _legend(spec, columns * (width + _GAP) + _GAP)
    sheet = np.full((rows * (height + _GAP) + _GAP, legend.shape[1], 3), _PAPER, np.uint8)
    for index, cell in enumerate(cells):
        top = _GAP + index // columns * (height + _GAP)
        left = _GAP + index % columns * (width + _GAP)
        sheet[top:top + cell.shape[0], left:left + width] = cell
    return np.concatenate([sheet, legend])


def _legend(spec: ModelSpec, width: int) -> np.ndarray:
    """Return a strip that names the colours: frames for boxes, filled for pixels."""
    line, left = 34, 14
    strip = np.full((8, width, 3), _PAPER, np.uint8)
    for labels, filled in ((spec.segmentation, True), (spec.detection, False)):
        if labels is not None:
            strip = np.concatenate([strip, _legend_lines(labels, filled, width, line, left)])
    return strip


def _legend_lines(labels: LabelSet, filled: bool, width: int, line: int, left: int) -> np.ndarray:
    lines = [np.full((line, width, 3), _PAPER, np.uint8)]
    x = left
    for name, color in zip(labels.names, labels.colors, strict=True):
        (text_width, _), _ = cv2.getTextSize(name, cv2.FONT_HERSHEY_SIMPLEX, 0.55, 1)
        if x > left and x + 30 + text_width > width:
            lines.append(np.full((line, width, 3), _PAPER, np.uint8))
            x = left
        strip = lines[-1]
        cv2.rectangle(strip, (x, 6), (x + 22, line - 12), color, -1 if filled else 2)
        cv2.putText(strip, name, (x + 30, line - 13), cv2.FONT_HERSHEY_SIMPLEX, 0.55, _INK, 1,
                    cv2.LINE_AA)
        x += 30 + text_width + 28
    return np.concatenate(lines)


def _columns(width: int, height: int) -> int:
    """Return how many images of this shape go side by side: panoramas want the width."""
    return 4 if width < 2.2 * height else 2


def _fit(image: np.ndarray, width: int) -> np.ndarray:
    height = max(1, round(image.shape[0] * width / image.shape[1]))
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA))


def _onto(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return the image in the middle of one of `size` (width, height), its aspect ratio kept."""
    scale = min(side / own for side, own in zip(size, image.shape[1::-1], strict=True))
    # A side that an even size makes a pixel longer or shorter is not worth a border.
    width, height = (side if abs(side - own * scale) < 2 else max(1, round(own * scale))
                     for side, own in zip(size, image.shape[1::-1], strict=True))
    if (width, height) != image.shape[1::-1]:
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    if (width, height) == size:
        return image
    page = np.full((size[1], size[0], 3), _PAPER, np.uint8)
    top, left = (size[1] - height) // 2, (size[0] - width) // 2
    page[top:top + height, left:left + width] = image
    return page


def _write(path: Path, image: np.ndarray) -> None:
    write_bytes(path, compress(image, 'rgb', 'jpeg', _QUALITY))
