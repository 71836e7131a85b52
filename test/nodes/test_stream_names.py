"""URLs accepted as streams, and their names in logs."""

import pytest

from mtl_perception.errors import ConfigError
from mtl_perception.nodes.stream_names import SCHEMES, stream_name


@pytest.mark.parametrize(('url', 'name'), [
    ('rtsp://pilot:secret@192.0.2.1:554/stream?key=secret', 'rtsp://192.0.2.1:554/stream'),
    ('RTSP://192.0.2.1/a/user=admin_password=secret_channel=1.sdp', 'rtsp://192.0.2.1/a'),
    ('http://[2001:db8::1]:8080/video.mjpg;secret', 'http://[2001:db8::1]:8080'),
    ('https://nose.example/mjpeg#secret', 'https://nose.example/mjpeg'),
    ('udp://@:5000', 'udp://:5000'),
    ('srt://:9000?passphrase=secret', 'srt://:9000'),
    ('rtsp://pilot:p@secret@192.0.2.1/x', 'rtsp://192.0.2.1/x'),
    ('rtsp://192.0.2.1//pilot:secret@192.0.2.2/x', 'rtsp://192.0.2.1/'),
])
def test_name_contains_no_secrets(url, name):
    assert stream_name(url) == name


@pytest.mark.parametrize(('url', 'reason'), [
    ('file:///secret/passwd', 'no images are taken from file:'),
    ('concat:a|b://secret', 'no images are taken from concat:'),
    ('subfile,,start,0,end,9,,:http://secret/', 'is no scheme'),
    ('gopher://secret', 'from gopher:'),
    ('rtsp:///secret', 'the rtsp URL names no host'),
    ('udp:///secret', 'names no host'),
    ('rtsp://pilot:secret/x@192.0.2.1/y', 'impossible host or port; special characters'),
    ('http://[secret/x', 'impossible host or port'),
])
def test_invalid_url_is_rejected_without_repeating_it(url, reason):
    with pytest.raises(ConfigError, match=reason) as error:
        stream_name(url)
    assert 'secret' not in str(error.value) and '\n' not in str(error.value)


def test_no_scheme_reads_files():
    assert not {'file', 'concat', 'subfile', 'data', 'pipe', 'fd', 'cache'} & set(SCHEMES)


@pytest.mark.parametrize('mark', '/?#')
def test_password_with_delimiter_is_not_parsed_as_port(mark):
    with pytest.raises(ConfigError, match='has an @ behind its host') as error:
        stream_name(f'rtsp://pilot:12{mark}secret@192.0.2.1/x')
    assert not any(word in str(error.value) for word in ('pilot', '12', 'secret'))
