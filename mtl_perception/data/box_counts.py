"""Counts of the boxes in annotations: how many there are, and what was not kept as it is."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields

DROPPED = {'duplicate': 'duplicates', 'no_area': 'boxes without area',
           'outside': 'boxes outside the image'}
"""Causes for which a box is dropped: field of `BoxCounts` -> its name in a report."""

_NOTES = {
    **{cause: f'{title} dropped' for cause, title in DROPPED.items()},
    'crowd': 'crowd regions ignored', 'difficult': 'difficult objects ignored',
    'ignored': 'regions that the file ignores', 'unmapped': 'boxes of classes mapped to null',
    'rotated': 'rotated boxes made upright', 'clipped': 'boxes clipped at the edge'}


@dataclass(frozen=True)
class BoxCounts:
    """Numbers of boxes of one image or of many; add them with `+`."""

    listed: int = 0
    """All boxes and regions in the annotations."""
    duplicate: int = 0
    """Dropped, being of the same class and edges as another box of the image."""
    no_area: int = 0
    """Dropped, being without width or height, or with a negative one."""
    outside: int = 0
    """Dropped, having no part in the image."""
    crowd: int = 0
    """Ignore regions marked as a crowd (COCO)."""
    difficult: int = 0
    """Ignore regions marked as difficult (Pascal VOC, DOTA)."""
    ignored: int = 0
    """Ignore regions of the file itself (VisDrone, UAVDT)."""
    unmapped: int = 0
    """Ignore regions of a class that the manifest maps to null."""
    rotated: int = 0
    """Objects whose box is the upright hull of a rotated one."""
    clipped: int = 0
    """Objects whose box was cut off at the edge of the image."""

    def __add__(self, other: BoxCounts) -> BoxCounts:
        return BoxCounts(*(getattr(self, item.name) + getattr(other, item.name)
                           for item in fields(self)))

    @property
    def dropped(self) -> int:
        """Number of boxes that are neither objects nor ignore regions."""
        return sum(getattr(self, cause) for cause in DROPPED)

    def dropped_text(self) -> str:
        """Return the dropped boxes by cause: '3 duplicates, 1 boxes without area'."""
        return ', '.join(f'{count} {title}' for title, count in self._present(DROPPED))

    def notes(self) -> list[tuple[str, int]]:
        """Return what was dropped, ignored or changed, and how often, where that is not 0."""
        return self._present(_NOTES)

    def to_dict(self) -> dict[str, int]:
        """Return plain values for JSON."""
        return asdict(self)

    def _present(self, titles: dict[str, str]) -> list[tuple[str, int]]:
        return [(title, count) for cause, title in titles.items()
                if (count := getattr(self, cause))]
