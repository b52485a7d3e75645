"""Which calls are not worth sending any more: what only a person can fix is asked once."""

import threading
from typing import Any

from syncjob.errors import NeedsOperator, QuotaExhausted, SettingsError, Stopped
from syncjob.wechat.endpoint import Endpoint

# Refusals of one API. Every other one that needs a person (the address, the secret, the account) is
# the same whatever is called.
OF_ONE_API = frozenset({48001, 48004, 61007})


class Gate:
    """Stands before each request; one that is closed raises its error instead. Thread-safe.

    It is closed for an endpoint, or for all calls. The first error that closes it counts.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._closed: dict[str, BaseException] = {}
        self._all: BaseException | None = None

    def check(self, cgi_path: str) -> None:
        """Raise what the gate was closed with, if it is."""
        error = self._all or self._closed.get(cgi_path)
        if error is not None:
            raise error

    def close(self, error: BaseException, cgi_path: str | None = None) -> None:
        """Let no more calls of the endpoint begin, or none at all (None)."""
        # A signal is the main thread's to raise; a bug is one wherever it is met.
        kept = Stopped("stopped") if isinstance(error, KeyboardInterrupt) else error
        with self._lock:
            if cgi_path is None:
                self._all = self._all or kept
            else:
                self._closed.setdefault(cgi_path, kept)

    def note(self, endpoint: Endpoint[Any], error: BaseException) -> None:
        """Close the gate if a call failed for what another call would meet as well."""
        if is_of_one_api(error):
            self.close(error, endpoint.path)
        elif isinstance(error, SettingsError) or (
            isinstance(error, NeedsOperator) and not error.of_one_openid
        ):
            self.close(error)


def is_of_one_api(error: BaseException) -> bool:
    """Tell whether a refusal says nothing of the account's other APIs."""
    refused = isinstance(error, NeedsOperator) and error.errcode in OF_ONE_API
    return refused or isinstance(error, QuotaExhausted)
