"""The `simulate` command: serves a made-up WeChat, alone or around another command.

Options in, one simulator, an exit code out. How WeChat behaves is in `syncjob.simulator`, which
is imported only when the command runs.
"""

import shlex
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

import click

from syncjob.cli.options import Command

if TYPE_CHECKING:
    from syncjob.simulator import Simulator
    from syncjob.simulator.profiles import Era

_NOT_FOUND = 127
_NOT_EXECUTABLE = 126
_COUNT = click.IntRange(min=0)

_EPILOG = """\b
FAULTS
  ENDPOINT=WHAT[@CALLS], for example user/get=-1@2-3
  ENDPOINT  token, stable_token, user/get, user/info, user/info/batchget,
            or * for all of them
  WHAT      an errcode (-1, 40001, 45009, 45011, 48001, ...), html, http-502,
            empty, cut, tear, drop, hang, slow-MS, garbage, text-plain, bom,
            string-ERRCODE, zero-errcode
  CALLS     3, 3-5 or 3-, counted from 1; left out: every call

\b
EXAMPLES
  Rehearse the backfill of a million followers on your own database, before
  the first call to the real WeChat. Use an empty database: the followers
  are made up, and belong to a made-up AppID.
    export SYNCJOB_DATABASE_URL=postgresql://localhost/rehearsal
    syncjob migrate
    syncjob simulate --followers 1000000 -- syncjob sync
\b
  The same with answers as slow as real ones, a busy WeChat and another
  program that keeps taking the token away:
    syncjob simulate --followers 1000000 --latency 80 \\
        --fault user/info/batchget=-1@100-103 --intruder 2000 -- syncjob sync --now
\b
  See the job stop at the daily quota of user/get; run it again, and it goes on:
    syncjob simulate --followers 1000000 --daily-quota user/get=60 -- syncjob sync --now
\b
  Serve on port 8080 until Ctrl-C, and point another terminal at it:
    syncjob simulate --followers 5000 --port 8080
"""


def _read_quotas(
    context: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> dict[str, int]:
    quotas = {}
    for value in values:
        endpoint, _, number = value.partition("=")
        if not number.isascii() or not number.isdigit():
            raise click.BadParameter(f"{value!r} does not read ENDPOINT=N, with N from 0 up")
        quotas[endpoint] = int(number)
    return quotas


@click.command(
    cls=Command,
    epilog=_EPILOG,
    # The command to run keeps its own options, even without a "--" before it.
    context_settings={"allow_interspersed_args": False, "max_content_width": 100},
)
@click.option("--followers", type=_COUNT, default=1000, show_default=True, help="How many follow.")
@click.option(
    "--seed", type=int, default=1, show_default=True, help="Another seed, another account."
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    help="Port on 127.0.0.1. Default: any free one.",
)
@click.option(
    "--latency",
    type=click.FloatRange(min=0),
    default=0,
    metavar="MS",
    help="Milliseconds that each answer takes.",
)
@click.option(
    "--page-size",
    type=click.IntRange(1, 10_000),
    default=10_000,
    show_default=True,
    help="OpenIDs in a page of the follower list; WeChat's own is 10000.",
)
@click.option(
    "--profiles",
    type=click.Choice(["today", "full", "docs"]),
    default="today",
    show_default=True,
    help="today: names and avatars empty; full: as before 2021; docs: their keys left out.",
)
@click.option("--no-unionid", is_flag=True, help="The account has no Open Platform.")
@click.option(
    "--token-lifetime",
    type=click.IntRange(min=1),
    default=7200,
    show_default=True,
    metavar="S",
    help="Seconds that an access token lives.",
)
@click.option(
    "--daily-quota",
    multiple=True,
    callback=_read_quotas,
    metavar="ENDPOINT=N",
    help="Answer 45009 after N calls in a Beijing day. May be repeated.",
)
@click.option(
    "--minute-quota",
    multiple=True,
    callback=_read_quotas,
    metavar="ENDPOINT=N",
    help="Answer 45011 after N calls in a minute. May be repeated.",
)
@click.option(
    "--fault",
    "faults",
    multiple=True,
    metavar="SPEC",
    help="Make a call go wrong; see FAULTS below. May be repeated.",
)
@click.option(
    "--intruder",
    type=_COUNT,
    default=0,
    metavar="N",
    help="Another program refreshes the token every N calls.",
)
@click.option(
    "--join-every", type=_COUNT, default=0, metavar="N", help="Someone follows every N calls."
)
@click.option(
    "--leave-every", type=_COUNT, default=0, metavar="N", help="Someone leaves every N calls."
)
@click.option(
    "--poison",
    type=_COUNT,
    default=0,
    metavar="N",
    help="N listed followers whose OpenID fails the whole batch with 40003.",
)
@click.option(
    "--missing", type=_COUNT, default=0, metavar="N", help="N followers that batches leave out."
)
@click.option(
    "--blank",
    type=_COUNT,
    default=0,
    metavar="N",
    help="N followers that batches call unfollowed, wrongly.",
)
@click.option("--shuffle", is_flag=True, help="Batches answer in any order.")
@click.option(
    "--unionid-shift", is_flag=True, help="An unknown OpenID shifts the unionids of its batch."
)
@click.option(
    "--quirk-every",
    type=_COUNT,
    default=0,
    metavar="N",
    help="Each N-th follower has bytes in a field that break JSON parsers.",
)
@click.option(
    "--anyway",
    is_flag=True,
    help="Let the job write into a database that holds another account than the made-up one.",
)
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def simulate(
    followers: int,
    seed: int,
    port: int,
    latency: float,
    page_size: int,
    profiles: "Era",
    no_unionid: bool,
    token_lifetime: int,
    daily_quota: dict[str, int],
    minute_quota: dict[str, int],
    faults: tuple[str, ...],
    intruder: int,
    join_every: int,
    leave_every: int,
    poison: int,
    missing: int,
    blank: int,
    shuffle: bool,
    unionid_shift: bool,
    quirk_every: int,
    anyway: bool,
    command: tuple[str, ...],
) -> None:
    """Serve a made-up WeChat on this machine, to rehearse against.

    It behaves like the API of an Official Account with as many followers as you like, and goes
    wrong in the ways you ask for. Nothing leaves this machine, and no account, AppID or
    secret of yours is used.

    With COMMAND, runs it with SYNCJOB_API_URL, SYNCJOB_APPID, SYNCJOB_APPSECRET and
    SYNCJOB_TOKEN_SOURCE set to the simulator, and exits with its exit code. SYNCJOB_CONFIG is
    empty, so that no settings file is read; where metrics and notices of the real job go is taken
    out; every other variable is as it is.
    Without COMMAND, prints these settings for a shell and serves until Ctrl-C.
    The same seed makes the same account: run it again, and the same people follow.

    The job must be given a database of its own: SYNCJOB_SIMULATED, which is set as well, makes it
    refuse to run without SYNCJOB_DATABASE_URL, or with a database that holds another account.
    """
    from syncjob.config.simulated import ANYWAY, MARK
    from syncjob.simulator import Account, Simulator

    if poison + missing + blank > followers:
        raise click.UsageError("--poison, --missing and --blank together exceed --followers")
    account = Account(
        followers, seed, profiles=profiles, unionid=not no_unionid, quirk_every=quirk_every
    )
    # The first to follow stand anywhere in the list, so the marked ones are spread over it.
    marks = [account.poison] * poison + [account.forget] * missing + [account.blank] * blank
    for index, mark in enumerate(marks):
        mark(account.openid(index))
    try:
        simulator = Simulator(
            account,
            latency=latency / 1000,
            record=False,
            page_size=page_size,
            token_lifetime=token_lifetime,
            daily_quota=daily_quota,
            minute_quota=minute_quota,
            intruder_every=intruder,
            join_every=join_every,
            leave_every=leave_every,
            shuffle=shuffle,
            unionid_shift=unionid_shift,
        )
        for spec in faults:
            simulator.faults.add(spec)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    with ExitStack() as stack:
        try:
            url = stack.enter_context(simulator.serving(port))
        except OSError as error:
            raise click.UsageError(f"cannot serve on port {port}: {error.strerror}") from None
        settings = {
            "SYNCJOB_API_URL": url,
            "SYNCJOB_APPID": simulator.appid,
            "SYNCJOB_APPSECRET": simulator.secret,
            "SYNCJOB_TOKEN_SOURCE": "stable",
            # Empty, it keeps the real job's settings file out, /etc/syncjob/syncjob.toml as well.
            "SYNCJOB_CONFIG": "",
            MARK: ANYWAY if anyway else simulator.appid,
        }
        code = _run(command, settings) if command else _serve(settings)
    click.echo(f"simulate: {_calls_in_words(simulator)}", err=True)
    sys.exit(code)


def _run(command: Sequence[str], settings: Mapping[str, str]) -> int:
    from syncjob.config.simulated import REACHES_OTHERS
    from syncjob.simulator.rehearsal import run_command

    # NAME_FILE is refused beside NAME, which is set here.
    without = REACHES_OTHERS | {f"{name}_FILE" for name in settings}
    try:
        return run_command(command, settings, without=without)
    except FileNotFoundError:
        click.echo(f"simulate: no such command: {command[0]}", err=True)
        return _NOT_FOUND
    except OSError as error:
        click.echo(f"simulate: cannot run {command[0]}: {error.strerror}", err=True)
        return _NOT_EXECUTABLE


def _serve(settings: Mapping[str, str]) -> int:
    from syncjob.simulator.rehearsal import wait_for_stop

    def announce() -> None:
        click.echo("# A made-up WeChat serves until Ctrl-C. For the shell that runs the job:")
        for name, value in settings.items():
            click.echo(f"export {name}={shlex.quote(value)}")
        click.echo(f"# When you have done: unset {' '.join(settings)}")
        sys.stdout.flush()

    wait_for_stop(announce)
    return 0


def _calls_in_words(simulator: "Simulator") -> str:
    """Return the received calls by endpoint."""
    counts = sorted(simulator.counts.items())
    return ", ".join(f"{endpoint} {calls}" for endpoint, calls in counts) or "no calls"
