"""Which messages of several topics belong to which image: by stamp, or by time of recording."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, order=True)
class Recorded:
    """A message of a bag; both times in nanoseconds."""

    time: int
    """When it was recorded."""
    stamp: int
    """Of its header."""


@dataclass(frozen=True)
class Pair:
    """An image and the message of each topic that belongs to it."""

    image: Recorded
    messages: dict[str, Recorded]
    unique: bool
    """Whether no other image has its stamp."""


@dataclass
class Pairs:
    """The result of `paired`."""

    pairs: list[Pair] = field(default_factory=list)
    """In the order of the stamps."""
    ambiguous: dict[int, str] = field(default_factory=dict)
    """Stamp of several images or messages of a topic -> how many; none of them is in a pair."""
    images: int = 0
    """Number of images without a message of every topic."""
    messages: int = 0
    """Number of messages without an image."""


def paired(images: Sequence[Recorded], topics: Mapping[str, Sequence[Recorded]]) -> Pairs:
    """
    Return the images with the messages of `topics` that have their stamps.

    Where several images have one stamp (drivers that do not set it leave all of them 0), the time
    of recording decides: messages recorded at the time of an image, or one of each topic after
    each image and before the next. Anything else is ambiguous.
    """
    by_stamp = {topic: _by_stamp(items) for topic, items in topics.items()}
    result = Pairs()
    groups = _by_stamp(images)
    for stamp, group in sorted(groups.items()):
        own = {topic: found.get(stamp, []) for topic, found in by_stamp.items()}
        count = sum(map(len, own.values()))
        if not all(own.values()):
            result.images += len(group)
            result.messages += count
            continue
        if len(group) == 1 and all(len(items) == 1 for items in own.values()):
            result.pairs.append(Pair(
                group[0], {topic: items[0] for topic, items in own.items()}, True))
            continue
        found = _by_time(group, own)
        if found is None:
            result.ambiguous[stamp] = ', '.join(
                [f'{len(group)} images', *(f'{len(items)} of {topic}'
                                           for topic, items in own.items())])
            continue
        result.pairs += found
        result.images += len(group) - len(found)
        result.messages += count - len(own) * len(found)
    result.messages += sum(len(items) for found in by_stamp.values()
                           for stamp, items in found.items() if stamp not in groups)
    return result


def _by_time(images: list[Recorded], topics: dict[str, list[Recorded]]) -> list[Pair] | None:
    """Return the pairs of images and messages of one stamp; None where that is ambiguous."""
    images = sorted(images)
    times = [item.time for item in images]
    own = {topic: {item.time: item for item in items} for topic, items in topics.items()}
    if len(set(times)) < len(times) \
            or any(len(own[topic]) < len(items) for topic, items in topics.items()):
        return None
    if all(found.keys() <= set(times) for found in own.values()):
        return [Pair(image, {topic: found[image.time] for topic, found in own.items()}, False)
                for image in images if all(image.time in found for found in own.values())]
    if any(len(found) != len(images) for found in own.values()):
        return None
    ordered = {topic: sorted(items) for topic, items in topics.items()}
    for items in ordered.values():
        if any(item.time < time for item, time in zip(items, times, strict=True)) \
                or any(item.time >= time for item, time in zip(items, times[1:], strict=False)):
            return None
    return [Pair(image, {topic: items[number] for topic, items in ordered.items()}, False)
            for number, image in enumerate(images)]


def _by_stamp(items: Sequence[Recorded]) -> dict[int, list[Recorded]]:
    found: dict[int, list[Recorded]] = defaultdict(list)
    for item in items:
        found[item.stamp].append(item)
    return dict(found)
