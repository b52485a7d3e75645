"""Opens the database, and finds the account, for commands that need no secret."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from syncjob.cli.options import settings_of
from syncjob.errors import SettingsError

if TYPE_CHECKING:
    from syncjob.database.store import Store
    from syncjob.model.accounts import Account


@contextmanager
def open_database(context: click.Context) -> Iterator[tuple["Store", str | None]]:
    """Open the store; yield it and the AppID of the settings, None if they have none."""
    settings = settings_of(context).database()
    from syncjob.database.store import open_store

    with open_store(
        settings.database_url.reveal(),
        only_account=settings.only_account,
        patience=settings.database_patience,
    ) as store:
        yield store, settings.appid


@contextmanager
def open_account(context: click.Context) -> Iterator[tuple["Store", "Account | None"]]:
    """Open the store; yield it and the account of the settings, or the only one stored."""
    with open_database(context) as (store, appid):
        if appid is None:
            appids = store.accounts.get_appids()
            if len(appids) > 1:
                raise SettingsError(
                    f"SYNCJOB_APPID is not set, and the database holds {len(appids)} accounts; "
                    f"expected one of {', '.join(appids)}"
                )
            appid = appids[0] if appids else ""
        account = store.accounts.get(appid)
        others = store.accounts.get_appids() if account is None else []
        if others:
            click.echo(
                f"{appid} is not in the database, which holds {', '.join(others)}.", err=True
            )
        yield store, account
