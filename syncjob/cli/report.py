"""The report of a run: one JSON object; report.schema.json is its schema."""

import json
import logging
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from syncjob.config import Secret
from syncjob.errors import (
    RunLost,
    SettingsError,
    SyncjobError,
    WeChatError,
    exit_code_of,
    in_one_line,
)
from syncjob.files import AtomicFile
from syncjob.model.quota import Spent
from syncjob.model.runs import Run

logger = logging.getLogger(__name__)

# Raised when a field changes its meaning or is removed, not when one is added.
SCHEMA_VERSION = 1
COUNTS = ("pages", "openids", "new", "returned", "enriched", "skipped", "unfollowed", "lagging")


def plain(record: Any, hidden: Collection[str] = ()) -> dict[str, Any]:
    """Return the fields of a dataclass for `json.dumps`, instants in ISO 8601."""
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in asdict(record).items()
        if name not in hidden
    }


def run_as_json(
    run: Run, appid: str, calls: Mapping[str, int], counts: Mapping[str, int]
) -> dict[str, Any]:
    """Return a run for `json.dumps`; `calls` by API, `counts` of its steps by name."""
    report = plain(run, hidden=("account_id", "holder"))
    took = None if run.finished_at is None else run.finished_at - run.started_at
    return {
        "schema_version": SCHEMA_VERSION,
        "appid": appid,
        **report,
        "idle": run.idle,
        "seconds": None if took is None else round(took.total_seconds(), 3),
        "calls_by_api": dict(sorted(calls.items())),
        "step_counts": dict(sorted(counts.items())),
    }


def by_api(spent: Iterable[Spent]) -> dict[str, int]:
    """Return the calls of a run by API, of all days."""
    calls: Counter[str] = Counter()
    for one in spent:
        calls[one.cgi_path] += one.calls
    return dict(calls)


class Report:
    """What is known of the run so far."""

    def __init__(self, command: str) -> None:
        self.command = command
        self.appid: str | None = None
        self.database_url: Secret | None = None
        self.run: Run | None = None
        self.calls: dict[str, int] = {}
        self.step_counts: dict[str, int] = {}

    def as_json(self, error: BaseException | None) -> dict[str, Any]:
        """Return it for `json.dumps`; `error` is what ended the run.

        A run that was refused before it began has no `id`. If its end could not be recorded, the
        counts are those of its start.
        """
        if self.run is None:
            none = dict.fromkeys(("id", "started_at", "heartbeat_at", "finished_at", "seconds"))
            report: dict[str, Any] = {
                "schema_version": SCHEMA_VERSION,
                "appid": self.appid,
                **none,
                "command": self.command,
                "status": "refused",
                "idle": False,
                **dict.fromkeys((*COUNTS, "calls", "retries"), 0),
                "calls_by_api": {},
                "step_counts": {},
                **dict.fromkeys(("errcode", "message", "rid")),
            }
        else:
            report = run_as_json(self.run, self.appid or "", self.calls, self.step_counts)
        if error is not None and report["status"] in ("refused", "running"):
            of_wechat = error if isinstance(error, WeChatError) else None
            said = str(error) if isinstance(error, SyncjobError) else type(error).__name__
            report["message"] = in_one_line(said)
            report["errcode"] = None if of_wechat is None else of_wechat.errcode
            report["rid"] = None if of_wechat is None else of_wechat.rid
            if self.run is not None:
                report["status"] = "abandoned" if isinstance(error, RunLost) else "failed"
        report["exit_code"] = 0 if error is None else int(exit_code_of(error))
        return report


@contextmanager
def reporting(path: Path | None, report: Report) -> Iterator[None]:
    """Write the report to the file at the end of the block, however it ends.

    The file is replaced atomically. Raises SettingsError, before the block, if it cannot be
    written.
    """
    if path is None:
        yield
        return
    try:
        draft = AtomicFile(path, mode=0o644)
    except OSError as error:
        raise SettingsError(f"--report {str(path)!r} cannot be written: {error.strerror}") from None
    failure: BaseException | None = None
    try:
        yield
    except BaseException as error:
        failure = error
        raise
    finally:
        _write(report.as_json(failure), draft, path)


def _write(report: dict[str, Any], draft: AtomicFile, path: Path) -> None:
    """Write the report; log an error instead of raising it."""
    try:
        with draft.writing() as file:
            json.dump(report, file, ensure_ascii=False)
            file.write("\n")
    except OSError as error:
        logger.warning("The report could not be written. file=%s reason=%s", path, error.strerror)
