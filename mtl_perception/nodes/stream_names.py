"""URLs of streams: which ones are supported, and their names in logs."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from mtl_perception.errors import ConfigError

SCHEMES = ('rtsp', 'rtsps', 'rtmp', 'http', 'https', 'udp', 'rtp', 'srt', 'tcp')
"""FFmpeg knows more, among them ones that read files (`file`, `concat`, `subfile`)."""

_LISTENING = ('udp', 'rtp', 'srt', 'tcp')
"""Schemes whose URL may go without a host: the stream is sent to this machine."""

_SCHEME = re.compile(r'([A-Za-z][A-Za-z0-9+.-]+):')


def stream_name(url: str) -> str:
    """
    Return a URL as it may be logged: no user, password, query or other settings.

    Some cameras take user and password in the path (`/user=admin_password=...`): it ends before
    the first part that has a `=`. ConfigError, which does not repeat the URL, where it is none
    that a stream can come from.
    """
    check_scheme(url)
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or '', parts.port
    except ValueError:
        # Its text has the host in it, and with it, by mistake, what belongs before the `@`.
        raise ConfigError('source: the URL has an impossible host or port; special characters '
                          'in user and password are written as %XX') from None
    has_port = ':' in parts.netloc.rpartition(']')[2]
    rest = parts.path + parts.query + parts.fragment
    if has_port and '@' in rest and '@' not in parts.netloc:
        # A bare /, ? or # in the password: what looks like host and port is user and password.
        raise ConfigError('source: the URL has an @ behind its host; in user and password /, ? '
                          'and # are written as %2F, %3F and %23, elsewhere @ as %40')
    scheme = parts.scheme.lower()
    if not host and not (scheme in _LISTENING and port):
        raise ConfigError(f'source: the {scheme} URL names no host')
    path = ''
    for part in parts.path.split('/')[1:]:
        if re.search('[=;&@]', part):
            break
        path += '/' + part
    if ':' in host:
        host = f'[{host}]'
    return f'{scheme}://{host}' + (f':{port}' if port else '') + path


def check_scheme(text: str) -> None:
    """Raise ConfigError, which names only the scheme, for a URL with an unsupported scheme."""
    found = _SCHEME.match(text)
    scheme = found[1].lower() if found else ''
    if found and scheme not in SCHEMES:
        # In `user:password@host` it is the user.
        named = 'this scheme' if '@' in text and '://' not in text else f'{scheme}:'
        raise ConfigError(
            f'source: no images are taken from {named}; an URL begins with '
            f'{", ".join(SCHEMES)} and ://')
    if found and '://' not in text:
        raise ConfigError(f'source: after {scheme}: an URL has two slashes')
    if not found and '://' in text:
        raise ConfigError('source: what is before :// is no scheme of an URL; one of '
                          + ', '.join(SCHEMES))
