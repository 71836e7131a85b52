"""Message definitions for bags, from the definitions that are installed."""

from __future__ import annotations

from functools import cache
import importlib
from pathlib import Path
import re
from typing import Any

from ament_index_python.packages import get_package_share_directory, PackageNotFoundError
from rosbags.typesys import get_types_from_msg, get_typestore, Stores
from rosbags.typesys.store import Typestore

from mtl_perception.errors import ConfigError

_TYPE = re.compile(r'([a-z][a-z0-9_]*)/msg/([A-Za-z][A-Za-z0-9]*)')


def message_class(name: str) -> Any:
    """Return the class of the type `package/msg/Type`; ConfigError if it is not installed."""
    package, kind = _parts(name)
    try:
        return getattr(importlib.import_module(f'{package}.msg'), kind)
    except (ImportError, AttributeError):
        raise ConfigError(f'message type {name} is not installed') from None


def register_type(store: Typestore, name: str) -> None:
    """
    Make the type `package/msg/Type`, and all that it consists of, known to `store`.

    The definitions are the installed ones, so the bag has those of this machine's processes.
    """
    if name in store.fielddefs:
        return
    package, kind = _parts(name)
    try:
        path = Path(get_package_share_directory(package)) / 'msg' / f'{kind}.msg'
        text = path.read_text(encoding='utf-8')
    except (PackageNotFoundError, OSError):
        raise ConfigError(f'the definition of message type {name} is not installed') from None
    types = get_types_from_msg(text, name)
    for _, fields in types.values():
        for _, field in fields:
            for part in _named_types(field):
                if part != name:
                    register_type(store, part)
    store.register(types)


def empty_typestore() -> Typestore:
    """Return a type store that knows no type yet."""
    return get_typestore(Stores.EMPTY)


@cache
def _parts(name: str) -> tuple[str, str]:
    match = _TYPE.fullmatch(name)
    if not match:
        raise ConfigError(f'{name!r} is not a message type (package/msg/Type)')
    return match[1], match[2]


def _named_types(field: Any) -> list[str]:
    """Return the message types in a field's description: (node type, name or inner field)."""
    _, value = field
    if isinstance(value, str):
        return [value]
    inner = value[0]
    return _named_types(inner) if isinstance(inner, tuple) else []
