"""Two accounts at the same time in one process: nothing of one reaches the other."""

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

from syncjob.bootstrap import open_job
from syncjob.cli.logs import log_to_stderr
from syncjob.config import Settings, SettingsReader
from syncjob.job.job import Plan
from syncjob.job.run import run_job
from syncjob.model.runs import Run
from tests.conftest import Databases, World

SIZES = {1: 2_500, 2: 1_200}  # followers, by seed


def settings_of(wechat: World, database_url: str) -> Settings:
    """The settings of a run of this account."""
    return SettingsReader(
        {
            "SYNCJOB_DATABASE_URL": database_url,
            "SYNCJOB_API_URL": wechat.url,
            "SYNCJOB_APPID": wechat.simulator.appid,
            "SYNCJOB_APPSECRET": wechat.simulator.secret,
        }
    ).job()


def run_at_once(both: list[Settings]) -> dict[str, Run]:
    """Run the job of each in a thread of its own, from the same moment; return their runs."""
    together, ended = threading.Barrier(len(both)), {}

    def work(settings: Settings) -> None:
        with open_job(settings) as job:
            together.wait(30)
            plan = Plan(batch_size=50, concurrency=4)
            ended[settings.account.appid] = run_job(job.store, job.client, job.account, plan)

    threads = [threading.Thread(target=work, args=(settings,)) for settings in both]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    return ended


@pytest.fixture
def accounts(serve: Callable[..., World]) -> list[World]:
    """Two accounts of which each meets a busy WeChat now and then."""
    made = []
    for seed, followers in SIZES.items():
        wechat = serve(followers, seed=seed, page_size=100)
        wechat.simulator.faults.add("user/info/batchget=-1@5-6")
        made.append(wechat)
    return made


@pytest.mark.parametrize("is_shared", [True, False], ids=["one database", "two databases"])
def test_each_run_keeps_to_its_own_account(
    accounts: list[World],
    databases: Databases,
    capsys: pytest.CaptureFixture[str],
    is_shared: bool,
) -> None:
    """Rows, tokens, counts of calls, and the account of each log line, those of workers too."""
    first = databases.make()
    urls = [first, first if is_shared else databases.make()]
    log_to_stderr(1, as_json=True)
    both = [settings_of(wechat, url) for wechat, url in zip(accounts, urls, strict=True)]
    ended = run_at_once(both)

    for wechat, settings in zip(accounts, both, strict=True):
        run = ended[wechat.simulator.appid]
        size = SIZES[wechat.account.seed]
        assert (run.status, run.openids, run.new, run.enriched) == ("succeeded", size, size, size)
        assert run.calls == len(wechat.simulator.requests)
        # The other account's token, or its people, would have been refused.
        assert {request.errcode for request in wechat.simulator.requests} == {None, -1}
        with open_job(settings) as job:
            status = job.store.reports.get_status(job.account)
            assert (status.followers, status.subscribed, status.unenriched) == (size, size, 0)
    check_lines(capsys.readouterr().err, accounts, ended)


def check_lines(err: str, accounts: list[World], ended: dict[str, Run]) -> None:
    """Check that each line is about the account that it speaks of."""
    lines: list[dict[str, Any]] = [json.loads(line) for line in err.splitlines()]
    for wechat in accounts:
        appid = wechat.simulator.appid
        own = [line for line in lines if line["appid"] == appid]
        begun = [line["event"] for line in own].index("Started a run")
        assert {line["run"] for line in own[begun:]} == {ended[appid].id}
        pages = [line for line in own if line["event"] == "Stored a page"]
        assert {line["total"] for line in pages} == {SIZES[wechat.account.seed]}
        # Of a thread that was started before there was a sweep.
        busy = [line for line in own if line["event"] == "Asking again"]
        assert busy
        assert {line["sweep"] for line in busy} == {pages[0]["sweep"]}
    assert {line["appid"] for line in lines} == set(ended)
