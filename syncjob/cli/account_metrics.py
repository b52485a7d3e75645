"""The metrics of one account, as prometheus-client collects them.

All are read from the database, so that a restart changes none of them.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from syncjob import __version__
from syncjob.model.accounts import AccountStatus
from syncjob.model.runs import Totals

# A number, or None if it is unknown, by label values.
Values = Mapping[tuple[str, ...], float | None]


class AccountMetrics:
    """A collector of one account's metrics.

    `next_sweep_at` is when the next sweep is due; None: the next run starts one.
    """

    def __init__(
        self, status: AccountStatus, totals: Totals, next_sweep_at: datetime | None
    ) -> None:
        self._next_sweep_at = next_sweep_at
        self._status = status
        self._totals = totals
        self._appid = status.account.appid

    def collect(self) -> Iterator[Metric]:
        """Yield each metric family; unknown values are left out."""
        yield from self._of_runs()
        yield from self._of_followers()
        yield from self._of_sweeps()
        yield from self._of_calls()

    def _of_runs(self) -> Iterator[Metric]:
        status, totals, last = self._status, self._totals, self._status.last_run
        yield self._gauge("info", "The syncjob that wrote this.", {(__version__,): 1}, "version")
        yield self._one("read_timestamp_seconds", "When this was read.", _at(status.as_of))
        success = status.last_success_at
        text = "End of the last success that WeChat has answered."
        yield self._one("last_success_timestamp_seconds", text, _at(success))
        if last is not None and last.finished_at is not None:
            took = (last.finished_at - last.started_at).total_seconds()
            ended = _at(last.finished_at)
            yield self._one("last_run_timestamp_seconds", "End of the last run.", ended)
            yield self._one("last_run_duration_seconds", "How long it took.", took)
            yield self._one("last_run_idle", "1 if it had nothing to do.", last.idle)
            # An idle run made no call, so it must not hide the failure of the run before it.
            asking = status.last_asking_run or last
            text = "Exit code of the last run that was not idle."
            yield self._one("last_run_exit_code", text, asking.exit_code)
        by_status: Values = {(name,): count for name, count in sorted(totals.ended.items())}
        yield self._counter("runs", "Runs by how they ended.", by_status, "status")
        text = "Of these, those that had nothing to do, and did not ask WeChat."
        yield self._counter("idle_runs", text, {(): totals.idle})
        yield self._counter("run_seconds", "Time that runs took.", {(): totals.seconds})
        yield self._counter("pages", "Pages of the list stored.", {(): totals.counts["pages"]})
        yield self._counter("retries", "Calls that repeat one.", {(): totals.counts["retries"]})
        changes = ("new", "returned", "enriched", "unfollowed", "lagging", "skipped")
        counted: Values = {(name,): totals.counts[name] for name in changes}
        yield self._counter("rows", "Followers, by what runs did to them.", counted, "change")

    def _of_followers(self) -> Iterator[Metric]:
        status = self._status
        gone = status.followers - status.subscribed
        rows: Values = {("true",): status.subscribed, ("false",): gone}
        yield self._gauge("followers", "Rows of followers.", rows, "subscribe")
        waiting = {
            "unenriched": ("Followers whose profile is to be fetched.", status.unenriched),
            "quarantined": ("OpenIDs in quarantine.", status.quarantined),
            "unfollow_candidates": ("Missing from the list, to be asked about.", status.candidates),
            "unfollows_parked": (
                "Of these, so many that a person decides.",
                status.candidates if status.account.parked_at is not None else 0,
            ),
            "unfollows_unanswered": ("Missing, asked about in vain.", status.unanswered),
            "unfollows_refused": ("Of these WeChat refuses to speak.", status.refused),
            "backfill_open": ("1 while a backfill is under way.", status.account.backfilling),
        }
        for name, (text, value) in waiting.items():
            yield self._one(name, text, value)

    def _of_sweeps(self) -> Iterator[Metric]:
        opened, sealed = self._status.open_sweep, self._status.sealed_sweep
        yield self._one("sweep_open", "1 while a sweep is under way.", opened is not None)
        text = "From when on a run begins another sweep."
        yield self._one("next_sweep_timestamp_seconds", text, _at(self._next_sweep_at))
        if sealed is not None:
            ended = _at(sealed.finished_at)
            yield self._one("sweep_timestamp_seconds", "End of the last whole sweep.", ended)
            yield self._one("sweep_openids", "OpenIDs that it listed.", sealed.openids)
            yield self._one(
                "sweep_expected_openids", "The total that WeChat named.", sealed.total_last
            )

    def _of_calls(self) -> Iterator[Metric]:
        totals, status = self._totals, self._status
        calls: dict[tuple[str, ...], float | None] = {}
        for cgi_path, number in sorted(totals.calls.items()):
            failed = [one for one in totals.failed if one.cgi_path == cgi_path]
            calls[cgi_path, "0"] = number - sum(one.calls for one in failed)
            calls |= {(cgi_path, one.error): one.calls for one in failed}
        labels = ("cgi_path", "errcode")
        yield self._counter("api_calls", "Calls by API and errcode; 0 is success.", calls, *labels)
        limits: Values = {(use.cgi_path,): use.daily_limit for use in status.quotas}
        left: Values = {(use.cgi_path,): use.left for use in status.quotas}
        text = "Calls a day, of all programs, as WeChat last reported."
        yield self._gauge("quota_daily_limit", text, limits, "cgi_path")
        text = "Calls left of the day in Beijing at the time of reading."
        yield self._gauge("quota_left", text, left, "cgi_path")

    def _one(self, name: str, text: str, value: float | None) -> Metric:
        return self._gauge(name, text, {(): value})

    def _gauge(self, name: str, text: str, values: Values, *labels: str) -> Metric:
        return self._filled(GaugeMetricFamily, name, text, values, labels)

    def _counter(self, name: str, text: str, values: Values, *labels: str) -> Metric:
        return self._filled(CounterMetricFamily, name, text, values, labels)

    def _filled(
        self,
        kind: type[GaugeMetricFamily] | type[CounterMetricFamily],
        name: str,
        text: str,
        values: Values,
        labels: tuple[str, ...],
    ) -> Metric:
        family = kind(f"syncjob_{name}", text, labels=("appid", *labels))
        for key, value in values.items():
            if value is not None:
                family.add_metric((self._appid, *key), float(value))
        return family


def _at(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()
