"""Privacy of the values: no repr shows personal data or tokens; OpenIDs have pseudonyms."""

from datetime import UTC, datetime

from syncjob.model.pseudonyms import Pseudonyms
from syncjob.model.replies import AccessToken, FollowerPage
from syncjob.model.sweeps import Sweep
from tests.wechat.test_model import FIRST, READ, SECOND


def test_no_repr_shows_personal_data_or_tokens() -> None:
    """OpenIDs, unionids, names, places and tokens are in no repr."""
    sweep = Sweep(1, 1, "open", datetime.now(UTC), None, FIRST, 1, 1, 1, 1, None)
    page, token = FollowerPage((FIRST,), SECOND, 1), AccessToken("60_secret", 7200)
    printed = f"{READ!r} {page!r} {token!r} {sweep!r}"
    hidden = (FIRST, SECOND, "60_secret", READ.nickname, READ.city, READ.headimgurl, READ.unionid)
    for private in (*hidden, READ.remark, READ.province, READ.country):
        assert str(private) not in printed


def test_a_pseudonym_is_a_short_hash() -> None:
    """The pseudonym of an OpenID is short and constant, and depends on the case."""
    name = Pseudonyms("a key").name
    assert name(FIRST) == name(FIRST)
    assert len(name(FIRST)) == 10
    assert len({name(FIRST), name(FIRST.lower()), name(""), name("\ud83d")}) == 4
    assert FIRST not in name(FIRST)


def test_a_pseudonym_depends_on_the_key() -> None:
    """Another key gives another pseudonym; without a key, each object has a random one."""
    one = Pseudonyms("one key").name(FIRST)
    assert Pseudonyms("another").name(FIRST) != one
    assert Pseudonyms("one key").name(FIRST) == one
    assert Pseudonyms().name(FIRST) != Pseudonyms().name(FIRST)


def test_accounts_in_one_process_have_their_own_pseudonyms() -> None:
    """The key of one account does not change the pseudonyms of another."""
    first = Pseudonyms("first")
    before = first.name(FIRST), first.fingerprint("secret")
    Pseudonyms("second").name(FIRST)
    assert (first.name(FIRST), first.fingerprint("secret")) == before
