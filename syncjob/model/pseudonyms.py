"""The short hashes that stand for people in logs and messages, and for secrets in the database.

Keyed, since whoever holds a list of OpenIDs could hash it and look them up. The key is the
account's, so that all of its runs name a person alike.
"""

import hashlib
from secrets import token_hex


class Pseudonyms:
    """Makes the pseudonyms of one account; without its key, ones that nobody can compare."""

    def __init__(self, key: str | None = None) -> None:
        self._key = (key or token_hex(16)).encode()[: hashlib.blake2s.MAX_KEY_SIZE]

    def name(self, openid: str | None) -> str:
        """Return the hash that stands for an OpenID or a unionid, ten hexadecimal digits."""
        return self._hash(openid or "", b"syncjob")[:10]

    def fingerprint(self, secret: str) -> str:
        """Return a hash by which a secret can be told from another one, and not found out."""
        return self._hash(secret, b"secret")

    def _hash(self, value: str, person: bytes) -> str:
        text = value.encode("utf-8", "replace")
        return hashlib.blake2s(text, key=self._key, person=person).hexdigest()
