"""Checks the settings: valid, known, and not readable by others."""

import os
import re
import shutil
from collections.abc import Iterator
from urllib.parse import urlsplit

from syncjob.config import NoticeSettings, Settings, SettingsReader
from syncjob.config.extras import require_prometheus_client
from syncjob.config.secrets import AS_THE_JOB
from syncjob.doctor.findings import Finding, from_error, note, ok, warning
from syncjob.errors import SettingsError
from syncjob.wechat.console import KEYS

APPID = re.compile(r"wx[0-9a-f]{16}")
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def check_settings(reader: SettingsReader, faults: list[SettingsError]) -> Iterator[Finding]:
    """Yield a finding for each setting that is wrong, unknown or unsafe."""
    for error in faults:
        yield from_error("settings", error)
    for name, near in reader.unknown:
        hint = f"did you mean {near}?" if near else "docs/manual/settings.md lists the settings"
        yield warning("settings", f"{name} is no setting, and passed over", hint)
    for name in reader.values.quoted:
        what = f"{name} stands in quotation marks, which were left out"
        yield note("settings", what, "docker --env-file keeps them: write it without")
    file = reader.origin
    if file is None:
        yield note("settings", f"read from the environment alone: {reader.values.absence}")
    elif file.denied:
        what = f"read from the environment alone: this user may not read {file.path}"
        yield warning("settings", what, AS_THE_JOB)
    else:
        for name in file.exposed:
            what = f"everybody on this machine can read {file.path}, which holds {name}"
            yield warning("settings", what, f"run: chmod o= {file.path}")
    for name in reader.values.hidden:
        what = f"{name} of the file is hidden by what the environment says"
        yield note("settings", what, f"if that is not meant: unset {name}")
    where = "" if file is None or file.denied else f" with the file {file.path}"
    if not faults:
        yield ok("settings", f"complete and readable{where}")
    elif file is not None and file.fault is None and where:
        yield ok("settings", f"the file {file.path} was read")


def check_choices(settings: Settings, *, names_database: bool) -> Iterator[Finding]:
    """Yield warnings about settings that are allowed but seldom meant."""
    appid = settings.account.appid
    if not APPID.fullmatch(appid):
        yield warning(
            "settings",
            f"SYNCJOB_APPID is {appid!r}, and an AppID is wx and 16 hexadecimal digits",
            f"copy it from WeChat's console: {KEYS}",
        )
    if not names_database:
        yield warning(
            "settings",
            "SYNCJOB_DATABASE_URL is not set: the database is syncjob.db in the current folder, "
            "and cron starts in another one",
            "set it: sqlite:////absolute/path.db, or postgresql://user@host/database",
        )
    address = urlsplit(settings.api_url)
    if address.scheme == "http":
        if address.hostname in LOOPBACK:
            yield note("settings", f"SYNCJOB_API_URL is {settings.api_url}: no real WeChat")
        else:
            yield warning(
                "settings",
                "SYNCJOB_API_URL begins with http://: secret and tokens travel in the clear",
                "begin it with https://, unless the way to that host is safe",
            )
    source = settings.account.token_source
    if source == "classic":
        yield note(
            "settings",
            "SYNCJOB_TOKEN_SOURCE is classic: each token it fetches kills those of other programs",
            "if others use this account, let all use stable_token",
        )


def check_metrics_file(settings: Settings) -> Iterator[Finding]:
    """Check whether a run can write its metrics file."""
    path = settings.metrics_file
    if path is None:
        return
    try:
        require_prometheus_client("SYNCJOB_METRICS_FILE")
    except SettingsError as error:
        yield from_error("metrics", error)
        return
    if not path.parent.is_dir():
        yield warning(
            "metrics", f"the folder {path.parent} is not there", "make it, or correct the path"
        )
    elif not os.access(path.parent, os.W_OK | os.X_OK):
        yield warning(
            "metrics",
            f"this user may not write into {path.parent}",
            "give it the right to, or run doctor as the user of the job",
        )
    else:
        yield ok("metrics", f"can be left in {path.parent}")


def check_notices(notices: NoticeSettings) -> Iterator[Finding]:
    """Check whether the command for notices exists; it is not run."""
    if not notices.command:
        return
    name = notices.command[0]
    if shutil.which(name) is None:
        yield warning(
            "notices",
            f"the command of SYNCJOB_ON_FAILURE was not found, or may not be run: {name}",
            "correct its path; then try it: syncjob notify",
        )
    else:
        yield ok("notices", f"{name} is there; to try it: syncjob notify")
