"""SIGTERM ends the process within five seconds, whatever it is waiting for.

A table: states, each reached as it is in life, on the databases that it concerns. `make stop-table`
prints how long each takes.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, make_url, text

from syncjob.database.dialects.postgresql import MIGRATION_LOCK
from syncjob.database.store import open_store
from syncjob.job.process import this_process
from syncjob.simulator import Account, Simulator
from tests.conftest import Databases
from tests.hangs import STUCK, DatabaseProxy, Speaker, full_pipe, wait_until
from tests.processes import heeding_signals

LONGEST = 5.0  # seconds from the signal to the end
SYNCJOB = Path(sys.executable).with_name("syncjob")
BOTH = ("sqlite", "postgresql")
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


class Stage:
    """A database, a WeChat with 300 followers, and a process that comes to wait for something."""

    def __init__(self, stack: ExitStack, databases: Databases, folder: Path) -> None:
        self.stack = stack
        self.databases = databases
        self.folder = folder
        self.url = databases.make()  # as the process has it; `own_url` is how the test reaches it
        self.own_url = self.url
        self.simulator = Simulator(Account(300, 1), page_size=100)
        self.report = folder / "report.json"
        self.afterwards = stack.enter_context(ExitStack())  # when the process has ended
        self._said = ""
        self._variables = {
            "SYNCJOB_API_URL": stack.enter_context(self.simulator.serving()),
            "SYNCJOB_APPID": self.simulator.appid,
            "SYNCJOB_APPSECRET": self.simulator.secret,
            "SYNCJOB_CONCURRENCY": "1",
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }

    def set(self, **variables: str) -> None:
        """Set variables of the process."""
        self._variables |= variables

    def start(self, *words: str, stdout: int = subprocess.DEVNULL) -> None:
        """Start the command; one that runs the job leaves a report."""
        if words[0] in ("sync", "backfill"):
            words = (*words, "--report", str(self.report))
        environ = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
        self.process = subprocess.Popen(
            heeding_signals([str(SYNCJOB), "-v", *words]),
            stdout=stdout,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            cwd=self.folder,
            env={**environ, "SYNCJOB_DATABASE_URL": self.url, **self._variables},
        )
        self._reader = threading.Thread(target=self._listen, args=(self.process,), daemon=True)
        self._reader.start()
        self.stack.callback(_end, self.process, self._reader)

    def run(self, *words: str) -> None:
        """Run a command to its end, which is a good one."""
        self.start(*words)
        assert self.process.wait(60) == 0, self.said
        self.report.unlink(missing_ok=True)

    @property
    def said(self) -> str:
        """What the process has said on stderr so far."""
        return self._said

    def await_words(self, words: str) -> None:
        """Wait until the process says this."""
        wait_until(lambda: words in self._said, words)

    def await_event(self, event: threading.Event) -> None:
        """Wait until this happens."""
        if not event.wait(30):
            raise AssertionError(f"not reached; the process said: {self._said}")

    def await_end(self) -> None:
        """Wait until the process has ended, and all it said is read."""
        self.process.wait(60)
        self._reader.join(10)

    def query(self, statement: str) -> list[Any]:
        """Run a statement as somebody else."""
        with self.holding(statement) as rows:
            return list(rows)

    def silent(self, *at: bytes) -> threading.Event:
        """Put a proxy before the database that falls silent at these bytes; return when it has."""
        proxy = self.stack.enter_context(DatabaseProxy(self.own_url, *at))
        self.proxy, self.url = proxy, proxy.url
        return proxy.came

    def speaker(self, *words: bytes, **options: Any) -> Speaker:
        """Return a server that says this and no more."""
        return self.stack.enter_context(Speaker(*words, **options))

    def on_call(self, endpoint: str, call: int = 1) -> threading.Event:
        """Return what is set when that call of WeChat comes in."""
        came = threading.Event()

        def look(request: object) -> None:
            if self.simulator.count(endpoint) >= call:
                came.set()

        self.simulator.on_request = look
        return came

    def holding(self, *statements: str) -> Any:
        """Return the last one's rows; whoever is in the block holds the locks of these."""
        return _holding(self.own_url, statements)

    def stuck(self, what: str) -> None:
        """Let the process meet C code that no signal interrupts: of `names`, or elsewhere."""
        (self.folder / "sitecustomize.py").write_text(STUCK)
        self.set(PYTHONPATH=str(self.folder), STUCK=what, STUCK_FILE=str(self.folder / "stuck"))

    def await_file(self, name: str) -> None:
        """Wait until there is such a file, and something in it if the name ends with `.txt`."""
        path = self.folder / name
        wait_until(
            lambda: path.exists() and (path.suffix != ".txt" or path.read_text().strip()), name
        )

    def _listen(self, process: "subprocess.Popen[str]") -> None:
        assert process.stderr is not None
        for line in process.stderr:
            self._said += line


def _end(process: "subprocess.Popen[str]", reader: threading.Thread) -> None:
    process.kill()
    process.wait()
    reader.join()
    assert process.stderr is not None
    process.stderr.close()


class _holding:
    def __init__(self, url: str, statements: tuple[str, ...]) -> None:
        parsed = make_url(url)
        if parsed.get_backend_name() == "postgresql":
            parsed = parsed.set(drivername="postgresql+psycopg")
        self._engine = create_engine(parsed, isolation_level="AUTOCOMMIT")
        self._statements = statements

    def __enter__(self) -> list[Any]:
        self._connection = self._engine.connect()
        for statement in self._statements:
            result = self._connection.execute(text(statement))
        return list(result) if result.returns_rows else []

    def __exit__(self, *_: object) -> None:
        self._connection.invalidate()  # with what it holds
        self._connection.close()
        self._engine.dispose()


@dataclass(frozen=True)
class State:
    """How a state is reached; `recorded`: what the run's row says, None if there is none."""

    reach: Callable[[Stage], None]
    databases: tuple[str, ...] = BOTH
    recorded: str | None = None
    code: int = 75


STATES: dict[str, State] = {}


def state(name: str, **options: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add a state that a function brings the stage into."""

    def add(reach: Callable[..., None]) -> Callable[..., None]:
        STATES[name] = State(reach, **options)
        return reach

    return add


# --- the database -------------------------------------------------------------------------------

SILENT = {
    "when it is opened": (b"version_num",),
    "when a run starts": (b"INTO runs",),
    "in a commit": (b"INTO runs", b"COMMIT"),
    "when a page is stored": (b"INTO sweeps", b"followers"),
    "when profiles are stored": (b"nickname",),
    "when a token is claimed": (b"INTO runs", b"access_tokens"),
    "when the run's end is recorded": (b"finished_at=",),
}


def _silent(stage: Stage, at: tuple[bytes, ...], concurrency: int) -> None:
    stage.set(SYNCJOB_CONCURRENCY=str(concurrency))
    came = stage.silent(*at)
    stage.start("sync")
    stage.await_event(came)


for _when, _at in SILENT.items():
    for _calls in (1, 8) if "stored" in _when else (1,):
        STATES[f"the database falls silent {_when}, {_calls} at a time"] = State(
            lambda stage, at=_at, calls=_calls: _silent(stage, at, calls),  # type: ignore[misc]
            databases=("postgresql",),
            recorded=None if _when in ("when it is opened", "when a run starts") else "running",
        )
# A commit that nobody confirmed may have been one.
del STATES["the database falls silent in a commit, 1 at a time"]


@state("the database falls silent in a commit", databases=("postgresql",))
def _in_a_commit(stage: Stage) -> None:
    _silent(stage, SILENT["in a commit"], 1)


@state("the database is silent, and the signal comes three times", databases=("postgresql",))
def _three_times(stage: Stage) -> None:
    _silent(stage, SILENT["when a run starts"], 1)
    stage.process.send_signal(signal.SIGTERM)
    stage.process.send_signal(signal.SIGINT)


@state("the database refuses", databases=("postgresql",))
def _refuses(stage: Stage) -> None:
    came = stage.on_call("user/get")
    really = stage.silent(b"no such bytes")
    assert not really.is_set()

    def refuse(request: object) -> None:
        if stage.simulator.count("user/get"):
            stage.proxy.refuse()
            came.set()

    stage.simulator.on_request = refuse
    stage.start("sync")
    stage.await_event(came)
    stage.await_words("The database failed; trying again")


@state("the database server is suspended", databases=("postgresql",), recorded="running")
def _suspended(stage: Stage) -> None:
    """All of it: a backend that sleeps, and nobody who takes a cancel request."""
    name = f"syncjob/{stage.simulator.appid}"
    came = threading.Event()

    def suspend(request: object) -> None:
        if stage.simulator.count("user/get") and not came.is_set():
            rows = stage.query(
                f"SELECT pid FROM pg_stat_activity WHERE application_name = '{name}'"
            )
            parent = Path(f"/proc/{rows[0][0]}/stat").read_text().rpartition(")")[2].split()[1]
            for process in (int(parent), *(pid for (pid,) in rows)):
                stage.afterwards.callback(os.kill, process, signal.SIGCONT)
                os.kill(process, signal.SIGSTOP)
            came.set()

    stage.simulator.on_request = suspend
    stage.start("sync")
    stage.await_event(came)


@state("another session holds the table", databases=("postgresql",), recorded="interrupted")
def _locked(stage: Stage) -> None:
    stage.stack.enter_context(
        stage.holding("BEGIN", "LOCK TABLE followers IN ACCESS EXCLUSIVE MODE")
    )
    stage.start("sync")
    _await_lock(stage)


@state(
    "another session holds the table, 8 at a time",
    databases=("postgresql",),
    recorded="interrupted",
)
def _locked_for_storers(stage: Stage) -> None:
    """The threads that store wait for it, and the main thread for them."""
    stage.set(SYNCJOB_CONCURRENCY="8")
    came = stage.on_call("user/info/batchget")
    begin = threading.Event()

    def lock(request: object) -> None:
        if stage.simulator.count("user/info/batchget") and not begin.is_set():
            begin.set()
            stage.stack.enter_context(
                stage.holding("BEGIN", "LOCK TABLE followers IN ACCESS EXCLUSIVE MODE")
            )
            came.set()

    stage.simulator.on_request = lock
    stage.start("sync")
    stage.await_event(came)
    _await_lock(stage)


@state("another session holds the runs", databases=("postgresql",), recorded="running")
def _locked_runs(stage: Stage) -> None:
    """A run that is going on cannot be ended either."""
    came = stage.on_call("user/get")
    once = threading.Event()

    def lock(request: object) -> None:
        if stage.simulator.count("user/get") and not once.is_set():
            once.set()
            stage.stack.enter_context(
                stage.holding("BEGIN", "LOCK TABLE runs IN SHARE ROW EXCLUSIVE MODE")
            )
            came.set()

    stage.simulator.on_request = lock
    stage.start("sync")
    stage.await_event(came)
    _await_lock(stage)


@state("another program writes to the file", databases=("sqlite",))
def _locked_file(stage: Stage) -> None:
    stage.stack.enter_context(stage.holding("BEGIN IMMEDIATE"))
    stage.start("sync")
    _await_open_file(stage)


@state("another program writes to the file, in mid-run", databases=("sqlite",), recorded="running")
def _locked_file_in_mid_run(stage: Stage) -> None:
    came = threading.Event()

    def lock(request: object) -> None:
        if stage.simulator.count("user/get") and not came.is_set():
            stage.stack.enter_context(stage.holding("BEGIN IMMEDIATE"))
            came.set()

    stage.simulator.on_request = lock
    stage.start("sync")
    stage.await_event(came)


def _await_lock(stage: Stage) -> None:
    wait_until(
        lambda: stage.query("SELECT 1 FROM pg_locks WHERE NOT granted"), "somebody waits for a lock"
    )


def _await_open_file(stage: Stage) -> None:
    path = make_url(stage.own_url).database
    folder = Path(f"/proc/{stage.process.pid}/fd")

    def is_open() -> bool:
        try:
            return any(str(link.readlink()) == path for link in folder.iterdir())
        except OSError:  # one that was closed meanwhile
            return False

    wait_until(is_open, "the file is opened")


# --- WeChat -------------------------------------------------------------------------------------

FAULTS = {  # the fault, and the endpoint whose call is not answered, "" where it is
    "says nothing": ("user/get=hang", "user/get"),
    "says nothing about followers": ("user/info/batchget=hang", "user/info/batchget"),
    "fails, and is asked again": ("user/info/batchget=-1", ""),
    "wants a minute's pause": ("user/info/batchget=45011", ""),
}


def _with_fault(stage: Stage, what: str, concurrency: int) -> None:
    spec, endpoint = FAULTS[what]
    stage.set(SYNCJOB_CONCURRENCY=str(concurrency))
    stage.simulator.faults.add(spec)
    came = stage.on_call(endpoint) if endpoint else None
    stage.start("sync")
    if came is not None:
        stage.await_event(came)
    else:
        stage.await_words("Asking again.")


for _what in FAULTS:
    for _calls in (1, 8):
        STATES[f"WeChat {_what}, {_calls} at a time"] = State(
            lambda stage, what=_what, calls=_calls: _with_fault(stage, what, calls),  # type: ignore[misc]
            recorded="interrupted",
            databases=BOTH if _what == "says nothing" else ("postgresql",),
        )

DRIPS = {
    "a head": (b"HTTP/1.1 200 OK\r\nX-A: ", b"b"),
    "a body": (HEAD + b"Content-Length: 1000000\r\n\r\n", b" "),
    "chunks": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
}


def _dripping(stage: Stage, what: str) -> None:
    server = stage.speaker(*DRIPS[what])
    stage.set(SYNCJOB_API_URL=server.url)
    stage.start("sync")
    stage.await_event(server.came)


for _what in DRIPS:
    STATES[f"WeChat drips {_what}"] = State(
        lambda stage, what=_what: _dripping(stage, what),  # type: ignore[misc]
        databases=("sqlite",),
        recorded="interrupted",
    )


@state("WeChat names a time to ask again", databases=("sqlite",), recorded="interrupted")
def _retry_after(stage: Stage) -> None:
    words = b"HTTP/1.1 503 Busy\r\nRetry-After: 100\r\nContent-Length: 0\r\n\r\n"
    stage.set(SYNCJOB_API_URL=stage.speaker(words).url)
    stage.start("sync")
    stage.await_words("Asking again.")


@state("no name server answers for WeChat", databases=("sqlite",), recorded="interrupted")
def _no_names(stage: Stage) -> None:
    stage.stuck("names")
    stage.set(SYNCJOB_API_URL="http://wechat.invalid")
    stage.start("sync")
    stage.await_file("stuck")


@state("no name server answers for the database", databases=("postgresql",))
def _no_names_for_database(stage: Stage) -> None:
    stage.stuck("names")
    stage.url = "postgresql://database.invalid/crm"
    stage.start("sync")
    stage.await_file("stuck")


@state("the main thread is stuck in C", databases=("sqlite",))
def _stuck(stage: Stage) -> None:
    stage.stuck("everything")
    stage.start("sync")
    stage.await_file("stuck")


# --- tokens -------------------------------------------------------------------------------------


@state("another process fetches a token", recorded="interrupted")
def _claimed(stage: Stage) -> None:
    with open_store(stage.own_url) as store:
        account = store.accounts.save(stage.simulator.appid)
        store.tokens.claim(account.id, rejected=None, holder=this_process())
    stage.start("sync")
    wait_until(lambda: stage.query("SELECT 1 FROM runs WHERE status = 'running'"), "a run")


@state("the token command hangs", recorded="interrupted", databases=("sqlite",))
def _command(stage: Stage) -> None:
    stage.set(SYNCJOB_TOKEN_SOURCE="command", SYNCJOB_TOKEN_COMMAND=_hanging("child.txt"))
    stage.start("sync")
    stage.await_file("child.txt")


@state("the token command hangs in a thread", recorded="interrupted", databases=("sqlite",))
def _command_in_a_thread(stage: Stage) -> None:
    """Which asks for another token in mid-run."""
    script = stage.folder / "token.sh"
    token = stage.simulator
    script.write_text(
        "#!/bin/sh\n"
        "if [ -e once ]; then sleep 600 & echo $! > child.txt; wait; fi\n"
        f"touch once; exec {sys.executable} fetch.py\n"
    )
    (stage.folder / "fetch.py").write_text(
        "import json, os, urllib.request as u\n"
        f"body = json.dumps(dict(grant_type='client_credential', appid={token.appid!r}, "
        f"secret={token.secret!r})).encode()\n"
        "print(u.urlopen(os.environ['SYNCJOB_API_URL'] + '/cgi-bin/stable_token', body)"
        ".read().decode())\n"
    )
    script.chmod(0o755)
    stage.simulator.faults.add("user/info/batchget=40001")
    stage.set(
        SYNCJOB_CONCURRENCY="8",
        SYNCJOB_TOKEN_SOURCE="command",
        SYNCJOB_TOKEN_COMMAND=str(script),
    )
    stage.start("sync")
    stage.await_file("child.txt")


@state("the token server says nothing", recorded="interrupted", databases=("sqlite",))
def _token_server(stage: Stage) -> None:
    server = stage.speaker()
    stage.set(SYNCJOB_TOKEN_SOURCE="url", SYNCJOB_TOKEN_URL=server.url)
    stage.start("sync")
    stage.await_event(server.came)


def _hanging(name: str) -> str:
    return f"sh -c 'sleep 600 & echo $! > {name}; wait'"


# --- notices, metrics, output -------------------------------------------------------------------


@state("a webhook says nothing", recorded="failed", code=3, databases=("sqlite",))
def _webhook(stage: Stage) -> None:
    """The run has ended, with an exit code of its own."""
    server = stage.speaker()
    stage.simulator.faults.add("user/get=48001")
    stage.set(SYNCJOB_WEBHOOK_URL=server.url)
    stage.start("sync")
    stage.await_event(server.came)


@state("no name server answers for a webhook", databases=("sqlite",))
def _webhook_without_a_name(stage: Stage) -> None:
    stage.stuck("names")
    stage.set(SYNCJOB_WEBHOOK_URL="http://bot.invalid/hook")
    stage.start("notify")
    stage.await_file("stuck")


@state("a notice command hangs", recorded="failed", code=3, databases=("sqlite",))
def _notice_command(stage: Stage) -> None:
    stage.simulator.faults.add("user/get=48001")
    stage.set(SYNCJOB_ON_FAILURE=_hanging("child.txt"))
    stage.start("sync")
    stage.await_file("child.txt")


@state("notify waits for a webhook", databases=("sqlite",))
def _notify(stage: Stage) -> None:
    server = stage.speaker()
    stage.set(SYNCJOB_WEBHOOK_URL=server.url)
    stage.start("notify")
    stage.await_event(server.came)


@state("the database falls silent as metrics are written", databases=("postgresql",))
def _metrics_file(stage: Stage) -> None:
    stage.set(SYNCJOB_METRICS_FILE=str(stage.folder / "syncjob.prom"))
    came = stage.silent(b"finished_at=", b"SELECT run_totals.")
    stage.start("sync")
    stage.await_event(came)


@state("nobody reads its output", databases=("sqlite",))
def _full_stdout(stage: Stage) -> None:
    stage.start("quota", "--help", stdout=stage.stack.enter_context(full_pipe()))
    path = Path(f"/proc/{stage.process.pid}/syscall")
    try:
        path.read_text()
    except OSError:
        pytest.skip("this machine does not say what a process waits for")
    wait_until(lambda: path.read_text().split()[1:2] == ["0x1"], "a write to stdout")


# --- other commands -----------------------------------------------------------------------------

COMMANDS = {
    "backfill": ("backfill",),
    "plan": ("plan",),
    "status": ("status",),
    "runs": ("runs",),
    "metrics": ("metrics",),
    "doctor": ("doctor", "--offline"),
    "quota": ("quota",),
    "unfollows": ("unfollows",),
    "unfollows approve": ("unfollows", "approve"),
    "migrate": ("migrate",),
}


def _command_on_silent(stage: Stage, words: tuple[str, ...]) -> None:
    came = stage.silent(b"version_num")
    stage.start(*words)
    stage.await_event(came)


for _name, _words in COMMANDS.items():
    STATES[f"{_name}: the database falls silent"] = State(
        lambda stage, words=_words: _command_on_silent(stage, words),  # type: ignore[misc]
        databases=("postgresql",),
    )


@state("migrate: another one is running", databases=("postgresql",))
def _migrate_waits(stage: Stage) -> None:
    stage.url = stage.own_url = stage.databases.make_empty()
    stage.stack.enter_context(stage.holding(f"SELECT pg_advisory_lock({MIGRATION_LOCK})"))
    stage.start("migrate")
    _await_lock(stage)


@state("migrate: another program writes to the file", databases=("sqlite",))
def _migrate_waits_for_file(stage: Stage) -> None:
    stage.stack.enter_context(stage.holding("BEGIN IMMEDIATE"))
    stage.start("migrate")
    _await_open_file(stage)


@state("unfollows approve: the account is held", databases=("postgresql",))
def _approve_waits(stage: Stage) -> None:
    stage.run("sync")
    stage.stack.enter_context(
        stage.holding("BEGIN", "LOCK TABLE accounts IN ACCESS EXCLUSIVE MODE")
    )
    stage.start("unfollows", "approve")
    _await_lock(stage)


@state("doctor: WeChat says nothing", databases=("sqlite",))
def _doctor(stage: Stage) -> None:
    server = stage.speaker()
    stage.set(SYNCJOB_API_URL=server.url)
    stage.start("doctor")
    stage.await_event(server.came)


@state("doctor: no name server answers", databases=("sqlite",))
def _doctor_without_names(stage: Stage) -> None:
    stage.stuck("names")
    stage.set(SYNCJOB_API_URL="http://wechat.invalid")
    stage.start("doctor")
    stage.await_file("stuck")


@state("plan: WeChat says nothing", databases=("sqlite",))
def _plan(stage: Stage) -> None:
    server = stage.speaker()
    stage.set(SYNCJOB_API_URL=server.url)
    stage.start("plan")
    stage.await_event(server.came)


# --- the table ----------------------------------------------------------------------------------


@pytest.fixture
def stage(request: pytest.FixtureRequest, kind: str, tmp_path: Path) -> Iterator[Stage]:
    """A stage on the database of the case."""
    with ExitStack() as stack:
        yield Stage(stack, request.getfixturevalue(f"{kind}_databases"), tmp_path)


CASES = [(name, kind) for name, one in STATES.items() for kind in one.databases]


@pytest.mark.parametrize(("name", "kind"), CASES, ids=[" / ".join(case) for case in CASES])
def test_sigterm_ends_the_process_in_every_state(
    stage: Stage, name: str, kind: str, record_property: Callable[[str, object], None]
) -> None:
    """Within five seconds; the end is recorded if the database answers, and reported in any case.

    No command that it has started outlives it.
    """
    case = STATES[name]
    case.reach(stage)
    began = time.monotonic()
    stage.process.send_signal(signal.SIGTERM)
    code = stage.process.wait(30)
    seconds = time.monotonic() - began
    stage.await_end()
    stage.afterwards.close()
    for what, value in (("state", name), ("database", kind), ("seconds", f"{seconds:.2f}")):
        record_property(what, value)
    assert code == case.code, stage.said
    assert seconds <= LONGEST, stage.said
    assert "Traceback" not in stage.said
    if case.recorded is not None:
        recorded = stage.query("SELECT status FROM runs")
        assert recorded == [(case.recorded,)], stage.said
    if case.recorded in ("interrupted", "running"):
        output = json.loads(stage.report.read_text())
        assert output["exit_code"] == 75
    child = stage.folder / "child.txt"
    if child.exists():
        wait_until(lambda: not Path(f"/proc/{child.read_text().strip()}").exists(), "it is killed")
