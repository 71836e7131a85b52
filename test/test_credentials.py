import pytest

from mtl_perception.credentials import hide_credentials
from mtl_perception.errors import ConfigError, DataError, one_line


@pytest.mark.parametrize(('text', 'hidden'), [
    ('rtsp://admin:pw@10.0.0.1:554/x failed', 'rtsp://***@10.0.0.1:554/x failed'),
    ('rtsp://admin:p[ss@host/x', 'rtsp://***@host/x'),
    ('rtsp://admin:p@s/s@host/x', 'rtsp://***@host/x'),
    ('rtsp:/admin:pw@host/x: no such file', 'rtsp:/***@host/x: no such file'),  # a `Path` of it
    ("source '//admin:pw@host/x' is no", "source '//***@host/x' is no"),
    ("parse 'source:=RTSP://a:b@h/x' and \"http://c:d@e\"",
     "parse 'source:=RTSP://***@h/x' and \"http://***@e\""),
    ('http://host/x?user=me&password=pw&size=2', 'http://host/x?user=***&password=***&size=2'),
    ('rtsp://host/user=admin_password=pw_channel=1', 'rtsp://host/user=***_password=***_channel=1'),
    ('rtspsrc user-id=me user-pw=pw ! decodebin', 'rtspsrc user-id=*** user-pw=*** ! decodebin'),
    ('https://host/x?access_token=abc', 'https://host/x?access_token=***'),
])
def test_credentials_are_hidden(text: str, hidden: str) -> None:
    assert hide_credentials(text) == hidden


@pytest.mark.parametrize('text', [
    'rtsp://host:554/stream', '/data//me@work/a.jpg: no such image',
    'set/a@160,0: box 1, 2 has no',
    'udp://@239.0.0.1:1234', 'm.yaml:3: passes=2', 'keyframes=1',
])
def test_other_text_stays(text: str) -> None:
    assert hide_credentials(text).replace('***', '') == text


def test_no_error_message_has_credentials() -> None:
    error = DataError('rtsp:/admin:pw@host/x: no such file')
    assert str(error) == 'rtsp:/***@host/x: no such file'
    assert one_line(ValueError('http://a:b@c')) == 'http://***@c'
    assert 'pw' not in f'{ConfigError("rtsp://a:pw@h")} {ConfigError("rtsp://a:pw@h")!r}'
