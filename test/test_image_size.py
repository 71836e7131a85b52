import pytest

from mtl_perception.errors import ConfigError
from mtl_perception.image_size import parse_size


@pytest.mark.parametrize('text, size', [
    ('640x480', (640, 480)), ('1X2', (1, 2)), ('0x00480', (0, 480))])
def test_size_is_width_and_height(text, size):
    assert parse_size(text, '--size') == size


@pytest.mark.parametrize('text', [
    '', '640', '640x', 'x480', '-1x2', '1x2x3', '1.5x2', ' 1x2', '100000x1', '\u0663x4', 'big'])
def test_invalid_text_is_rejected_with_option(text):
    with pytest.raises(ConfigError, match=f'--input-size {text} .*WIDTHxHEIGHT'):
        parse_size(text, '--input-size')
