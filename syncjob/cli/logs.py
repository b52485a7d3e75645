"""The log on stderr: lines for a person, or a JSON object each for a machine."""

import json
import logging
import re
import sys
from datetime import UTC, datetime

from syncjob.log_context import get_log_fields

# "Stored a page. sweep=%d page=%d": what happened, and the names of what it happened to.
FIELDS = re.compile(r"(\w+)=%\.?\d*[sdf]s?")


def log_to_stderr(verbosity: int, *, as_json: bool) -> None:
    """Show syncjob's own log only: at DEBUG, urllib3's would print the token in every URL."""
    level = {0: logging.WARNING, 1: logging.INFO}.get(verbosity, logging.DEBUG)
    handler = logging.StreamHandler(sys.stderr)
    words = logging.Formatter("%(asctime)s %(levelname)s %(message)s")
    handler.setFormatter(JSONFormatter() if as_json else words)
    logger = logging.getLogger("syncjob")
    logger.handlers[:] = [handler]
    logger.propagate = False
    logger.setLevel(level)


def tells_json() -> bool:
    """Tell whether the log is for a machine."""
    handlers = logging.getLogger("syncjob").handlers
    return bool(handlers) and isinstance(handlers[0].formatter, JSONFormatter)


def watched() -> bool:
    """Tell whether somebody sits before a terminal, and is not told of each step already."""
    is_quiet = logging.getLogger("syncjob").getEffectiveLevel() > logging.INFO
    return is_quiet and not tells_json() and sys.stderr is not None and sys.stderr.isatty()


class JSONFormatter(logging.Formatter):
    """One object a line: time, level, event, account, run and sweep, and the fields of its own."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as JSON; numbers stay numbers."""
        fields = self._fields(record)
        told: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": FIELDS.split(str(record.msg))[0].strip(" .")
            if fields
            else record.getMessage(),
            **get_log_fields(),
            **fields,
        }
        if record.exc_info:
            told["traceback"] = self.formatException(record.exc_info)
        return json.dumps(told, ensure_ascii=False, default=str)

    def _fields(self, record: logging.LogRecord) -> dict[str, object]:
        names = FIELDS.findall(str(record.msg))
        arguments = record.args if isinstance(record.args, tuple) else ()
        return dict(zip(names, arguments, strict=True)) if len(names) == len(arguments) else {}
