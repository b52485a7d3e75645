"""The answers of user/info and user/info/batchget.

Tokens, quotas and faults are handled before, in api.py.
"""

import json
import random
import re

from syncjob.simulator.account import Account
from syncjob.simulator.switches import Switches

# With one comma, after or before it: the key may be the last.
_UNIONID = re.compile(r'"unionid":"([^"]*)",|,"unionid":"([^"]*)"')


def asked_openids(body: bytes) -> tuple[str, ...] | None:
    """Return the OpenIDs of a batchget request, None if the body is not one."""
    try:
        asked = json.loads(body)["user_list"]
        openids = tuple([entry["openid"] for entry in asked])
    except (ValueError, TypeError, KeyError):
        return None
    return openids if all(isinstance(openid, str) for openid in openids) else None


def user_info(account: Account, openid: str) -> str | int:
    """Return the JSON of one user, or an errcode."""
    index = account.find(openid)
    refusal = account.refusal(openid, index, batch=False)
    if refusal is not None:
        return refusal
    return account.describe(index, openid, batch=False)


def batch_info(
    account: Account, switches: Switches, openids: tuple[str, ...], dice: random.Random
) -> str | int:
    """Return the JSON of up to 100 users, or an errcode for the batch as a whole.

    One malformed or refused OpenID fails the whole batch, and the error does not say which. An
    unknown user is not an error, but an entry with subscribe 0.
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
        # An unknown user has the same entry as one who left.
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
    """Give each entry with a unionid the unionid of the next one; the last one loses its own.

    Reported once, in 2024, for batches with an unknown OpenID.
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
