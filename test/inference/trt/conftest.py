import pytest


@pytest.fixture(scope='session')
def library():
    """Return the module with the real TensorRT; skip if none is installed."""
    flavour = pytest.importorskip('mtl_perception.inference.trt.flavour')
    if not flavour.installed():
        pytest.skip('no TensorRT is installed')
    from mtl_perception.inference.trt import library
    return library


@pytest.fixture(scope='session')
def rtx(library):
    """Return the module with TensorRT for RTX, which builds without a GPU; skip elsewhere."""
    if not library.FLAVOUR.is_rtx:
        pytest.skip('TensorRT itself builds with a GPU only')
    return library
