"""
Loading of YAML files that may come from strangers, with the line of every value.

The loader builds plain values only (mappings, lists, text, numbers), and rejects what YAML
permits but no configuration needs: a key that occurs twice, a key that is not text, and aliases
that expand a small file to a huge one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
import reprlib
from typing import Any

import yaml

from mtl_perception.errors import ConfigError, DataError
from mtl_perception.files import read_text

MAX_BYTES = 1 << 20
"""Largest YAML file that is read; a manifest takes a few kilobytes."""

MAX_VALUES = 200_000
"""Most values of a file, counting those of an alias wherever it is used."""

_MERGE = 'tag:yaml.org,2002:merge'
_TEXT = 'tag:yaml.org,2002:str'

_brief = reprlib.Repr()
_brief.maxstring = _brief.maxother = 60
_brief.maxlist = _brief.maxdict = _brief.maxtuple = 4
_brief.maxlevel = 3

Keys = tuple[str | int, ...]
"""The keys and list indices that lead from the top of a file to a value."""


def brief(value: Any) -> str:
    """Return the value as an error message quotes it: one line of bounded length."""
    return ' '.join(_brief.repr(value).split())[:60]


@dataclass(frozen=True)
class YamlFile:
    """A YAML file as plain values, whose errors name the file, the line and the key."""

    path: Path
    value: Any
    """What the file holds; None for an empty file."""
    _root: yaml.Node | None = field(repr=False)

    def error(self, keys: Sequence[str | int], problem: str) -> ConfigError:
        """Return the one-line error of the value at `keys`, which `problem` is a predicate of."""
        where = f' line {self._line(keys)}:' if self._root else ''
        name = '.'.join(map(str, keys)) or 'the file'
        # Keys may be long and hold any character, a terminal's control characters too.
        return ConfigError(
            f'{self.path}:{where} {_printable(name, 200)} {_printable(problem, 2000)}')

    def _line(self, keys: Sequence[str | int]) -> int:
        """Return the line of the last of `keys` that exists, counted from 1."""
        node = self._root
        assert node is not None
        line: int = node.start_mark.line
        for key in keys:
            found = next((pair for pair in _children(node) if pair[0] == key), None)
            if found is None:
                break
            _, line, node = found
        return line + 1


@dataclass(frozen=True)
class Place:
    """A value in a YAML file, as the path of keys that lead to it; `place / 'key'` goes deeper."""

    file: YamlFile
    keys: Keys = ()

    def __truediv__(self, key: str | int) -> Place:
        return Place(self.file, (*self.keys, key))

    def error(self, problem: str) -> ConfigError:
        """Return the one-line error of the value, which `problem` is a predicate of."""
        return self.file.error(self.keys, problem)


def load_yaml(path: Path) -> YamlFile:
    """
    Return what the YAML file `path` holds.

    Raises DataError where the file cannot be read, is larger than `MAX_BYTES`, has more than
    `MAX_VALUES` values or is not YAML; ConfigError for a key that is not text.
    """
    text = read_text(path, MAX_BYTES)
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
        if root is not None:
            _check_values(root)
        value = loader.construct_document(root) if root is not None else None
    except yaml.MarkedYAMLError as error:
        line = f' line {error.problem_mark.line + 1}:' if error.problem_mark else ''
        raise DataError(f'{path}:{line} {error.problem}') from None
    # Values of YAML's own types, such as an impossible date, raise the errors of Python's.
    except (yaml.YAMLError, RecursionError, ValueError, TypeError, AttributeError,
            LookupError, OverflowError) as error:
        raise DataError(f'{path}: is not YAML: {" ".join(str(error).split())[:120]}') from None
    file = YamlFile(path, value, root)
    if root is not None:
        _check_keys(file, root)
    return file


def _printable(text: str, length: int) -> str:
    return ''.join(c if c.isprintable() else ' ' for c in text[:length])


class _Loader(yaml.SafeLoader):
    """The safe loader, which rejects a key that occurs twice instead of keeping the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            if isinstance(key_node, yaml.ScalarNode):
                if key_node.value in seen:
                    raise yaml.constructor.ConstructorError(
                        problem=f'key {key_node.value!r:.60} occurs twice',
                        problem_mark=key_node.start_mark)
                seen.add(key_node.value)
        return super().construct_mapping(node, deep)


def _children(node: yaml.Node) -> Iterator[tuple[Any, int, yaml.Node]]:
    """Yield key or index, line (from 0) and node of what a mapping or list holds."""
    if isinstance(node, yaml.MappingNode):
        for key, child in node.value:
            yield key.value, key.start_mark.line, child
    elif isinstance(node, yaml.SequenceNode):
        for index, child in enumerate(node.value):
            yield index, child.start_mark.line, child


def _check_values(root: yaml.Node) -> None:
    """Raise ConstructorError where aliases make a value hold itself or too many others."""
    counts: dict[int, int] = {}
    open_nodes: set[int] = set()

    def count(node: yaml.Node) -> int:
        identity = id(node)
        if identity in open_nodes:
            raise yaml.constructor.ConstructorError(
                problem='an alias is inside of its own anchor', problem_mark=node.start_mark)
        if identity not in counts:
            open_nodes.add(identity)
            counts[identity] = 1 + sum(count(child) for _, _, child in _children(node))
            open_nodes.remove(identity)
        if counts[identity] > MAX_VALUES:
            raise yaml.constructor.ConstructorError(
                problem=f'more than {MAX_VALUES} values, counting aliases',
                problem_mark=node.start_mark)
        return counts[identity]

    count(root)


def _check_keys(file: YamlFile, root: yaml.Node) -> None:
    """Raise ConfigError where a key is not text, such as a number without quotes."""
    seen: set[int] = set()

    def check(node: yaml.Node, keys: Keys) -> None:
        if id(node) in seen:
            return
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            for key, _ in node.value:
                if key.tag not in (_TEXT, _MERGE):
                    raise file.error(
                        keys, f'has the key {str(key.value)[:60]}, which is not text; quote it')
        for key, _, child in _children(node):
            check(child, (*keys, key))

    check(root, ())
