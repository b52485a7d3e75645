"""What a run says on stderr while it works: lines for a person, JSON for a machine."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from syncjob.job.job import Plan
from tests.conftest import World

pytestmark = pytest.mark.one_database


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """Return what was logged; each line must be an object."""
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_each_line_is_an_object_with_its_run_account_and_sweep(
    world: Callable[..., World], capsys: pytest.CaptureFixture[str]
) -> None:
    """Numbers are numbers, and the event is the same text each time."""
    wechat = world(250, page_size=100)
    assert wechat.run("-v", "sync", "--log-format", "json") == 0
    logged = lines(capsys)
    events = [line["event"] for line in logged]
    assert events[0] == "Started a run"
    assert events[-1] == "Finished the run"
    pages = [line for line in logged if line["event"] == "Stored a page"]
    assert [(page["page"], page["seen"]) for page in pages] == [(1, 100), (2, 200), (3, 250)]
    assert events.count("Came to the end of the list") == 1
    for line in logged:
        assert (line["run"], line["appid"]) == (1, wechat.simulator.appid)
        assert {"time", "level"} <= line.keys()
    assert all(page["sweep"] == 1 for page in pages)


def test_an_error_is_an_object_too_and_holds_its_cure(
    world: Callable[..., World], capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where nothing was asked to be said."""
    wechat = world(5)
    wechat.simulator.faults.add("stable_token=40125")
    assert wechat.run("--log-format", "json", "sync") == 3
    (logged,) = lines(capsys)
    assert logged["level"] == "error"
    assert "check SYNCJOB_APPSECRET" in logged["event"]
    assert wechat.run("--log-format", "json", "-vv", "sync") == 3
    assert "Traceback" in lines(capsys)[-1]["traceback"]


def test_a_text_of_wechat_breaks_no_log_line(
    world: Callable[..., World], capsys: pytest.CaptureFixture[str]
) -> None:
    """What comes from outside stays within its value."""
    wechat = world(200, page_size=10, list_cut=20)
    assert wechat.run("--log-format", "json", "-v", "sync") == 75
    assert any(line["event"] == "Discarded the sweep" for line in lines(capsys))


def test_the_lines_of_an_error_are_joined_by_semicolons(
    world: Callable[..., World], capsys: pytest.CaptureFixture[str]
) -> None:
    """Where two lines become one, a semicolon stands between them."""
    wechat = world(5)
    wechat.simulator.faults.add("user/get=drop@1")
    assert wechat.run("-v", "sync") == 0
    logged = capsys.readouterr().err
    assert "; check the network, the proxy and the address; the next run goes on" in logged


def test_enrichment_is_logged_every_ten_seconds(
    world: Callable[..., World],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """However fast it is: the log of a long run stays short."""
    wechat = world(6_000)
    wechat.set(SYNCJOB_CONCURRENCY="1", SYNCJOB_SWEEP_EVERY="1d")
    assert Plan().log_every == 10
    assert wechat.run("-v", "sync") == 0
    assert "Enriched followers" not in capsys.readouterr().err
    wechat.run_job(plan=Plan("backfill", log_every=0))
    assert capsys.readouterr().err.count("Enriched followers. openids=") >= 3
