"""The answers to user/info and user/info/batchget.

Reads the account and the switches; tokens, quotas and faults have been dealt with before.
"""

import json
import random
import re

from syncjob.simulator.account import Account
from syncjob.simulator.switches import Switches

# With one comma: the key may stand last.
_UNIONID = re.compile(r'"unionid":"([^"]*)",|,"unionid":"([^"]*)"')


def asked_openids(body: bytes) -> tuple[str, ...] | None:
    """Return the OpenIDs of a batchget request, None if the body is not such a request."""
    try:
        asked = json.loads(body)["user_list"]
        openids = tuple([entry["openid"] for entry in asked])
    except (ValueError, TypeError, KeyError):
        return None
    return openids if all(isinstance(openid, str) for openid in openids) else None


def user_info(account: Account, openid: str) -> str | int:
    """Return the JSON of one user, or the errcode with which WeChat refuses to speak of them."""
    index = account.find(openid)
    refusal = account.refusal(openid, index, batch=False)
    if refusal is not None:
        return refusal
    return account.describe(index, openid, batch=False)


def batch_info(
    account: Account, switches: Switches, openids: tuple[str, ...], dice: random.Random
) -> str | int:
    """Return the JSON of up to 100 users, or an errcode for the batch as a whole.

    One malformed or refused OpenID fails the batch, and nothing says which it was. Someone
    unknown is no error, but an entry with subscribe 0.
    """
    if not 0 < len(openids) <= switches.batch_limit:
        return 40032
    found = [account.find(openid) for openid in openids]
    for openid, index in zip(openids, found, strict=True):
        refusal = account.refusal(openid, index, batch=True)
        if refusal is not None:
            return refusal
    described = [
        None
        if index is not None and account.forgets(index)
        # Someone unknown is described like anybody who left.
        else account.describe(index, openid, batch=True)
        for openid, index in zip(openids, found, strict=True)
    ]
    shifters = [
        position
        for position, index in enumerate(found)
        if (switches.unionid_shift and index is None)
        or (switches.shift_after_lost and account.lost(index))
    ]
    entries = [entry for entry in described if entry is not None]
    if shifters:
        before = sum(1 for entry in described[: shifters[0]] if entry is not None)
        entries[before:] = _shift_unionids(entries[before:])
    if switches.repeat_user and entries:
        entries.append(entries[0])
    if switches.shuffle:
        dice.shuffle(entries)
    return '{"user_info_list":[' + ",".join(entries) + "]}"


def _shift_unionids(entries: list[str]) -> list[str]:
    """Give each entry that has a unionid the next one's; the last is left without.

    Reported once, in 2024, of batches with an OpenID that nobody has.
    """
    known = [match[1] or match[2] for entry in entries if (match := _UNIONID.search(entry))]
    following = iter(known[1:])
    shifted = []
    for entry in entries:
        match = _UNIONID.search(entry)
        if match:
            own, unionid = match[1] or match[2], next(following, None)
            new = "" if unionid is None else match[0].replace(own, unionid)
            entry = entry.replace(match[0], new)
        shifted.append(entry)
    return shifted
