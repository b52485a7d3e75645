"""A thread that keeps a run's heartbeat young, however long one call or one wait takes."""

import logging
import threading
from types import TracebackType
from typing import Self

from syncjob.database.store import Store
from syncjob.errors import RunLost, SyncjobError, in_one_line
from syncjob.interruption import interruption

PATIENCE = 5.0  # seconds that the end of a run waits for the last beat

logger = logging.getLogger(__name__)


class Heartbeat:
    """Beats every `interval` seconds between entry and exit of a `with`.

    It never ends the run: one that lost its row finds out at its next write.
    """

    def __init__(self, store: Store, run_id: int, *, interval: float) -> None:
        self._store = store
        self._run_id = run_id
        self._interval = interval
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join(interruption.left(PATIENCE))

    def _beat(self) -> None:
        while not self._stop.wait(self._interval):
            try:
                self._store.runs.beat(self._run_id)
            except RunLost:
                return
            except SyncjobError as error:
                logger.warning("Could not renew the heartbeat. reason=%s", in_one_line(error))
