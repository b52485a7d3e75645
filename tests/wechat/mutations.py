"""Bodies of answers, changed at random: bytes, JSON's own pieces, and the whole."""

import random
import re
from collections.abc import Callable

LONGEST_BODY = 2**18  # bytes; long enough for what takes too long to show

_PIECE = re.compile(rb'"(?:[^"\\]|\\.)*"|-?[0-9][0-9.eE+-]*|true|false|null|[\[\]{},:]')
_BYTES = (
    b"\0",
    b"\x07",
    b"\x14",
    b"\x7f",
    b"\xff",
    b"\xc0\x80",  # an overlong NUL
    b"\xed\xa0\xbd",  # half of a pair, in UTF-8
    b"\xf4\x90\x80\x80",  # past the last character
    b"\xe4\xbd",  # a character cut short
    b"\xef\xbb\xbf",
    b"\xe2\x80\xa8",
    rb"\u0000",
    rb"\ud83d",
    rb"\udc00\ud83d",
    rb"\uD83D\uDE00",
    rb"\u",
    rb"\x",
    b"\\",
    b'"',
    b"'",
    b"\n",
    b"\r\n",
    b"%s{ip}",
)
_VALUES = (
    b"null",
    b"true",
    b"false",
    b"0",
    b"-0",
    b"1",
    b"-1",
    b"2",
    b"1.5",
    b"1e2",
    b"1e999",
    b"-1e999",
    b"NaN",
    b"-Infinity",
    b"32768",
    b"4294967295",
    b"253402300800",
    b"9223372036854775808",
    b"-9223372036854775809",
    b"9" * 30,
    b"9" * 4300,
    b"9" * 5000,
    b"0." + b"1" * 5000,
    b'""',
    b'" "',
    b'"0"',
    b'"1"',
    b'"1_0"',
    b'"-1"',
    b'"1e3"',
    b'"' + b"9" * 30 + b'"',
    '"１２"'.encode(),
    '"老王 😀"'.encode(),
    rb'"\u0000"',
    rb'"\ud83d"',
    b"[]",
    b"{}",
    b"[[]]",
    b'{"":""}',
    b'[{"openid":null}]',
)
_KEYS = (
    b"errcode",
    b"errmsg",
    b"openid",
    b"next_openid",
    b"data",
    b"total",
    b"user_info_list",
    b"subscribe",
    b"extra",
    b"access_token",
    b"expires_in",
    b"a_new_key",
    rb"\u0000",
    rb"\ud83d",
    b"",
)
_LONG = (b" ", b"\t", b"\0", b"a", b"1", b"-", b"[", b"]", b"\\", b"hint: [", b"rid: ", b"rid: 1-")
_DEPTHS = (10, 100, 300, 450, 600, 800, 950, 1000, 2000, 50_000)

Dice = random.Random


def mutated(dice: Dice, bodies: list[bytes]) -> bytes:
    """Return one of the bodies, changed a few times."""
    body = dice.choice(bodies)
    for _ in range(dice.choice((1, 1, 1, 1, 2, 2, 3, 5))):
        body = (_stretched if dice.random() < 0.02 else dice.choice(_CHANGES))(dice, body)
        if len(body) > 16_384:  # its pieces would take more memory than reading it does
            break
    if dice.random() < 0.02:
        body += dice.choice(bodies)
    return body[:LONGEST_BODY]


# --- bytes ----------------------------------------------------------------------------------


def _flipped(dice: Dice, body: bytes) -> bytes:
    changed = bytearray(body)
    for _ in range(dice.randint(1, 3) if body else 0):
        changed[dice.randrange(len(changed))] ^= 1 << dice.randrange(8)
    return bytes(changed)


def _inserted(dice: Dice, body: bytes) -> bytes:
    at = dice.randint(0, len(body))
    new = dice.choice(_BYTES) if dice.random() < 0.8 else dice.randbytes(dice.randint(1, 8))
    return body[:at] + new + body[at:]


def _deleted(dice: Dice, body: bytes) -> bytes:
    start, end = _slice(dice, body)
    return body[:start] + body[end:]


def _truncated(dice: Dice, body: bytes) -> bytes:
    return body[: dice.randint(0, len(body))]


def _repeated(dice: Dice, body: bytes) -> bytes:
    start, end = _slice(dice, body)
    return body[:end] + body[start:end] * dice.randint(1, 5) + body[end:]


def _exchanged(dice: Dice, body: bytes) -> bytes:
    a, b, c = sorted(dice.randint(0, len(body)) for _ in range(3))
    return body[:a] + body[b:c] + body[a:b] + body[c:]


def _stretched(dice: Dice, body: bytes) -> bytes:
    """Something short, up to a hundred thousand times, in the middle of a piece or anywhere."""
    pieces = list(_PIECE.finditer(body))
    at = dice.choice(pieces).end() - 1 if pieces else dice.randint(0, len(body))
    new = dice.choice(_LONG)
    return body[:at] + new * (dice.randint(1000, 100_000) // len(new)) + body[at:]


# --- pieces of JSON -------------------------------------------------------------------------


def _replaced(dice: Dice, body: bytes) -> bytes:
    """A value of another type, or a number that nothing holds, in place of a piece."""
    return _on_a_piece(dice, body, lambda _: dice.choice(_VALUES))


def _wrapped(dice: Dice, body: bytes) -> bytes:
    return _on_a_piece(
        dice, body, lambda piece: dice.choice((b"[%s]", b'{"a":%s}', b'"%s"')) % piece
    )


def _nested(dice: Dice, body: bytes) -> bytes:
    depth = dice.choice(_DEPTHS)
    opening, closing = dice.choice(((b"[", b"]"), (b'{"a":', b"}"), (b'[{"":', b"}]")))
    closed = closing * (depth if dice.random() < 0.9 else depth - 1)
    deep = opening * depth + dice.choice((b"1", b'"x"')) + closed
    if dice.random() < 0.5:
        return _on_a_piece(dice, body, lambda _: deep)
    return _with_key(dice, body, deep)


def _swapped(dice: Dice, body: bytes) -> bytes:
    pieces = [found.span() for found in _PIECE.finditer(body)]
    if len(pieces) < 2:
        return body
    (a, b), (c, d) = sorted(dice.sample(pieces, 2))
    return body[:a] + body[c:d] + body[b:c] + body[a:b] + body[d:]


def _keyed(dice: Dice, body: bytes) -> bytes:
    """A key that is new, or there twice."""
    return _with_key(dice, body, dice.choice(_VALUES))


def _with_key(dice: Dice, body: bytes, value: bytes) -> bytes:
    places = [at for at, byte in enumerate(body) if byte in b"{,"]
    if not places:
        return body
    at = dice.choice(places) + 1
    return b'%s"%s":%s,%s' % (body[:at], dice.choice(_KEYS), value, body[at:])


def _on_a_piece(dice: Dice, body: bytes, change: Callable[[bytes], bytes]) -> bytes:
    pieces = [found for found in _PIECE.finditer(body) if found[0] not in b"[]{},:"]
    if not pieces:
        return change(body)
    piece = dice.choice(pieces)
    return body[: piece.start()] + change(piece[0]) + body[piece.end() :]


# --- the whole ------------------------------------------------------------------------------


def _recoded(dice: Dice, body: bytes) -> bytes:
    text = body.decode("utf-8", "replace")
    return text.encode(dice.choice(("utf-8-sig", "utf-16", "utf-16-be", "gbk", "utf-7")), "replace")


def _framed(dice: Dice, body: bytes) -> bytes:
    before, after = dice.choice(
        ((b"[", b"]"), (b"\n ", b"\n"), (b"callback(", b")"), (b'{"data":', b"}"), (b'"', b'"'))
    )
    return before + body + after


def _slice(dice: Dice, body: bytes) -> tuple[int, int]:
    start = dice.randint(0, len(body))
    return start, min(len(body), start + dice.randint(1, 2 ** dice.randint(0, 8)))


_CHANGES: tuple[Callable[[Dice, bytes], bytes], ...] = (
    *(_flipped, _inserted, _inserted, _deleted, _truncated, _repeated, _exchanged),
    *(_replaced, _replaced, _replaced, _wrapped, _nested, _swapped, _keyed, _keyed),
    *(_recoded, _framed),
)
