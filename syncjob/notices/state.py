"""Which state the end of a run leaves its account in, and whether it says one at all. Pure."""

from collections.abc import Sequence

from syncjob.errors import (
    ExitCode,
    RunInProgress,
    RunLost,
    Stopped,
    WeChatError,
    exit_code_of,
)

OK = "ok"
# "Try again later" is no failure, so that it is told only when so many runs in a row end with it.
LASTING = 3


def is_silent(error: BaseException | None) -> bool:
    """Tell whether an end says nothing of the account.

    Another run is at work and will say it, or somebody has stopped this one, and knows.
    """
    return isinstance(error, RunInProgress | RunLost | Stopped | KeyboardInterrupt)


def state_after(error: BaseException | None, exit_codes: Sequence[int | None]) -> str | None:
    """Return the account's state: `ok`, or the exit code that its runs fail with, and the errcode.

    `exit_codes` are those of the last runs, this one among them. None where the state stays what
    it was: after an end that says nothing, and after an exit code 75 that may pass.
    """
    if error is None:
        return OK
    if is_silent(error):
        return None
    code = exit_code_of(error)
    if code == ExitCode.TRY_AGAIN_LATER:
        last = exit_codes[:LASTING]
        lasts = len(last) == LASTING and set(last) == {int(code)}
        # Without the errcode: that the reasons to try later change is no news.
        return str(int(code)) if lasts else None
    errcode = error.errcode if isinstance(error, WeChatError) else None
    return str(int(code)) if errcode is None else f"{int(code)}:{errcode}"


def state_in_words(state: str) -> str:
    """Return `exit code 3, errcode 40164`."""
    code, _, errcode = state.partition(":")
    return f"exit code {code}, errcode {errcode}" if errcode else f"exit code {code}"
