"""OpenIDs and list positions of followers, computed instead of stored.

`OpenIds` maps a number to an OpenID and back. `ListOrder` maps the order of following to the
order of the list and back. Neither knows who follows.
"""

import binascii
import random

_LENGTH = 28
_BITS = 126  # 21 base64url characters; the 22nd is a letter whose case carries the lowest bit
_MASK = (1 << _BITS) - 1
_HALF = _BITS // 2
_LETTERS = [pair for letter in "bcdfghjkmnpqrstv" for pair in (letter, letter.upper())]
_ALPHABET = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
_TO_URL = bytes.maketrans(b"+/", b"-_")
# "+" and "/" do not occur in OpenIDs: map them to a character that strict base64 rejects.
_FROM_URL = bytes.maketrans(b"-_+/", b"+/!!")


class OpenIds:
    """A bijection between the numbers below `limit` and 28-character OpenIDs.

    The OpenIDs of 2n and 2n+1 differ only in the case of their last letter: OpenIDs are
    case-sensitive, and tests must detect a database that compares them without case.
    """

    def __init__(self, seed: int, label: str, limit: int) -> None:
        dice = random.Random(f"{label} {seed}")
        self.prefix = "o" + "".join(dice.choices(sorted(_ALPHABET), k=5))
        self._limit = limit
        self._factor = dice.getrandbits(_BITS) | (1 << (_BITS - 1)) | 1
        self._inverse = pow(self._factor, -1, 1 << _BITS)
        self._shift = dice.getrandbits(_BITS)

    def encode(self, number: int) -> str:
        """Return the OpenID of `number`."""
        mixed = ((number >> 1) * self._factor + self._shift) & _MASK
        mixed ^= mixed >> _HALF
        text = binascii.b2a_base64((mixed << 2).to_bytes(16, "big"), newline=False)
        letter = _LETTERS[(mixed & 15) << 1 | number & 1]
        return self.prefix + text.translate(_TO_URL)[:21].decode() + letter

    def decode(self, openid: str) -> int | None:
        """Return the number of an OpenID, None if it has none."""
        if len(openid) != _LENGTH or not openid.startswith(self.prefix):
            return None
        try:
            packed = openid[6:27].encode("ascii").translate(_FROM_URL) + b"A=="
            mixed = int.from_bytes(binascii.a2b_base64(packed, strict_mode=True), "big") >> 2
        except (UnicodeEncodeError, binascii.Error):
            return None
        pair = ((mixed ^ mixed >> _HALF) - self._shift) * self._inverse & _MASK
        number = pair << 1 | openid[27].isupper()
        if number >= self._limit or openid[27] != _LETTERS[(mixed & 15) << 1 | number & 1]:
            return None
        return number

    def well_formed(self, openid: str) -> bool:
        """Return whether `openid` has the format of this account's OpenIDs."""
        return (
            len(openid) == _LENGTH
            and openid.startswith(self.prefix)
            and _ALPHABET.issuperset(openid)
        )


class ListOrder:
    """A bijection between the order of following (index) and the order of the list (key).

    WeChat's list is not in the order of following: a new follower may appear anywhere in it.
    """

    def __init__(self, seed: int, bits: int) -> None:
        dice = random.Random(f"order {seed}")
        self.size = 1 << bits
        self._mask = self.size - 1
        # At least half of the bits, so that the xor-shift undoes itself.
        self._half = (bits + 1) // 2
        self._first = dice.getrandbits(bits) | 1
        self._second = dice.getrandbits(bits) | 1
        self._shift = dice.getrandbits(bits)
        self._undo_first = pow(self._first, -1, self.size)
        self._undo_second = pow(self._second, -1, self.size)

    def key(self, index: int) -> int:
        """Return the list position of the `index`-th follower."""
        mixed = index * self._first & self._mask
        mixed ^= mixed >> self._half
        return (mixed * self._second + self._shift) & self._mask

    def index(self, key: int) -> int:
        """Return the index, from 0, of the follower at list position `key`."""
        mixed = (key - self._shift) * self._undo_second & self._mask
        mixed ^= mixed >> self._half
        return mixed * self._undo_first & self._mask
