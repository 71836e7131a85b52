"""
The registry of readers: each declares itself at its definition, by `register_reader`.

The readers of this package are the modules beside this one; they are imported when the first
reader is asked for. A reader elsewhere is known as soon as its module is imported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pkgutil import iter_modules
from types import MappingProxyType
from typing import Any, TypeVar

from mtl_perception.data.data_set import DataSet
from mtl_perception.data.readers.splits import ListedSplit
from mtl_perception.data.set_spec import MaskLabels, SetSpec
from mtl_perception.data.yaml_file import Place
from mtl_perception.data.yaml_model import Section

LIST_FILES = MappingProxyType({'train': 'train.txt', 'val': 'val.txt'})
"""The splits of a set whose reader declares no others: files that list its images."""

OptionsT = TypeVar('OptionsT', bound='ReaderOptions')
ReaderT = TypeVar('ReaderT', bound=Callable[[SetSpec], DataSet])


class ReaderOptions(Section):
    """The key `options` of a set: a field, with its default, for each option of a reader."""

    @classmethod
    def of(cls: type[OptionsT], spec: SetSpec) -> OptionsT:
        """Return the options of `spec`, whose reader declares this type of options."""
        assert isinstance(spec.options, cls)
        return spec.options

    def check_labels(self, masks: MaskLabels | None, place: Place) -> None:
        """
        Raise ConfigError for an option (of the key `options` at `place`) that contradicts `masks`.

        A reader overrides this where an option names a label.
        """


@dataclass(frozen=True, eq=False)
class Reader:
    """What a reader declares about itself."""

    name: str
    """The value of the key `reader` of a set."""
    open: Callable[[SetSpec], DataSet]
    """Opens a set; its class."""
    options: type[ReaderOptions]
    boxes: bool
    """Whether it reads boxes."""
    masks: bool
    """Whether it reads masks."""
    colors: bool
    """Whether its masks may be colour images."""
    split: Any
    """Type of one split in the file: an annotation that pydantic validates to a `Split`."""
    default_splits: Mapping[str, str]
    """Splits of a set that names none; empty where it must name them."""
    image_files: bool
    """Whether its images are files, of which training may cut crops (`FileSet`)."""
    on_disk: bool
    """Whether a set has a folder at all."""


_READERS: dict[str, Reader] = {}


def register_reader(
        name: str, options: type[ReaderOptions], *, boxes: bool = False, masks: bool = False,
        colors: bool = False, split: Any = ListedSplit,
        default_splits: Mapping[str, str] = LIST_FILES, image_files: bool = True,
        on_disk: bool = True) -> Callable[[ReaderT], ReaderT]:
    """
    Return a decorator that registers a class (a `DataSet` made of a `SetSpec`) as a reader.

    See `Reader` for the arguments. Raises ValueError where another class has the name.
    """
    def register(cls: ReaderT) -> ReaderT:
        known = _READERS.get(name)
        # The same class again is its module, reloaded.
        if known is not None and _path(known.open) != _path(cls):
            raise ValueError(f'the reader {name!r} is {_path(known.open)} already')
        _READERS[name] = Reader(name, cls, options, boxes, masks, colors, split, default_splits,
                                image_files, on_disk)
        return cls

    return register


def all_readers() -> tuple[Reader, ...]:
    """Return the readers of this package and those registered elsewhere."""
    from mtl_perception.data import readers
    for module in sorted(item.name for item in iter_modules(readers.__path__)):
        import_module(f'{readers.__name__}.{module}')
    return tuple(_READERS.values())


def reader_named(name: str) -> Reader:
    """Return the reader `name`; KeyError where none is registered."""
    return {reader.name: reader for reader in all_readers()}[name]


def _path(cls: Any) -> str:
    return f'{cls.__module__}.{cls.__qualname__}'
