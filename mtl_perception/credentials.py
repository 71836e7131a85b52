"""Removal of users, passwords and tokens from text that is logged."""

from __future__ import annotations

import re

HIDDEN = '***'
"""What is written in the place of a credential."""

# `pathlib` makes one slash of two. The last @ of the word counts: a password may have an @ or a
# slash in it that is not escaped.
_USER = re.compile(
    r"""(\b[a-z][a-z0-9+.-]*:/{1,3}(?=[^\s'"]*@)|//(?=[^\s'"/@:]+:[^\s'"]*@))[^\s'"]*@""",
    re.IGNORECASE)

# Of query strings, of the paths of some cameras (`/user=admin_password=...`) and of GStreamer's
# elements (`user-pw=...`).
_KEY = re.compile(
    r"""((?:\b|_)(?:user(?:name)?|user[-_](?:id|pw)|passw(?:or)?d|passphrase|pass|pwd|token|"""
    r"""(?:api[-_]?|access[-_]?)?key|secret|auth|signature|sig)=)[^\s&;_/'"]+""", re.IGNORECASE)


def hide_credentials(text: str) -> str:
    """
    Return the text without what may be a credential: `***` stands in its place.

    Hidden are the user and password of each URL, and the values of keys such as `password=`.
    """
    return _KEY.sub(rf'\1{HIDDEN}', _USER.sub(rf'\1{HIDDEN}@', text))
