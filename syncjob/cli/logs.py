"""The log on stderr: lines of text, or a JSON object a line."""

import json
import logging
import re
import sys
from datetime import UTC, datetime

from syncjob.log_context import get_log_fields

# "Stored a page. sweep=%d page=%d": an event and its fields.
FIELDS = re.compile(r"(\w+)=%\.?\d*[sdf]s?")


def log_to_stderr(verbosity: int, *, as_json: bool) -> None:
    """Log syncjob's own loggers only: at DEBUG, urllib3's prints the token in every URL."""
    level = {0: logging.WARNING, 1: logging.INFO}.get(verbosity, logging.DEBUG)
    handler = logging.StreamHandler(sys.stderr)
    words = logging.Formatter("%(asctime)s %(levelname)s %(message)s")
    handler.setFormatter(JSONFormatter() if as_json else words)
    logger = logging.getLogger("syncjob")
    logger.handlers[:] = [handler]
    logger.propagate = False
    logger.setLevel(level)


def logs_json() -> bool:
    """Tell whether the log is written as JSON."""
    handlers = logging.getLogger("syncjob").handlers
    return bool(handlers) and isinstance(handlers[0].formatter, JSONFormatter)


def shows_progress() -> bool:
    """Tell whether stderr is a terminal on which no log of each step is shown."""
    is_quiet = logging.getLogger("syncjob").getEffectiveLevel() > logging.INFO
    return is_quiet and not logs_json() and sys.stderr is not None and sys.stderr.isatty()


class JSONFormatter(logging.Formatter):
    """One object a line: time, level, event, account, run and sweep, and the event's fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as JSON; numbers stay numbers."""
        fields = self._fields(record)
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": FIELDS.split(str(record.msg))[0].strip(" .")
            if fields
            else record.getMessage(),
            **get_log_fields(),
            **fields,
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)

    def _fields(self, record: logging.LogRecord) -> dict[str, object]:
        names = FIELDS.findall(str(record.msg))
        arguments = record.args if isinstance(record.args, tuple) else ()
        return dict(zip(names, arguments, strict=True)) if len(names) == len(arguments) else {}
