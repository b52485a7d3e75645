"""A SQLite file that cannot be used: exit code 4, the cure, and the next run goes on."""

import resource
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from syncjob.simulator import Request
from tests.conftest import World
from tests.job.test_runs import SYNCJOB
from tests.job.test_sync_job import assert_equals_truth

Query = Callable[..., list[Any]]


@pytest.fixture
def ready(serve: Callable[..., World], sqlite_url: str) -> Callable[..., World]:
    """A served WeChat, and a SQLite file."""

    def start(*arguments: Any, **options: Any) -> World:
        wechat = serve(*arguments, **options)
        wechat.set(SYNCJOB_DATABASE_URL=sqlite_url)
        return wechat

    return start


def path_of(url: str) -> Path:
    """The file that a URL names."""
    return Path(url.removeprefix("sqlite:///"))


def test_a_file_that_another_program_holds_is_named(
    ready: Callable[..., World],
    sqlite_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The run waits for it, then gives up; once it is free, the next run does all."""
    wechat = ready(200)
    wechat.set(SYNCJOB_DATABASE_URL=f"{sqlite_url}?timeout=0.1")
    other = sqlite3.connect(path_of(sqlite_url), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    assert wechat.run("sync") == 4

    said = capsys.readouterr().err
    assert "locked" in said
    assert "another program holds it" in said
    other.execute("ROLLBACK")
    other.close()
    assert wechat.run("sync") == 0
    assert_equals_truth(sqlite_url, wechat.simulator)


def test_a_file_that_is_locked_for_a_moment_is_waited_for(
    ready: Callable[..., World], sqlite_url: str
) -> None:
    """A short write of another program only delays the run."""
    wechat = ready(200, page_size=50)

    def write(request: Request) -> None:
        with sqlite3.connect(path_of(sqlite_url), timeout=20) as other:
            other.execute("UPDATE accounts SET appid = appid")
        other.close()

    wechat.simulator.on_request = write
    assert wechat.run("sync") == 0
    assert_equals_truth(sqlite_url, wechat.simulator)


def test_a_file_that_is_read_only_is_named(
    ready: Callable[..., World], sqlite_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Even if the user that runs the job may write to every file."""
    wechat = ready(200)
    with sqlite3.connect(path_of(sqlite_url)) as other:
        other.execute("PRAGMA journal_mode = DELETE")
    other.close()
    wechat.set(SYNCJOB_DATABASE_URL=f"sqlite:///file:{path_of(sqlite_url)}?mode=ro&uri=true")

    assert wechat.run("sync") == 4

    said = capsys.readouterr().err
    assert "readonly" in said
    assert "check the rights" in said
    wechat.set(SYNCJOB_DATABASE_URL=sqlite_url)
    assert wechat.run("sync") == 0


@pytest.mark.parametrize("rubbish", [b"not a database, but a letter", b"\0" * 8192])
def test_a_file_that_is_no_database_is_not_changed(
    ready: Callable[..., World],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    rubbish: bytes,
) -> None:
    """It is neither overwritten nor taken for an empty database."""
    path = tmp_path / "letter.txt"
    path.write_bytes(rubbish)
    wechat = ready(200)
    wechat.set(SYNCJOB_DATABASE_URL=f"sqlite:///{path}")

    assert wechat.run("sync") == 4
    assert wechat.run("status") == 4
    assert wechat.run("migrate") == 4

    assert "Traceback" not in capsys.readouterr().err
    assert path.read_bytes() == rubbish


def test_a_corrupt_file_is_named(
    ready: Callable[..., World], sqlite_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Some pages were overwritten: the cure is a backup."""
    wechat = ready(2_000)
    assert wechat.run("sync") == 0
    path = path_of(sqlite_url)
    copy = path.with_suffix(".good")
    with sqlite3.connect(path) as other:
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    other.close()
    shutil.copy(path, copy)
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(8 * 4096)
        file.write(b"\xff" * (size - 9 * 4096))
    wechat.set(SYNCJOB_SWEEP_EVERY="0")

    assert wechat.run("sync") == 4

    said = capsys.readouterr().err
    assert "malformed" in said
    assert "restore it from a backup" in said
    shutil.copy(copy, path)
    for leftover in path.parent.glob(f"{path.name}-*"):
        leftover.unlink()
    assert wechat.run("sync") == 0


def test_a_full_disk_loses_no_stored_rows(
    ready: Callable[..., World], sqlite_url: str, sqlite_query: Query
) -> None:
    """The file may not grow: exit code 4; with room again, the next run goes on."""
    wechat = ready(5_000, page_size=500)
    limit = path_of(sqlite_url).stat().st_size + 1_500_000
    full = subprocess.run(
        [*SYNCJOB, "sync"],
        capture_output=True,
        text=True,
        timeout=60,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )

    assert full.returncode == 4, full.stderr
    assert "disk" in full.stderr
    assert "Traceback" not in full.stderr
    ((stored,),) = sqlite_query("SELECT count(*) FROM followers")
    assert stored > 0
    assert wechat.run("sync") == 0
    assert_equals_truth(sqlite_url, wechat.simulator)
