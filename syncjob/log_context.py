"""The fields of log lines: account, run and sweep.

Each opened account has its own fields in a context variable, so that several accounts fit into one
process. A new thread starts with an empty context; wrap its target in `with_log_fields`.
"""

from collections.abc import Callable, Mapping
from contextvars import ContextVar, copy_context
from functools import partial
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

# Changed in place, so that running threads see fields that are added later.
_FIELDS: ContextVar[dict[str, object]] = ContextVar("syncjob.log_fields")


def start_log_fields(**fields: object) -> None:
    """Replace the fields, for this thread and for threads it starts later.

    They stay after the run, so that the line that reports the command's failure has them too.
    """
    _FIELDS.set(dict(fields))


def add_log_fields(**fields: object) -> None:
    """Add fields, for all threads that share this context."""
    _FIELDS.set(found := _FIELDS.get({}))
    found.update(fields)


def get_log_fields() -> Mapping[str, object]:
    """Return the fields of this thread's log lines."""
    return _FIELDS.get({})


def with_log_fields(function: Callable[P, T]) -> Callable[P, T]:
    """Wrap the target of a new thread so that it shares the log fields of this thread."""
    return partial(copy_context().run, function)
