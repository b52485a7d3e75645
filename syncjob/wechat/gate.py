"""A gate that stops calls after a refusal that only a person can fix."""

import threading
from typing import Any

from syncjob.errors import NeedsOperator, QuotaExhausted, SettingsError, Stopped
from syncjob.wechat.endpoint import Endpoint

# Refusals of one API. All others that need a person (address, secret, account) concern every call.
ERRCODES_OF_ONE_API = frozenset({48001, 48004, 61007})


class Gate:
    """Checked before each request; raises the error it was closed with. Thread-safe.

    It is closed for one endpoint or for all calls. The first error counts.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._closed: dict[str, BaseException] = {}
        self._all: BaseException | None = None

    def check(self, cgi_path: str) -> None:
        """Raise the error that closed the gate for this endpoint, if any."""
        error = self._all or self._closed.get(cgi_path)
        if error is not None:
            raise error

    def close(self, error: BaseException, cgi_path: str | None = None) -> None:
        """Refuse further calls of the endpoint, or all calls (None)."""
        # Only the main thread raises a signal; other threads get Stopped.
        kept = Stopped("stopped") if isinstance(error, KeyboardInterrupt) else error
        with self._lock:
            if cgi_path is None:
                self._all = self._all or kept
            else:
                self._closed.setdefault(cgi_path, kept)

    def note(self, endpoint: Endpoint[Any], error: BaseException) -> None:
        """Close the gate if other calls would fail for the same reason."""
        if is_of_one_api(error):
            self.close(error, endpoint.path)
        elif isinstance(error, SettingsError) or (
            isinstance(error, NeedsOperator) and not error.of_one_openid
        ):
            self.close(error)


def is_of_one_api(error: BaseException) -> bool:
    """Return whether a refusal concerns one API only."""
    refused = isinstance(error, NeedsOperator) and error.errcode in ERRCODES_OF_ONE_API
    return refused or isinstance(error, QuotaExhausted)
