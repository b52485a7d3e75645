"""Pseudonyms: short keyed hashes of OpenIDs for logs and messages, and of secrets for the database.

Without a key, anyone with a list of OpenIDs could hash it and compare. Each account has one key,
so that all its runs use the same pseudonym for an OpenID.
"""

import hashlib
from secrets import token_hex


class Pseudonyms:
    """Makes the pseudonyms of one account. Without a key it uses a random one."""

    def __init__(self, key: str | None = None) -> None:
        self._key = (key or token_hex(16)).encode()[: hashlib.blake2s.MAX_KEY_SIZE]

    def name(self, openid: str | None) -> str:
        """Return the pseudonym of an OpenID or a unionid: ten hexadecimal digits."""
        return self._hash(openid or "", b"syncjob")[:10]

    def fingerprint(self, secret: str) -> str:
        """Return a hash that shows whether a secret has changed, without revealing it."""
        return self._hash(secret, b"secret")

    def _hash(self, value: str, person: bytes) -> str:
        text = value.encode("utf-8", "replace")
        return hashlib.blake2s(text, key=self._key, person=person).hexdigest()
