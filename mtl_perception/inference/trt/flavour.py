"""
Detection of the installed TensorRT: TensorRT itself or TensorRT for RTX.

Both have the same Python interface under different names. TensorRT itself (`tensorrt`: JetPack,
servers) builds an engine for one GPU by timing kernels on it; TensorRT for RTX (`tensorrt_rtx`:
desktops) builds one for a compute capability, also without a GPU, and compiles the kernels when
the engine is loaded.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from types import ModuleType

from mtl_perception.errors import one_line, StartError
from mtl_perception.extras import remedy

RTX = 'tensorrt_rtx'
MODULES = ('tensorrt', RTX)
"""Python modules of TensorRT in the order in which they are tried."""

_DISTRIBUTIONS = {
    'tensorrt': ('tensorrt', 'tensorrt_cu13', 'tensorrt_cu12'),
    RTX: ('tensorrt_rtx', 'tensorrt_rtx_cu13', 'tensorrt_rtx_cu12')}
"""Module -> its package names in pip and apt."""


@dataclass(frozen=True)
class Flavour:
    """A TensorRT and its version; as text it is '10.3.0' or 'RTX 1.7.1'."""

    module: str
    """One of `MODULES`."""
    version: str
    """Full version, such as '1.7.1.116'."""

    @property
    def is_rtx(self) -> bool:
        """Whether it is TensorRT for RTX, whose engines are for a compute capability."""
        return self.module == RTX

    def __str__(self) -> str:
        number = '.'.join(self.version.split('.')[:3])
        return f'RTX {number}' if self.is_rtx else number


def installed() -> tuple[str, ...]:
    """Return those of `MODULES` that are installed, without loading them."""
    return tuple(name for name in MODULES if _is_installed(name))


def flavour() -> Flavour:
    """
    Return the TensorRT that will be used, as far as is known without loading it.

    Raises StartError if none is installed.
    """
    names = installed()
    if not names:
        raise _not_installed()
    for distribution in _DISTRIBUTIONS[names[0]]:
        try:
            return Flavour(names[0], version(distribution))
        except PackageNotFoundError:
            continue
    return Flavour(names[0], 'of unknown version')


def load() -> tuple[Flavour, ModuleType]:
    """
    Load the first usable TensorRT; return it and its module.

    Raises StartError if none is installed, or none loads.
    """
    failures = []
    for name in installed():
        try:
            module = import_module(name)
        except (ImportError, OSError) as error:
            failures.append(f'{name}: {one_line(error)}')
            continue
        if hasattr(module, 'Builder'):
            return Flavour(name, module.__version__), module
        failures.append(f'{name}: it is incomplete')
    if failures:
        raise StartError(f'TensorRT does not load ({"; ".join(failures)})',
                         'install it again, for the CUDA that is installed')
    raise _not_installed()


def _is_installed(name: str) -> bool:
    try:
        found = find_spec(name)
    except ModuleNotFoundError:
        return False
    except ValueError:  # a module without spec, put into sys.modules
        return True
    # `tensorrt-stubs` installs a folder without code, for type checkers.
    return found is not None and found.origin is not None


def _not_installed() -> StartError:
    return StartError(f'neither {" nor ".join(MODULES)} is installed', remedy('tensorrt') or '')
