"""The page of `mtl data check`: one HTML file with tables, faults and samples."""

from __future__ import annotations

import base64
from typing import Any

import cv2
import jinja2
import numpy as np

from mtl_perception.data.check import (
    CheckReport,
    label_shares,
    notes,
    QUANTILES,
    quantiles,
    SplitReport,
)
from mtl_perception.data.samples import Sample
from mtl_perception.data.set_spec import Manifest, MaskLabels
from mtl_perception.labels import Color, IGNORE_LABEL

SAMPLE_SIDE = 480
"""Longest side of a sample on the page, in pixels."""

_GREY = (128, 128, 128)
_OPACITY = 0.5

_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Data check</title><style>
body { font: 15px/1.45 system-ui, sans-serif; margin: 2em auto; max-width: 1040px; color: #222 }
h1 { font-size: 1.5em } h2 { font-size: 1.2em; margin-top: 2em; border-top: 1px solid #ddd;
padding-top: .8em } table { border-collapse: collapse; margin: .8em 0 }
th, td { padding: .15em .8em .15em 0; text-align: right } th { font-weight: 600 }
th:first-child, td:first-child { text-align: left }
.chip { display: inline-block; width: .8em; height: .8em; margin-right: .5em; border-radius: 2px }
.broken { color: #a00 } li { overflow-wrap: anywhere } .muted { color: #666 }
figure { display: inline-block; margin: 0 .6em .8em 0; vertical-align: top }
figcaption { font-size: .8em; color: #666; max-width: 480px; overflow-wrap: anywhere }
</style></head><body>
<h1>Data check</h1>
<p>{{ images }} images in {{ splits | length }} splits,
<span{% if broken %} class="broken"{% endif %}>{{ broken }} broken</span>.</p>
{% if unopened %}<ul class="broken">{% for reason in unopened %}<li>{{ reason }}</li>
{% endfor %}</ul>{% endif %}
{% for split in splits %}
<h2>{{ split.title }}</h2>
<p>{{ split.summary }}</p>
{% if split.boxes %}<table><tr><th>class</th><th>boxes</th>
<th colspan="{{ quantiles | length }}">side in training, px</th>
<th colspan="{{ quantiles | length }}">side in {{ input_size }}, px</th></tr>
<tr class="muted"><td></td><td></td>{% for _ in range(2) %}{% for q in quantiles %}
<td>{{ q }}</td>{% endfor %}{% endfor %}</tr>
{% for row in split.boxes %}<tr><td><span class="chip" style="background:{{ row.color }}"></span>
{{ row.name }}</td><td>{{ row.count }}</td>{% for value in row.sides %}<td>{{ value }}</td>
{% endfor %}</tr>{% endfor %}</table>{% endif %}
{% if split.labels %}<table><tr><th>label</th><th>pixels</th><th>may be</th></tr>
{% for row in split.labels %}<tr><td><span class="chip" style="background:{{ row.color }}"></span>
{{ row.name }}</td><td>{{ row.share }}</td><td>{{ row.classes }}</td></tr>{% endfor %}</table>
{% endif %}
{% if split.notes %}<table>{% for text, count in split.notes %}<tr><td>{{ text }}</td>
<td>{{ count }}</td></tr>{% endfor %}</table>{% endif %}
{% if split.broken %}<ul class="broken">{% for item in split.broken %}<li>{{ item }}</li>
{% endfor %}</ul>{% endif %}
{% for sample in split.samples %}<figure><img alt="{{ sample.name }}" src="{{ sample.image }}">
<figcaption>{{ sample.name }}</figcaption></figure>{% endfor %}
{% endfor %}
<p class="muted">A side is the root of a box's area; in training, at the middle of the set's
<code>scale</code>; otherwise with the whole image fitted into the network's input. Dashed
regions are ignored.</p>
</body></html>
"""


def render_page(report: CheckReport) -> str:
    """Return the report as HTML that needs no other file and no network."""
    template = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined,
                                  trim_blocks=True).from_string(_PAGE)
    page: str = template.render(
        images=sum(split.images for split in report.splits), broken=len(report.reasons),
        unopened=report.unopened, input_size='x'.join(map(str, report.input_size)),
        quantiles=[f'{100 * q:g} %' for q in QUANTILES],
        splits=[_split(report, split) for split in report.splits])
    return page


def _split(report: CheckReport, split: SplitReport) -> dict[str, Any]:
    sizes = ''
    if split.sizes:
        sizes = '; {}x{} to {}x{} pixels'.format(*(split.sizes[k] for k in (0, 2, 1, 3)))
    return {
        'title': f'{split.spec.name}, {split.split}',
        'summary': f'{split.images} images{sizes}; {split.ignore_regions} ignore regions; '
                   f'{len(split.broken)} broken',
        'boxes': _boxes(report, split),
        'labels': _labels(report.manifest, split),
        'notes': notes(split),
        'broken': [item.reason for item in split.broken],
        'samples': [{'name': sample.name, 'image': _data_uri(
            draw_sample(sample, report.manifest, split.spec.masks))} for sample in split.samples]}


def _boxes(report: CheckReport, split: SplitReport) -> list[dict[str, Any]]:
    detection = report.manifest.detection
    rows = []
    for label, name, sides in report.classes(split):
        assert detection is not None
        values = quantiles(sides, split.training_scale) + quantiles(split.fitted.get(label, []))
        rows.append({'name': name, 'color': _css(detection.colors[label]), 'count': len(sides),
                     'sides': [f'{value:.0f}' for value in values] or [''] * 2 * len(QUANTILES)})
    return rows


def _labels(manifest: Manifest, split: SplitReport) -> list[dict[str, Any]]:
    masks, ours = split.spec.masks, manifest.segmentation
    if masks is None or ours is None:
        return []
    colors = _label_colors(manifest, masks)
    rows = []
    for name, share in label_shares(split):
        known = name in masks.names
        label = masks.names.index(name) if known else IGNORE_LABEL
        classes = [ours.names[k] for k in np.flatnonzero(masks.allowed[label])] if known else []
        rows.append({'name': name, 'share': f'{100 * share:.2f} %',
                     'color': _css(colors[label]) if known else 'none',
                     'classes': ' or '.join(classes) or 'not known'})
    return rows


def draw_sample(sample: Sample, manifest: Manifest, masks: MaskLabels | None) -> np.ndarray:
    """
    Return the image, uint8 [h, w, 3] RGB and at most `SAMPLE_SIDE` long, with its ground truth.

    Labels tint it in the colour of the class that they are, or the mean of those that they may be.
    """
    height, width = sample.image.shape[:2]
    factor = min(1.0, SAMPLE_SIDE / max(height, width))
    size = max(1, round(width * factor)), max(1, round(height * factor))
    canvas = cv2.resize(sample.image, size, interpolation=cv2.INTER_AREA)
    if sample.mask is not None and masks is not None:
        labels = cv2.resize(sample.mask, size, interpolation=cv2.INTER_NEAREST)
        table = np.zeros((256, 3), np.uint8)
        table[:len(masks.names)] = _label_colors(manifest, masks)
        tinted = cv2.addWeighted(canvas, 1 - _OPACITY, table[labels], _OPACITY, 0)
        canvas = np.where((labels == IGNORE_LABEL)[..., None], canvas, tinted)
    if sample.boxes is not None and manifest.detection is not None:
        for box in sample.boxes.ignore * factor:
            _dashed(canvas, box)
        for box, label in zip(sample.boxes.boxes * factor, sample.boxes.classes.tolist(),
                              strict=True):
            x0, y0, x1, y1 = (round(float(value)) for value in box)
            cv2.rectangle(canvas, (x0 - 1, y0 - 1), (x1, y1), (0, 0, 0), 1)
            cv2.rectangle(canvas, (x0, y0), (max(x1 - 1, x0), max(y1 - 1, y0)),
                          manifest.detection.colors[label], 1)
    return canvas


def _dashed(canvas: np.ndarray, box: np.ndarray) -> None:
    x0, y0, x1, y1 = (round(float(value)) for value in box)
    for x in range(x0, x1, 8):
        for y in (y0, y1 - 1):
            cv2.line(canvas, (x, y), (min(x + 4, x1), y), _GREY, 1)
    for y in range(y0, y1, 8):
        for x in (x0, x1 - 1):
            cv2.line(canvas, (x, y), (x, min(y + 4, y1)), _GREY, 1)


def _label_colors(manifest: Manifest, masks: MaskLabels) -> list[Color]:
    assert manifest.segmentation is not None
    palette = np.array(manifest.segmentation.colors)
    colors: list[Color] = []
    for row in masks.allowed:
        red, green, blue = (int(c) for c in palette[row].mean(axis=0)) if row.any() else _GREY
        colors.append((red, green, blue))
    return colors


def _css(color: Color) -> str:
    return 'rgb({}, {}, {})'.format(*color)


def _data_uri(image_rgb: np.ndarray) -> str:
    _, content = cv2.imencode('.jpg', cv2.cvtColor(image_rgb, cv2.COLOR_RGB2BGR),
                              [cv2.IMWRITE_JPEG_QUALITY, 82])
    return 'data:image/jpeg;base64,' + base64.b64encode(content.tobytes()).decode('ascii')
