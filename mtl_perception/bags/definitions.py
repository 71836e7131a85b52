"""
Definitions of the message types in a bag: those stored in it, else those that its ROS had.

Bags in SQLite have no definitions before ROS 2 Iron. The standard types have been the same in all
distributions of ROS 2. Of vision_msgs 2 (Foxy), 3 (Galactic) and 4 (Humble and later), only
Detection2D differs once it is serialised: fields of 3 and 4 have other names in other nesting.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any

from rosbags.interfaces import MessageDefinition, MessageDefinitionFormat, Nodetype
from rosbags.typesys import get_types_from_idl, get_types_from_msg, get_typestore, Stores
from rosbags.typesys.store import Typestore

from mtl_perception.errors import DataError

_VISION_MSGS_4 = {
    'Point2D': 'float64 x\nfloat64 y',
    'Pose2D': 'vision_msgs/Point2D position\nfloat64 theta',
    'BoundingBox2D': 'vision_msgs/Pose2D center\nfloat64 size_x\nfloat64 size_y',
    'ObjectHypothesis': 'string class_id\nfloat64 score',
    'ObjectHypothesisWithPose':
        'vision_msgs/ObjectHypothesis hypothesis\ngeometry_msgs/PoseWithCovariance pose',
    'Detection2D': 'std_msgs/Header header\nvision_msgs/ObjectHypothesisWithPose[] results\n'
                   'vision_msgs/BoundingBox2D bbox\nstring id',
    'Detection2DArray': 'std_msgs/Header header\nvision_msgs/Detection2D[] detections',
    'VisionClass': 'uint16 class_id\nstring class_name',
    'LabelInfo': 'std_msgs/Header header\nvision_msgs/VisionClass[] class_map\n'
                 'float32 threshold'}
"""Type -> its fields. Source: https://github.com/ros-perception/vision_msgs, 4.1.1."""

_VISION_MSGS_2 = {
    **_VISION_MSGS_4,
    'Detection2D': 'std_msgs/Header header\nvision_msgs/ObjectHypothesisWithPose[] results\n'
                   'vision_msgs/BoundingBox2D bbox\nsensor_msgs/Image source_img\n'
                   'bool is_tracking\nstring tracking_id'}
"""The same of 2.0.0, with its fields of Detection2D."""

MAX_VALUES = 1000
"""Most values of a message type in a bag, without the elements of sequences."""

_IDL_SEPARATOR = '=' * 80 + '\n'


def typestores(kind: str, definition: MessageDefinition) -> tuple[Typestore, ...]:
    """
    Return the stores by which messages of the type `kind` may be read, the likeliest first.

    It is one store where the bag has a definition, and none for an unknown type. Raises DataError
    for a type of more than `MAX_VALUES` values, and errors of many types for a broken definition.
    """
    if definition.format != MessageDefinitionFormat.NONE and definition.data.strip():
        return (_stored(kind, definition),)
    return tuple(store for store in _known() if kind in store.fielddefs)


@lru_cache(maxsize=64)
def _stored(kind: str, definition: MessageDefinition) -> Typestore:
    store = get_typestore(Stores.EMPTY)
    if definition.format == MessageDefinitionFormat.MSG:
        store.register(get_types_from_msg(definition.data, kind))
        _check_size(store, kind, ())
        return store
    for part in definition.data.split(_IDL_SEPARATOR):
        # Before each of several definitions, rosbag2 writes a line with its name.
        text = part.partition('\n')[2] if part.startswith('IDL: ') else part
        if text.strip():
            store.register(get_types_from_idl(text))
    _check_size(store, kind, ())
    return store


def _check_size(store: Typestore, kind: str, around: tuple[str, ...]) -> int:
    """
    Return the number of values in a message of the type, an array of numbers or sequence as one.

    Raises DataError above `MAX_VALUES`: the library makes code for each of them, and a few bytes
    (`string[1000000] x`) would keep it busy for hours.
    """
    if kind in around:
        raise DataError(f'message type {kind} contains itself')
    count = 0
    fields: Any = store.fielddefs[kind][1]
    for _, (node, value) in fields:
        size = 1
        if node in (Nodetype.ARRAY, Nodetype.SEQUENCE):
            (inner, name), length = value
            is_number = inner == Nodetype.BASE and name[0] != 'string'
            size = length if node == Nodetype.ARRAY and not is_number else 1
        else:
            inner, name = node, value
        if inner == Nodetype.NAME:
            size *= _check_size(store, name, (*around, kind))
        count += size
        if count > MAX_VALUES:
            raise DataError(f'message type {kind} has more than {MAX_VALUES} values')
    return count


@cache
def _known() -> tuple[Typestore, ...]:
    stores = []
    for definitions in (_VISION_MSGS_4, _VISION_MSGS_2):
        store = get_typestore(Stores.LATEST)
        for name, text in definitions.items():
            store.register(get_types_from_msg(text, f'vision_msgs/msg/{name}'))
        stores.append(store)
    return tuple(stores)
