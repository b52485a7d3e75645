"""The error tree: what can go wrong, which exit code it ends with and what the operator does next.

Every error that leaves syncjob is one of these; its text is the one or two lines that the
operator reads. No text ever holds a secret, a token or a plain OpenID.
"""

from enum import IntEnum


class ExitCode(IntEnum):
    """What the process tells cron, systemd and monitors; a contract, documented in the README."""

    DONE = 0
    FAILED = 1
    SETTINGS = 2
    NEEDS_A_PERSON = 3
    DATABASE = 4
    PARKED = 6
    TRY_AGAIN_LATER = 75  # EX_TEMPFAIL of sysexits.h


class SyncjobError(Exception):
    """Look at the message: something failed that none of the narrower classes describes."""

    exit_code = ExitCode.FAILED


class SettingsError(SyncjobError):
    """Mend the named setting; nothing was touched."""

    exit_code = ExitCode.SETTINGS


class RehearsalRefused(SettingsError):
    """Name a database of its own for the rehearsal: this one holds real people, or may."""


# --- the database -------------------------------------------------------------------------


class DatabaseError(SyncjobError):
    """The database cannot be reached or refuses the work; what was committed is safe."""

    exit_code = ExitCode.DATABASE


class SchemaNotCurrent(DatabaseError):
    """Run `syncjob migrate` (or install the syncjob that the schema was made by)."""


class RunInProgress(SyncjobError):
    """Another run of the account is at work; come back later."""

    exit_code = ExitCode.TRY_AGAIN_LATER


class RunLost(SyncjobError):
    """This run was declared abandoned by another one; it has written nothing since."""

    exit_code = ExitCode.TRY_AGAIN_LATER


# --- WeChat -------------------------------------------------------------------------------


class WeChatError(SyncjobError):
    """WeChat answered with an error: `errcode`, its text without hints, and the `rid`.

    The rid names the request in WeChat's own records for seven days (openapi/rid/get).
    `of_one_openid`: one OpenID of the call may be why; a call without it might be answered.
    """

    of_one_openid = False

    def __init__(
        self,
        message: str,
        *,
        errcode: int | None = None,
        rid: str | None = None,
        of_one_openid: bool = False,
    ) -> None:
        super().__init__(message)
        self.errcode = errcode
        self.rid = rid
        self.of_one_openid = self.of_one_openid or of_one_openid


class UnexpectedReply(WeChatError):
    """WeChat said something this version does not know how to act on."""


class ForeignReply(UnexpectedReply):
    """Look at what stands between: JSON came, at every attempt, and it is not in WeChat's form."""


class NeedsOperator(WeChatError):
    """Only a person can mend this: credentials, IP whitelist, permission, state of the account."""

    exit_code = ExitCode.NEEDS_A_PERSON


class ForeignList(NeedsOperator):
    """Have the token source return this account's token: the list was another account's."""


class TokenContested(NeedsOperator):
    """Find the other program that refreshes this account's token, and share one token with it."""


class WeChatUnavailable(WeChatError):
    """WeChat is busy or cannot be reached, after all retries; a later run goes on."""

    exit_code = ExitCode.TRY_AGAIN_LATER


class AnswerUnreadable(WeChatUnavailable):
    """An answer of WeChat's own stays unreadable; of a batch, one user's text may be why."""

    of_one_openid = True


class QuotaExhausted(WeChatError):
    """The day's quota is used up; a run after midnight in Beijing goes on.

    `cgi_path` is the endpoint of which WeChat has said so.
    """

    exit_code = ExitCode.TRY_AGAIN_LATER
    cgi_path: str | None = None


class QuotaReserved(QuotaExhausted):
    """What may be spent of a day's quota is spent; a run after midnight in Beijing goes on."""


class ListBroken(WeChatError):
    """WeChat's list contradicted itself; the sweep was discarded and the next run starts over."""

    exit_code = ExitCode.TRY_AGAIN_LATER


class UnfollowsParked(SyncjobError):
    """So many seem to have left that a person should look: `syncjob unfollows`."""

    exit_code = ExitCode.PARKED


class TokenRejected(WeChatError):
    """A business call refused its access token; the client gets another one and asks once more."""

    exit_code = ExitCode.NEEDS_A_PERSON


class InvalidOpenID(WeChatError):
    """WeChat refused an OpenID (40003): a cursor, or one among those of a batch."""

    of_one_openid = True


class NoSuchUser(WeChatError):
    """WeChat says that an OpenID is nobody's, or not of a follower (43004, 46004 …)."""

    of_one_openid = True


class BatchSizeRefused(WeChatError):
    """WeChat refused the size of a batch (40032)."""


class Interrupted(KeyboardInterrupt):
    """SIGTERM, SIGINT or SIGHUP arrived, and ends what is under way; its text is the signal's name.

    A KeyboardInterrupt, because the database drivers know how to leave a statement on one.
    """


class Stopped(SyncjobError):
    """A signal stopped the command; the run is recorded as interrupted and the next one goes on."""

    exit_code = ExitCode.TRY_AGAIN_LATER


def in_one_line(error: object) -> str:
    """Return the text of an error, its lines parted by semicolons."""
    return "; ".join(str(error).splitlines())


def exit_code_of(error: BaseException) -> ExitCode:
    """Return what the process ends with because of the error."""
    if isinstance(error, SyncjobError):
        return error.exit_code
    return ExitCode.TRY_AGAIN_LATER if isinstance(error, KeyboardInterrupt) else ExitCode.FAILED
