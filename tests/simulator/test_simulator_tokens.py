"""The simulator's access tokens: two kinds, their lifetimes and their errors."""

import re

import pytest

from tests.simulator_calls import calling, small


def test_the_previous_classic_token_stays_valid_for_five_minutes() -> None:
    """Each call of token issues a new one; the previous one is 40001 after 300 s."""
    with calling(small()) as wechat:
        first = wechat.new_token("token")
        wechat.token = first["access_token"]
        assert first["expires_in"] == 7200
        assert re.fullmatch(r"\d\d_[\w-]{133}", wechat.token)
        assert wechat.new_token("token")["access_token"] != wechat.token
        wechat.clock.now += 299
        assert wechat.page()["count"] == 10
        wechat.clock.now += 1
        assert wechat.page()["errcode"] == 40001


def test_the_stable_token_stays_the_same() -> None:
    """stable_token returns the same token, and a new one in its last five minutes."""
    with calling(small()) as wechat:
        wechat.clock.now += 6000
        assert wechat.new_token() == {"access_token": wechat.token, "expires_in": 1200}
        wechat.clock.now += 900
        successor = wechat.new_token()
        assert successor["access_token"] != wechat.token
        assert successor["expires_in"] == 7200
        assert wechat.page()["count"] == 10
        wechat.clock.now += 300
        assert wechat.page()["errcode"] == 42001


def test_the_two_kinds_of_token_are_independent() -> None:
    """A new classic token does not affect the stable one, and the reverse."""
    with calling(small()) as wechat:
        classic = wechat.new_token("token")["access_token"]
        wechat.new_token("stable_token", force_refresh=True)
        wechat.token, stable = classic, wechat.new_token()["access_token"]
        assert wechat.page()["count"] == 10
        wechat.new_token("token")
        wechat.new_token("token")
        assert wechat.page()["errcode"] == 40001
        wechat.token = stable
        assert wechat.page()["count"] == 10


def test_force_refresh_is_limited() -> None:
    """force_refresh replaces the token, at most every 30 s and 20 times a day."""
    with calling(small()) as wechat:
        forced = wechat.new_token(force_refresh=True)["access_token"]
        assert wechat.page()["errcode"] == 40001
        wechat.clock.now += 29
        assert wechat.new_token(force_refresh=True)["access_token"] == forced
        tokens = {forced}
        for _ in range(25):
            wechat.clock.now += 30
            tokens.add(wechat.new_token(force_refresh=True)["access_token"])
        assert len(tokens) == 20


def test_invalid_tokens_have_different_errcodes() -> None:
    """A missing token is 41001, malformed 40014, unknown or revoked 40001, expired 42001."""
    with calling(small(), token_lifetime=60) as wechat:
        good = wechat.token
        errcodes = []
        for token in ("", "garbage", "60_" + "x" * 133):
            wechat.token = token
            errcodes.append(wechat.page()["errcode"])
        assert errcodes == [41001, 40014, 40001]
        wechat.token = good
        wechat.simulator.kill_tokens()
        assert wechat.page()["errmsg"].startswith("invalid credential, access_token is invalid or")
        wechat.token = wechat.new_token()["access_token"]
        assert wechat.token != good
        wechat.clock.now += 60
        assert wechat.page()["errcode"] == 42001


@pytest.mark.parametrize("endpoint", ["token", "stable_token"])
@pytest.mark.parametrize(
    ("wrong", "errcode"),
    [
        ({"appid": "wx0"}, 40013),
        ({"secret": "0"}, 40125),
        ({"appid": ""}, 41002),
        ({"secret": ""}, 41004),
        ({"grant_type": "password"}, 40002),
    ],
)
def test_wrong_credentials_are_rejected(endpoint: str, wrong: dict[str, str], errcode: int) -> None:
    """Each wrong field has its own errcode, at both token endpoints."""
    with calling(small()) as wechat:
        assert wechat.new_token(endpoint, **wrong)["errcode"] == errcode


def test_another_program_can_invalidate_the_token() -> None:
    """With intruder_every=2, a token is valid for two calls."""
    with calling(small(), intruder_every=2) as wechat:
        for _ in range(3):
            assert [wechat.page().get("errcode") for _ in range(3)] == [None, None, 40001]
            wechat.token = wechat.new_token()["access_token"]
