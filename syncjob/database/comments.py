"""What each table, view and column means: COMMENT ON in databases that have it, and the manual.

A text is one sentence without a full stop; `code` is marked as in Markdown. A migration that adds a
column names its text too; `write` brings all texts into a database.
"""

from collections.abc import Iterator, Mapping

from sqlalchemy import Connection, MetaData, inspect
from sqlalchemy.engine.reflection import ObjectKind

ACCOUNT = "the account, `accounts.id`"
PERIOD = {
    "followed_after": "the period began not before this; null: nothing is known before",
    "followed_before": "the period began not after this",
    "unfollowed_after": "it ended not before this",
    "unfollowed_before": "it ended not after this; null: it goes on",
}
COUNTS = {
    "pages": "pages of the list stored",
    "openids": "OpenIDs on these pages",
    "new": "followers that this database had not seen",
    "returned": "followers that had been marked as gone",
    "enriched": "profiles stored",
    "skipped": "entries that no follower can be made of, and profiles that WeChat did not send",
    "unfollowed": "followers proven to have left, and those that WeChat refused for long enough",
    "lagging": "followers that the list left out although they follow",
    "retries": "HTTP requests that repeat another",
}

TABLES: Mapping[str, str] = {
    "followers": "A row is a person who follows or has followed the account",
    "past_follow_periods": "A row is an earlier period of following, of a person who returned",
    "quarantine": "A row is an OpenID that WeChat refuses or answers unreadably, or whose unionid "
    "is in doubt",
    "runs": "A row is one execution of the job",
    "sweeps": "A row is one pass over the follower list",
    "accounts": "A row is an Official Account",
    "unfollow_candidates": "A row is a follower that the last sealed sweep did not list",
    "sweep_openids": "A row is an OpenID that the open sweep has seen, of those stored before it "
    "began",
    "access_tokens": "A row is the access token of an account. Secret",
    "api_calls": "A row is how often a run has called an API on a day in Beijing",
    "api_errors": "A row is how often calls of a run failed with one error",
    "run_counts": "A row is what a step of a run has done, beside the columns of `runs`",
    "run_totals": "A row is the sum of all ended runs of one status",
    "call_totals": "A row is how often all ended runs have called an API, or got one error",
    "quotas": "A row is the last known quota of an API",
    "notices": "A row is the last state of the account that was sent over a channel",
}
VIEWS: Mapping[str, str] = {
    "current_followers": "A row is a person who follows now",
    "follow_periods": "A row is a period of following: the latest of each follower, and all "
    "earlier ones",
    "daily_follower_changes": "A row is a day in China on which people followed or unfollowed",
    "account_history": "A row is an account, and since when its history is complete",
    "daily_api_calls": "A row is the calls of an API on a day in Beijing, of all runs",
}

COLUMNS: Mapping[str, Mapping[str, str]] = {
    "followers": {
        "account_id": ACCOUNT,
        "openid": "the person's key in this account; compared byte by byte",
        "subscribe": "whether they follow, as far as is known: true when listed, false only by "
        "proof, and then `unfollowed_before` is set (CHECK)",
        "nickname": "empty for everybody since 2021-12-27",
        "sex": "1 male, 2 female, 0 unknown; 0 for everybody since 2021",
        "language": "the language of their WeChat, such as `zh_CN`",
        "city": "empty since 2021",
        "province": "empty since 2021",
        "country": "empty since 2021",
        "headimgurl": "address of the avatar; empty since 2021",
        "subscribe_time": "when they last followed, by WeChat's clock",
        "unionid": "the same for the person in all accounts of one Open Platform; null without one",
        "remark": "the name that operators gave them",
        "groupid": "their group, from before there were tags",
        "tagid_list": "a JSON array of the numbers of their tags",
        "subscribe_scene": "the channel by which they came, `ADD_SCENE_…`; the manual's page "
        "about tables lists the values",
        "qr_scene": "the number in the QR code that they scanned",
        "qr_scene_str": "the text in that QR code",
        "extra": "a JSON object of fields that WeChat sent and this version has no column for",
        "first_seen_at": "when this database first stored them; never changes",
        "enriched_at": "when the profile was last fetched; null: it is due",
        "unsubscribed_at": "when it was proven that they left; null while `subscribe`",
        "changed_at": "when a value last changed: copy the rows that are newer than your last copy",
        **{name: f"latest period: {text}" for name, text in PERIOD.items()},
        "first_sweep_id": "the sweep that listed them first; used by the job, and no foreign key: "
        "that sweep may be deleted",
        "first_page": "the page of that sweep; while the sweep is open, a page after its cursor is "
        "not stored yet; null: not known",
        "unsubscribe_reason": "why the latest period ended: `answered` (WeChat said `subscribe: "
        "0`), `refused` (missing from three sealed sweeps over at least a day, and WeChat refused "
        "to answer each time); null: it goes on",
        "list_contradicted_at": "when WeChat last answered that they had left while its list still "
        "had them; the list is not believed for a day",
    },
    "past_follow_periods": {
        "id": "a number without meaning",
        "account_id": ACCOUNT,
        "openid": "the person",
        **PERIOD,
        "unsubscribe_reason": "why it ended: `answered` or `refused`, as in `followers`",
    },
    "quarantine": {
        "account_id": ACCOUNT,
        "openid": "the person",
        "reason": "why, in words",
        "errcode": "WeChat's errcode, if it sent one",
        "attempts": "how often it has failed",
        "first_failed_at": "since when",
        "next_try_at": "not asked about before this: an hour, a day, then a week",
        "rid": "of WeChat's last refusal: identifies the request at WeChat for seven days",
    },
    "runs": {
        "id": "a number, in the order of their start",
        "account_id": ACCOUNT,
        "command": "`sync` or `backfill`; `remove` for `accounts remove`",
        "status": "`running`, `succeeded`, `failed`, `interrupted`, `abandoned`",
        "started_at": "when it began",
        "heartbeat_at": "when it was last known to be alive",
        "finished_at": "null exactly while it is `running`",
        **{name: text for name, text in COUNTS.items() if name != "retries"},
        "calls": "HTTP requests to WeChat",
        "retries": "those of them that repeat another",
        "errcode": "WeChat's errcode, if it ended the run",
        "message": "what ended it, and the cure",
        "rid": "WeChat's name for the failed request; valid for seven days",
        "holder": "which process, on which machine",
        "exit_code": "of the process; null while it runs, and if it died",
        "followers": "rows of `followers` at its end; null: not counted",
        "subscribed": "those of them that are subscribed",
    },
    "sweeps": {
        "id": "a number, in the order of their start",
        "account_id": ACCOUNT,
        "status": "`open`, `sealed` (its pages led unbroken to the end, and the count agrees), "
        "`discarded`",
        "started_at": "when it began: what it says is true of no later moment",
        "finished_at": "null exactly while it is `open`",
        "next_openid": "the cursor: asks for the page after the last stored one",
        "pages": "pages stored",
        "openids": "distinct OpenIDs seen",
        "total_first": "the total that WeChat named on the first page",
        "total_last": "the total that WeChat named on the last page",
        "reason": "why it was discarded",
    },
    "accounts": {
        "id": "what other tables mean by `account_id`",
        "appid": "WeChat's name for the account; unique",
        "created_at": "when it was first seen here",
        "parked_at": "since when its unfollows are parked; null: they are not",
        "backfill_started_at": "the last backfill: profiles older than this are due",
        "backfill_finished_at": "null while a backfill is unfinished, and before the first",
        "hash_key": "key of the hashes that stand for OpenIDs in logs. Secret",
        "unionids_missing_at": "since when it is known that profiles lack the unionid that WeChat "
        "sends; null: none is known to lack it",
    },
    "unfollow_candidates": {
        "account_id": ACCOUNT,
        "openid": "the person",
        "sweep_id": "the sweep that did not list them",
        "following_at": "the last time at which they certainly followed, as far as is known",
        "undecided": "asked about without an answer that decides, or rejected; a later sweep "
        "decides",
        "attempts": "since they were last listed: the sealed sweeps after which WeChat was asked "
        "without an answer that decides",
        "refusals": "how many of these attempts, the last ones, WeChat refused to answer",
        "approved": "the guard or the operator let them be asked about: they do not park again",
        "missed_since": "when the first of the sweeps with these refusals began",
    },
    "sweep_openids": {
        "sweep_id": "the open sweep",
        "openid": "an OpenID that it has seen",
    },
    "access_tokens": {
        "account_id": ACCOUNT,
        "access_token": "the token; empty while the first is being fetched",
        "fetched_at": "when it was fetched",
        "refresh_at": "from when on another one is fetched: five minutes before its end",
        "generation": "counts the claims to fetch one; only the newest claim may store",
        "fetching_until": "until when a claim is valid",
        "fetching_by": "the process that claims",
        "credentials": "a keyed hash of the AppSecret that it was fetched with: with another "
        "AppSecret it is not used; null: not known",
    },
    "api_calls": {
        "day": "the day, in Beijing",
        "cgi_path": "the API, such as `/cgi-bin/user/get`",
        "run_id": "the run, `runs.id`",
        "calls": "how often",
    },
    "api_errors": {
        "run_id": "the run, `runs.id`",
        "cgi_path": "the API",
        "error": "the errcode, or `unanswered`: no answer, or none that can be read",
        "calls": "how often",
    },
    "run_counts": {
        "run_id": "the run, `runs.id`",
        "name": "what is counted: `candidates_asked` and `candidates_undecided`, followers missing "
        "from the list; `refreshed`, profiles fetched again because they were old",
        "count": "how many",
    },
    "run_totals": {
        "account_id": ACCOUNT,
        "status": "as in `runs`",
        "runs": "how many runs",
        "idle": "those of them that had nothing to do",
        "seconds": "how long they took",
        **{name: f"the sum of `runs.{name}`" for name in COUNTS},
    },
    "call_totals": {
        "account_id": ACCOUNT,
        "cgi_path": "the API",
        "error": "empty: all calls; else the errcode, or `unanswered`",
        "calls": "how often",
    },
    "quotas": {
        "account_id": ACCOUNT,
        "cgi_path": "the API",
        "daily_limit": "calls a day, of all programs",
        "used": "how many of them were used at `told_at`",
        "told_at": "when WeChat said so",
        "exhausted_at": "when WeChat last refused with 45009; null: it did not, or has since said "
        "that calls are left",
    },
    "notices": {
        "account_id": ACCOUNT,
        "channel": "`command` or `webhook`",
        "state": "the state that was sent",
        "told_at": "when it was sent",
    },
    "follow_periods": {
        "account_id": ACCOUNT,
        "openid": "the person",
        **PERIOD,
        "unsubscribe_reason": "why it ended: `answered` or `refused`; null: it goes on",
    },
    "daily_follower_changes": {
        "account_id": ACCOUNT,
        "date": "the day",
        "followed": "periods that began, by `followed_before`",
        "unfollowed": "periods that ended, by `unfollowed_before`",
        "net": "`followed` less `unfollowed`",
        "total": "how many followed at its end: the sum of `net` up to it",
        "complete": "whether it is after the day of `account_history.complete_since`; false while "
        "no sweep is sealed",
    },
    "account_history": {
        "account_id": ACCOUNT,
        "appid": "the AppID",
        "complete_since": "when its first sweep was sealed; null: none is",
    },
    "daily_api_calls": {
        "account_id": ACCOUNT,
        "day": "the day",
        "cgi_path": "the API",
        "calls": "the sum of its calls",
    },
}


def text_of(table: str, column: str) -> str | None:
    """Return what a column of a table or view means; None if no text is written."""
    if table == "current_followers":
        table = "accounts" if column == "appid" else "followers"
    return COLUMNS.get(table, {}).get(column)


def describe(metadata: MetaData) -> None:
    """Give each table and column of the metadata its comment."""
    for table in metadata.tables.values():
        table.comment = _plain(TABLES.get(table.name))
        for column in table.columns:
            column.comment = _plain(text_of(table.name, column.name))


def write(connection: Connection, *, erase: bool = False) -> None:
    """Comment on our tables and views, or `erase` the comments; do nothing where there are none.

    Safe to repeat. What the schema at hand does not have yet is left out.
    """
    if not connection.dialect.supports_comments:
        return
    statements = "; ".join(
        f"COMMENT ON {what} IS {'NULL' if erase else _literal(text)}"
        for what, text in _texts(connection)
    )
    # One statement for all of them: a round trip for each would take longer than the migration.
    connection.exec_driver_sql(f"DO $comments$ BEGIN {statements}; END $comments$")


def _texts(connection: Connection) -> Iterator[tuple[str, str]]:
    """Yield what is commented on, as COMMENT ON names it, and the text."""
    for kind, texts, objects in (
        ("TABLE", TABLES, ObjectKind.TABLE),
        ("VIEW", VIEWS, ObjectKind.VIEW),
    ):
        found = inspect(connection).get_multi_columns(kind=objects, filter_names=list(texts))
        for (_, name), columns in sorted(found.items()):
            yield f'{kind} "{name}"', texts[name]
            for column in (column["name"] for column in columns):
                text = text_of(name, column)
                if text is not None:
                    yield f'COLUMN "{name}"."{column}"', text


def _plain(text: str | None) -> str | None:
    return None if text is None else text.replace("`", "")


def _literal(text: str) -> str:
    plain = text.replace("`", "").replace("'", "''")
    return f"'{plain}'".replace("%", "%%")  # the driver takes a single % for a parameter
