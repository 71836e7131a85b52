import sys

import pytest

from mtl_perception.errors import StartError
from mtl_perception.inference.trt import flavour
from mtl_perception.inference.trt.flavour import Flavour


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """Return a function that puts a package's source where Python finds it; it starts empty."""
    for name in flavour.MODULES:
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr(sys, 'path', [str(tmp_path)])
    monkeypatch.setattr(flavour, 'version', _no_version)

    def add(name, source):
        (tmp_path / name).mkdir()
        if source is not None:
            (tmp_path / name / '__init__.py').write_text(source)

    yield add
    for name in flavour.MODULES:
        sys.modules.pop(name, None)


def _no_version(name):
    raise flavour.PackageNotFoundError(name)


GOOD = 'class Builder: pass\n__version__ = {!r}\n'


def test_text_has_flavour_and_three_part_version():
    assert str(Flavour('tensorrt_rtx', '1.7.1.116')) == 'RTX 1.7.1'
    assert str(Flavour('tensorrt', '10.3.0')) == '10.3.0'


def test_tensorrt_is_preferred_to_rtx(packages):
    packages('tensorrt', GOOD.format('10.3.0'))
    packages('tensorrt_rtx', GOOD.format('1.7.1.116'))
    found, module = flavour.load()
    assert found == Flavour('tensorrt', '10.3.0') and module.__name__ == 'tensorrt'


@pytest.mark.parametrize('broken', [
    'raise ImportError("libnvinfer.so.10: cannot open shared object file")',
    'raise OSError("libcudart.so.12: cannot open shared object file")',
    ''])
def test_rtx_is_used_if_tensorrt_does_not_load(packages, broken):
    packages('tensorrt', broken)
    packages('tensorrt_rtx', GOOD.format('1.7.1.116'))
    assert flavour.load()[0] == Flavour('tensorrt_rtx', '1.7.1.116')


def test_type_stubs_are_not_tensorrt(packages):
    packages('tensorrt', None)
    assert flavour.installed() == ()
    packages('tensorrt_rtx', GOOD.format('1.7.1.116'))
    assert flavour.installed() == ('tensorrt_rtx',)


def test_no_loadable_library_reports_reasons(packages):
    packages('tensorrt', 'raise ImportError("libnvinfer.so.10:\\nnot there")')
    packages('tensorrt_rtx', '')
    with pytest.raises(StartError) as caught:
        flavour.load()
    assert str(caught.value) == (
        'TensorRT does not load (tensorrt: libnvinfer.so.10: not there; tensorrt_rtx: it is '
        'incomplete); install it again, for the CUDA that is installed')


def test_no_library_names_remedy(packages):
    for ask in (flavour.load, flavour.flavour):
        with pytest.raises(StartError, match='neither tensorrt nor tensorrt_rtx is installed; '
                                             r'.*(\[tensorrt\]|JetPack)'):
            ask()


def test_query_loads_no_library(packages):
    packages('tensorrt', 'raise SystemExit')
    assert flavour.flavour() == Flavour('tensorrt', 'of unknown version')


def test_version_is_equal_before_and_after_loading(library):
    assert flavour.flavour() == library.FLAVOUR
