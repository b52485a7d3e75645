"""The errors of syncjob. Each has an exit code, and a docstring that says what the operator does.

The text of an error is one or two lines for the operator. It never holds a secret, a token or a
plain OpenID.
"""

from enum import IntEnum


class ExitCode(IntEnum):
    """The exit codes of all commands: a contract with cron and monitors, see the README."""

    DONE = 0
    FAILED = 1
    SETTINGS = 2
    NEEDS_A_PERSON = 3
    DATABASE = 4
    PARKED = 6
    TRY_AGAIN_LATER = 75  # EX_TEMPFAIL of sysexits.h


class SyncjobError(Exception):
    """Read the message: no subclass describes this failure."""

    exit_code = ExitCode.FAILED


class SettingsError(SyncjobError):
    """Fix the named setting; nothing was changed."""

    exit_code = ExitCode.SETTINGS


class RehearsalRefused(SettingsError):
    """Use a separate database for the rehearsal: this one may hold real followers."""


# --- the database -------------------------------------------------------------------------


class DatabaseError(SyncjobError):
    """Check the database: it cannot be reached or returned an error. Committed work is safe."""

    exit_code = ExitCode.DATABASE


class SchemaNotCurrent(DatabaseError):
    """Run `syncjob migrate`, or install the version of syncjob that created the schema."""


class RunInProgress(SyncjobError):
    """Try again later: another run of the account is running."""

    exit_code = ExitCode.TRY_AGAIN_LATER


class RunLost(SyncjobError):
    """Nothing to do: another run declared this one abandoned, and it has written nothing since."""

    exit_code = ExitCode.TRY_AGAIN_LATER


# --- WeChat -------------------------------------------------------------------------------


class WeChatError(SyncjobError):
    """An error answer of WeChat, with its `errcode` and its `rid`.

    The rid identifies the request; openapi/rid/get accepts it for seven days. `of_one_openid`: a
    single OpenID may be the cause, so that a call without it may succeed.
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
    """An answer that this version cannot handle."""


class ForeignReply(UnexpectedReply):
    """Check proxies and gateways: every attempt returned JSON that is not WeChat's."""


class NeedsOperator(WeChatError):
    """Only a person can fix this: credentials, IP whitelist, permission, state of the account."""

    exit_code = ExitCode.NEEDS_A_PERSON


class ForeignList(NeedsOperator):
    """Make the token source return this account's token: the list was another account's."""


class TokenContested(NeedsOperator):
    """Find the other program that refreshes this account's token, and share its token."""


class WeChatUnavailable(WeChatError):
    """WeChat is busy or cannot be reached, after all retries. A later run continues."""

    exit_code = ExitCode.TRY_AGAIN_LATER


class AnswerUnreadable(WeChatUnavailable):
    """WeChat's answer is unreadable at each retry. In a batch, one user's text may be the cause."""

    of_one_openid = True


class QuotaExhausted(WeChatError):
    """The day's quota is used up. A run after midnight in Beijing continues.

    `cgi_path` is the endpoint for which WeChat reported it.
    """

    exit_code = ExitCode.TRY_AGAIN_LATER
    cgi_path: str | None = None


class QuotaReserved(QuotaExhausted):
    """All but the reserve of the day's quota is used. A run after midnight in Beijing continues."""


class ListBroken(WeChatError):
    """WeChat's list contradicted itself. The sweep was discarded; the next run starts over."""

    exit_code = ExitCode.TRY_AGAIN_LATER


class UnfollowsParked(SyncjobError):
    """Review the unfollows: so many followers are missing that `syncjob unfollows` must decide."""

    exit_code = ExitCode.PARKED


class TokenRejected(WeChatError):
    """WeChat refused the access token of an API call. The client gets another and retries once."""

    exit_code = ExitCode.NEEDS_A_PERSON


class InvalidOpenID(WeChatError):
    """WeChat refused an OpenID (40003): the cursor, or one of a batch."""

    of_one_openid = True


class NoSuchUser(WeChatError):
    """WeChat says that an OpenID belongs to nobody, or to no follower (43004, 46004 …)."""

    of_one_openid = True


class BatchSizeRefused(WeChatError):
    """WeChat refused the size of a batch (40032)."""


class Interrupted(KeyboardInterrupt):
    """SIGTERM, SIGINT or SIGHUP arrived; the text is the signal's name.

    A KeyboardInterrupt, because database drivers cancel the running statement on one.
    """


class Stopped(SyncjobError):
    """A signal stopped the command. The run is recorded as interrupted; the next one continues."""

    exit_code = ExitCode.TRY_AGAIN_LATER


def in_one_line(error: object) -> str:
    """Return the text of an error in one line, with semicolons between its lines."""
    return "; ".join(str(error).splitlines())


def exit_code_of(error: BaseException) -> ExitCode:
    """Return the exit code for the error."""
    if isinstance(error, SyncjobError):
        return error.exit_code
    return ExitCode.TRY_AGAIN_LATER if isinstance(error, KeyboardInterrupt) else ExitCode.FAILED
