"""AppID, secret and access tokens, and the rules of both token endpoints."""

import hashlib
import random
import re
import string
from dataclasses import dataclass

from syncjob.simulator.quotas import beijing_day

_OVERLAP = 300  # seconds for which an old token stays valid beside the new one
_FORCED_A_DAY = 20
_FORCED_APART = 30  # seconds
_MAX_TOKENS = 1000  # remembered, to distinguish dead tokens from unknown ones
_SHAPE = re.compile(r"[0-9]{1,3}_[A-Za-z0-9_-]{100,}")
_ALPHABET = string.ascii_letters + string.digits + "-_"


@dataclass
class _Token:
    text: str
    expires_at: float
    revoked_at: float = float("inf")

    def errcode(self, now: float) -> int | None:
        if now >= self.revoked_at:
            return 40001
        return 42001 if now >= self.expires_at else None


class Credentials:
    """The credentials of an account, derived from its seed.

    `lifetime` is the expires_in of a new token in seconds. Times are unix seconds.
    """

    def __init__(self, seed: int) -> None:
        self.appid = "wx" + hashlib.sha256(f"appid {seed}".encode()).hexdigest()[:16]
        self.secret = hashlib.sha256(f"secret {seed}".encode()).hexdigest()[:32]
        self._dice = random.Random(f"tokens {seed}")
        self._tokens: dict[str, _Token] = {}
        self._classic: list[_Token] = []
        self._stable: _Token | None = None
        self._forced_day = 0
        self._forced_today = 0
        self._forced_at = float("-inf")

    def check_secret(self, grant_type: object, appid: object, secret: object) -> int | None:
        """Return the errcode for these credentials, None if they are valid."""
        if not appid:
            return 41002
        if not secret:
            return 41004
        if grant_type != "client_credential":
            return 40002
        if appid != self.appid:
            return 40013
        return None if secret == self.secret else 40125

    def issue(self, now: float, lifetime: int) -> tuple[str, int]:
        """Return a new classic token and its expires_in.

        The previous token stays valid for five minutes; older ones become invalid at once.
        """
        for age, token in enumerate(reversed(self._classic)):
            token.revoked_at = min(token.revoked_at, now + (_OVERLAP if age == 0 else 0))
        token = self._new(now, lifetime)
        self._classic = [*self._classic[-1:], token]
        return token.text, lifetime

    def issue_stable(self, now: float, lifetime: int, *, force: bool = False) -> tuple[str, int]:
        """Return the stable token and its remaining expires_in; classic tokens are not affected.

        In the last five minutes of a token it returns a new one, and both are valid. `force`
        replaces and invalidates the token, at most 20 times a day and every 30 s; beyond that it
        has no effect.
        """
        current = self._stable
        if current is None or current.errcode(now) is not None:
            current = self._new(now, lifetime)
        elif force and self._may_force(now):
            self._forced_today += 1
            self._forced_at = now
            current.revoked_at = now
            current = self._new(now, lifetime)
        # With a lifetime under ten minutes, the overlap is its second half.
        elif current.expires_at - now <= min(_OVERLAP, lifetime / 2):
            current = self._new(now, lifetime)
        self._stable = current
        return current.text, int(current.expires_at - now)

    def check_token(self, token: str | None, now: float) -> int | None:
        """Return the errcode for a call with `token`, None if it is valid."""
        if not token:
            return 41001
        if token in self._tokens:
            return self._tokens[token].errcode(now)
        return 40001 if _SHAPE.fullmatch(token) else 40014

    def kill(self, now: float) -> None:
        """Make every token invalid, as if another program had refreshed it."""
        for token in tuple(self._tokens.values()):
            if token.errcode(now) is None:
                token.revoked_at = now

    def _may_force(self, now: float) -> bool:
        if beijing_day(now) != self._forced_day:
            self._forced_day, self._forced_today = beijing_day(now), 0
        return self._forced_today < _FORCED_A_DAY and now - self._forced_at >= _FORCED_APART

    def _new(self, now: float, lifetime: int) -> _Token:
        text = f"{self._dice.randint(60, 99)}_" + "".join(self._dice.choices(_ALPHABET, k=133))
        token = self._tokens[text] = _Token(text, now + lifetime)
        while len(self._tokens) > _MAX_TOKENS:
            del self._tokens[next(iter(self._tokens))]
        return token
