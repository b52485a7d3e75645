"""Formats the followers missing from WeChat's list, as text and as JSON. Pure."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from syncjob.cli.report import plain
from syncjob.model.accounts import Account
from syncjob.model.unfollows import Candidate, Unanswered


@dataclass(frozen=True, slots=True)
class Missing:
    """Counts and samples of followers who are missing from the list.

    The next run asks WeChat about the `candidates`. About the `unanswered` it has asked in vain;
    for the `refused` among them WeChat refuses an answer.
    """

    account: Account
    candidates: int
    sample: list[Candidate]
    unanswered: int
    refused: int
    unanswered_sample: list[Unanswered]


def missing_in_words(missing: Missing) -> str:
    """Return counts and samples as text."""
    parts = []
    if missing.candidates:
        parts.append(_candidates(missing))
    if missing.unanswered:
        parts.append(_unanswered(missing))
    return "\n\n".join(parts) or "Nobody waits to be asked about."


def missing_as_json(missing: Missing) -> dict[str, Any]:
    """Return the same for `json.dumps`."""
    return {
        "appid": missing.account.appid,
        "parked_at": None
        if missing.account.parked_at is None
        else missing.account.parked_at.isoformat(),
        "candidates": missing.candidates,
        "sample": [plain(candidate, hidden=("attempts",)) for candidate in missing.sample],
        "unanswered": missing.unanswered,
        "refused": missing.refused,
        "unanswered_sample": [plain(one) for one in missing.unanswered_sample],
    }


def _candidates(missing: Missing) -> str:
    count, parked_at = missing.candidates, missing.account.parked_at
    if parked_at is None:
        head = f"{count:,} are missing from WeChat's list; the next run asks about each of them."
    else:
        head = (
            f"PARKED since {_minute(parked_at)}: {count:,} are missing from the list.\n"
            "Nobody was marked as gone. Look into the console (用户管理): did so many leave?\n"
            "  yes: syncjob unfollows approve    no: syncjob unfollows reject"
        )
    lines = [head]
    if missing.sample:
        lines += ["", f"{'openid':<30}{'last known to follow':<22}{'followed since':<22}"]
    for candidate in missing.sample:
        since = _minute(candidate.subscribe_time)
        lines.append(
            f"{candidate.openid:<30}{_minute(candidate.following_at):<22}{since:<22}".rstrip()
        )
    return "\n".join(lines)


def _unanswered(missing: Missing) -> str:
    lines = [
        f"{missing.unanswered:,} are missing from WeChat's list, and were asked about in vain; of "
        f"{missing.refused:,} WeChat refuses to speak.\n"
        "They are asked about again by themselves. Refused after three whole sweeps over a day "
        "at least, they are marked as gone."
    ]
    if missing.unanswered_sample:
        heads = ("refused", "errcode", "missing since", "asked again from")
        lines += ["", f"{'openid':<30}{heads[0]:<9}{heads[1]:<9}{heads[2]:<22}{heads[3]}"]
    for one in missing.unanswered_sample:
        errcode = "" if one.errcode is None else one.errcode
        lines.append(
            f"{one.openid:<30}{one.refusals:<9}{errcode:<9}{_minute(one.missed_since):<22}"
            f"{_minute(one.next_try_at)}".rstrip()
        )
    return "\n".join(lines)


def _minute(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M} UTC"
