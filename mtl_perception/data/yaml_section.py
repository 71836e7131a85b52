"""
Strict reading of a YAML file: every key is known, occurs once and has a value of its type.

An error names the file and the path of the key (`sets.cars.scale`) and says what is expected.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import yaml

from mtl_perception.errors import ConfigError, DataError

MAX_BYTES = 1 << 20
"""Largest YAML file that is read; a manifest takes a few kilobytes."""

T = TypeVar('T')
_REQUIRED: Any = object()


class _Loader(yaml.SafeLoader):
    """The safe loader, which refuses a key that occurs twice instead of keeping the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            if isinstance(key_node, yaml.ScalarNode):
                if key_node.value in seen:
                    raise yaml.constructor.ConstructorError(
                        problem=f'key {key_node.value!r} occurs twice',
                        problem_mark=key_node.start_mark)
                seen.add(key_node.value)
        return super().construct_mapping(node, deep)


class Section:
    """
    One mapping of a YAML file, from which its reader takes the keys that it knows.

    `done` raises ConfigError where a key was not taken.
    """

    def __init__(self, value: Any, file: Path, path: str = '') -> None:
        self.file = file
        self.path = path
        if not isinstance(value, dict):
            raise self.error('', f'is a mapping, not {value!r:.60}')
        for key in value:
            if not isinstance(key, str):
                raise self.error('', f'has the key {key!r}, which is not text; quote it')
        self._values = dict(value)

    def error(self, key: str, problem: str) -> ConfigError:
        """Return the error that says what is wrong with `key` ('' for the section itself)."""
        path = '.'.join(part for part in (self.path, key) if part)
        return ConfigError(f'{self.file}: {path or "the file"} {problem}')

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def names(self) -> tuple[str, ...]:
        """Return the keys not yet taken, in the order of the file."""
        return tuple(self._values)

    def take(self, key: str, kind: type[T], default: Any = _REQUIRED) -> T:
        """
        Return the value of `key`, of type `kind` (an int passes for a float), or `default`.

        Raises ConfigError where it is of another type, or missing without a default.
        """
        if key not in self._values:
            if default is _REQUIRED:
                raise self.error(key, 'is missing')
            return default
        value = self._values.pop(key)
        if kind is float and type(value) is int:
            value = float(value)
        if type(value) is not kind:
            raise self.error(key, f'is of type {kind.__name__}, not {value!r:.60}')
        return value

    def take_any(self, key: str) -> Any:
        """Return the value of `key`, whatever it is; ConfigError where it is missing."""
        if key not in self._values:
            raise self.error(key, 'is missing')
        return self._values.pop(key)

    def section(self, key: str) -> Section:
        """Return the mapping at `key`; ConfigError where it is missing or something else."""
        return Section(self.take_any(key), self.file, f'{self.path}.{key}' if self.path else key)

    def done(self) -> None:
        """Raise ConfigError where a key is left that nobody took."""
        if self._values:
            raise self.error(next(iter(self._values)), 'is not a known key')


def read_yaml(path: Path) -> Section:
    """
    Return the mapping in the YAML file `path`.

    Raises DataError where the file cannot be read or is not YAML, ConfigError where it is not
    a mapping.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DataError(f'{path}: larger than {MAX_BYTES} bytes; this is no configuration')
        text = path.read_text('utf-8')
    except OSError as error:
        raise DataError(f'{path}: cannot be read: {error.strerror}') from None
    except UnicodeDecodeError:
        raise DataError(f'{path}: is not UTF-8 text') from None
    try:
        value = yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as error:
        line = f' line {error.problem_mark.line + 1}:' if error.problem_mark else ''
        raise DataError(f'{path}:{line} {error.problem}') from None
    except (yaml.YAMLError, RecursionError) as error:
        raise DataError(f'{path}: is not YAML: {error!s:.120}') from None
    return Section(value, path)
