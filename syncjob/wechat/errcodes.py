"""WeChat's errcodes: what each one means for the job, and the cure that the operator reads.

One table. Sources: the official return code tables (oplatform/Return_codes), and threads of the
community where the tables are silent.
"""

import re
from dataclasses import dataclass, replace

from syncjob.errors import (
    BatchSizeRefused,
    InvalidOpenID,
    NeedsOperator,
    NoSuchUser,
    QuotaExhausted,
    TokenRejected,
    UnexpectedReply,
    WeChatError,
    WeChatUnavailable,
)
from syncjob.wechat.console import KEYS, PERMISSIONS


@dataclass(frozen=True, slots=True)
class Meaning:
    """The error that an errcode means, its cure, and the seconds to wait before a retry.

    `wait` is None where a retry cannot help, 0 where the usual backoff is enough. `of_one_openid`:
    one OpenID of a batch may be the reason.
    """

    error: type[WeChatError]
    cure: str
    wait: float | None = None
    of_one_openid: bool = False


_CREDENTIALS = Meaning(
    NeedsOperator,
    f"check SYNCJOB_APPSECRET against the AppSecret in the console: {KEYS}",
)
_BUSY = Meaning(
    WeChatUnavailable, "WeChat is busy; the next run goes on", wait=0, of_one_openid=True
)
_TOKEN = Meaning(TokenRejected, "the access token was refused")
_PLATFORM = Meaning(
    NeedsOperator,
    "this account or token belongs to a third-party platform; have it grant user management, or "
    "take the token from it (SYNCJOB_TOKEN_SOURCE=url or command)",
)
_NOBODY = Meaning(NoSuchUser, "WeChat knows no such user, or none who follows")
_BUG = Meaning(UnexpectedReply, "syncjob asked in a way WeChat refuses; report it, with the rid")
_BAD_DATA = replace(_BUG, of_one_openid=True)  # an odd OpenID may be the reason
_UNKNOWN = Meaning(
    UnexpectedReply,
    "this errcode is unknown to syncjob; look it up with its rid",
    of_one_openid=True,
)

MEANINGS: dict[int, Meaning] = {
    -1: _BUSY,
    268487001: _BUSY,
    268487002: _BUSY,
    # the token of a business call
    40001: _TOKEN,
    40014: _TOKEN,
    42001: _TOKEN,
    # requests that WeChat does not understand
    40035: _BAD_DATA,
    40066: Meaning(UnexpectedReply, "there is no such API at this address; check SYNCJOB_API_URL"),
    41001: _BUG,
    43001: _BUG,
    43002: _BUG,
    43003: _BUG,
    44002: _BUG,
    47001: _BAD_DATA,
    # credentials
    40002: Meaning(NeedsOperator, "the kind of token was refused; check SYNCJOB_API_URL"),
    40013: Meaning(NeedsOperator, f"check SYNCJOB_APPID against the AppID in the console: {KEYS}"),
    40125: _CREDENTIALS,
    41002: Meaning(NeedsOperator, "check SYNCJOB_APPID: WeChat saw none"),
    41004: _CREDENTIALS,
    40243: Meaning(NeedsOperator, f"the AppSecret is frozen; unfreeze it in the console: {KEYS}"),
    # where the call comes from
    40164: Meaning(
        NeedsOperator,
        "add {ip} to the IP whitelist, as administrator or developer of the account; it counts "
        f"after some minutes: {KEYS}",
    ),
    89501: Meaning(NeedsOperator, "the account's administrator must confirm {ip} in WeChat"),
    89503: Meaning(NeedsOperator, "the account's administrator must confirm {ip} in WeChat"),
    89506: Meaning(NeedsOperator, "the administrator refused {ip} twice; ask again after 24 hours"),
    89507: Meaning(NeedsOperator, "the administrator refused {ip}; ask again after an hour"),
    # what the account may do
    48001: Meaning(
        NeedsOperator,
        "the account may not use this API: it must be certified (微信认证), or its platform must "
        f"grant user management; what it may: {PERMISSIONS}",
    ),
    48004: Meaning(
        NeedsOperator, "the API is barred for irregularities; see the console's notices"
    ),
    50002: Meaning(NeedsOperator, "the account is limited (frozen or closed); see the console"),
    50004: Meaning(NeedsOperator, "the account is barred from access tokens; see the console"),
    50007: Meaning(NeedsOperator, "the account is frozen; see the console"),
    # Of one OpenID, unless all have it.
    49003: Meaning(
        NeedsOperator,
        "these OpenIDs are of another account; check SYNCJOB_APPID",
        of_one_openid=True,
    ),
    61004: _PLATFORM,
    61007: _PLATFORM,
    61016: _PLATFORM,
    61024: _PLATFORM,
    # quotas
    45009: Meaning(
        QuotaExhausted, "the day's quota of this API is used up; a run tomorrow (Beijing) goes on"
    ),
    45011: Meaning(
        WeChatUnavailable,
        "the minute's quota of this API is used up; the next run goes on",
        wait=60,
    ),
    # one or some of the OpenIDs
    40003: Meaning(InvalidOpenID, "an OpenID was refused; if a run ends with this, report the rid"),
    43004: _NOBODY,
    46004: _NOBODY,
    50005: _NOBODY,
    65302: _NOBODY,
    40032: Meaning(BatchSizeRefused, "the size of the batch was refused; lower SYNCJOB_BATCH_SIZE"),
}

# The same code says something else where a token is asked for.
AT_THE_TOKEN_ENDPOINTS: dict[int, Meaning] = {
    40001: _CREDENTIALS,
    40014: _CREDENTIALS,
}

MAX_ERRMSG = 2_000
RID = re.compile(r"\brid:\s*([0-9a-fA-Fx]+-[0-9a-fA-Fx]+-[0-9a-fA-Fx]+)")
HINT = re.compile(r"\s*hint:\s*\[[^\]]*\]")
IP = re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}\b")
OPENID = re.compile(r"(?<![A-Za-z0-9_-])o[A-Za-z0-9_-]{27}(?![A-Za-z0-9_-])")


def error_of(errcode: int, errmsg: str, *, who: str, token_endpoint: bool) -> WeChatError:
    """Return the error that an answer of `who` with this errcode means, with its cure."""
    meaning = meaning_of(errcode, token_endpoint=token_endpoint)
    said, rid = split_rid(errmsg)
    ip = IP.search(said)
    cure = meaning.cure.replace("{ip}", ip[0] if ip else "this machine's address")
    text = f"{who} answered {errcode} {said}".rstrip()
    if rid:
        text += f" (rid {rid})"
    return meaning.error(
        f"{text}\n{cure}", errcode=errcode, rid=rid, of_one_openid=meaning.of_one_openid
    )


def meaning_of(errcode: int, *, token_endpoint: bool = False) -> Meaning:
    """Return the meaning of an errcode; an unknown one ends the run."""
    if token_endpoint and errcode in AT_THE_TOKEN_ENDPOINTS:
        return AT_THE_TOKEN_ENDPOINTS[errcode]
    return MEANINGS.get(errcode, _UNKNOWN)


def is_lasting(errcode: int) -> bool:
    """Return whether only a person can fix what ended a run with this errcode.

    A run ends with an OpenID's errcode only if every OpenID that was asked about has it.
    """
    lasting = NeedsOperator | TokenRejected | InvalidOpenID | NoSuchUser
    return issubclass(meaning_of(errcode).error, lasting)


def refuses_to_speak(errcode: int | None) -> bool:
    """Return whether WeChat rejected a single OpenID with this errcode, and nothing else.

    (49003, an OpenID of another account, counts too where only one OpenID has it.)
    """
    if errcode is None:
        return False
    return errcode == 49003 or issubclass(meaning_of(errcode).error, InvalidOpenID | NoSuchUser)


def split_rid(errmsg: str) -> tuple[str, str | None]:
    """Return the text for one log line, without hint and rid, and the rid."""
    # Cut first: the time of the following lines grows with the square of the length.
    said = errmsg[:MAX_ERRMSG]
    text = "".join(character if character.isprintable() else " " for character in said)
    rid = RID.search(text)
    text = OPENID.sub("(an OpenID)", HINT.sub("", RID.sub("", text)))
    return " ".join(text.split())[:300], rid[1] if rid else None
