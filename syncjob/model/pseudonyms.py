"""The short hashes that stand for people in logs and messages.

Keyed, since whoever holds a list of OpenIDs could hash it and look them up. One key a process: that
of the account it works for, so that its runs name a person alike.
"""

import hashlib
from secrets import token_bytes


class _Key:
    value = token_bytes(16)


def key_hashes(key: str) -> None:
    """Have `shown` use this key from now on."""
    _Key.value = key.encode()[: hashlib.blake2s.MAX_KEY_SIZE]


def fingerprint(secret: str) -> str:
    """Return a hash by which a secret can be told from another one, and not found out."""
    text = secret.encode("utf-8", "replace")
    return hashlib.blake2s(text, key=_Key.value, person=b"secret").hexdigest()


def shown(openid: str) -> str:
    """Return the hash that stands for an OpenID or a unionid, ten hexadecimal digits."""
    text = openid.encode("utf-8", "replace")
    return hashlib.blake2s(text, key=_Key.value, person=b"syncjob").hexdigest()[:10]
