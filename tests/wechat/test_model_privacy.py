"""Persons and tokens among the values: no repr names them, and a hash stands for an OpenID."""

from datetime import UTC, datetime

from syncjob.model.pseudonyms import Pseudonyms
from syncjob.model.replies import AccessToken, FollowerPage
from syncjob.model.sweeps import Sweep
from tests.wechat.test_model import FIRST, READ, SECOND


def test_no_repr_holds_what_names_a_person_or_opens_a_door() -> None:
    """OpenIDs, unionids, names, places and tokens are in no repr."""
    sweep = Sweep(1, 1, "open", datetime.now(UTC), None, FIRST, 1, 1, 1, 1, None)
    page, token = FollowerPage((FIRST,), SECOND, 1), AccessToken("60_secret", 7200)
    printed = f"{READ!r} {page!r} {token!r} {sweep!r}"
    hidden = (FIRST, SECOND, "60_secret", READ.nickname, READ.city, READ.headimgurl, READ.unionid)
    for private in (*hidden, READ.remark, READ.province, READ.country):
        assert str(private) not in printed


def test_a_hash_stands_for_an_openid() -> None:
    """The hash of an OpenID is short, always the same, and another one for another case."""
    name = Pseudonyms("a key").name
    assert name(FIRST) == name(FIRST)
    assert len(name(FIRST)) == 10
    assert len({name(FIRST), name(FIRST.lower()), name(""), name("\ud83d")}) == 4
    assert FIRST not in name(FIRST)


def test_without_its_key_nobody_can_make_the_hash_of_an_openid() -> None:
    """Another key, another hash; the same key, the same; without one, a hash of this run alone."""
    one = Pseudonyms("one key").name(FIRST)
    assert Pseudonyms("another").name(FIRST) != one
    assert Pseudonyms("one key").name(FIRST) == one
    assert Pseudonyms().name(FIRST) != Pseudonyms().name(FIRST)


def test_accounts_in_one_process_have_their_own_pseudonyms() -> None:
    """The key of one does not change the hashes of another."""
    first = Pseudonyms("first")
    before = first.name(FIRST), first.fingerprint("secret")
    Pseudonyms("second").name(FIRST)
    assert (first.name(FIRST), first.fingerprint("secret")) == before
