"""Which account, run and sweep the log lines of a thread are about.

Each account that is opened has fields of its own, in a context variable; nothing here belongs to
the whole process. A new thread has an empty context: start it with `with_log_fields`.
"""

from collections.abc import Callable, Mapping
from contextvars import ContextVar, copy_context
from functools import partial
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

# Changed in place, so that the threads of a run see what it learns after their start.
_FIELDS: ContextVar[dict[str, object]] = ContextVar("syncjob.log_fields")


def start_log_fields(**fields: object) -> None:
    """Begin with these fields, in this thread and in those that it starts from now on.

    They stay after the run, so that the line that says how the command failed has them too.
    """
    _FIELDS.set(dict(fields))


def add_log_fields(**fields: object) -> None:
    """Add fields, for all threads that share these."""
    _FIELDS.set(found := _FIELDS.get({}))
    found.update(fields)


def get_log_fields() -> Mapping[str, object]:
    """Return the fields of this thread's log lines."""
    return _FIELDS.get({})


def with_log_fields(function: Callable[P, T]) -> Callable[P, T]:
    """Return a target for one new thread, whose log lines have the fields of this one."""
    return partial(copy_context().run, function)
