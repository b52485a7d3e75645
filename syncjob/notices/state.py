"""The state in which the end of a run leaves its account. Pure."""

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
# Exit code 75 is a failure only when so many runs in a row end with it.
LASTING = 3


def is_silent(error: BaseException | None) -> bool:
    """Tell whether the end of a run says nothing about the account.

    Another run is running and will report, or an operator has stopped this one.
    """
    return isinstance(error, RunInProgress | RunLost | Stopped | KeyboardInterrupt)


def state_after(error: BaseException | None, exit_codes: Sequence[int | None]) -> str | None:
    """Return the account's state: `ok`, or exit code and errcode, as in `3:40164`.

    `exit_codes` are those of the last runs, including this one. None: the state is unchanged, after
    an end that says nothing, or an exit code 75 that may pass.
    """
    if error is None:
        return OK
    if is_silent(error):
        return None
    code = exit_code_of(error)
    if code == ExitCode.TRY_AGAIN_LATER:
        last = exit_codes[:LASTING]
        lasts = len(last) == LASTING and set(last) == {int(code)}
        # Without the errcode: a change between reasons to try later is no news.
        return str(int(code)) if lasts else None
    errcode = error.errcode if isinstance(error, WeChatError) else None
    return str(int(code)) if errcode is None else f"{int(code)}:{errcode}"


def state_in_words(state: str) -> str:
    """Return `exit code 3, errcode 40164`."""
    code, _, errcode = state.partition(":")
    return f"exit code {code}, errcode {errcode}" if errcode else f"exit code {code}"
