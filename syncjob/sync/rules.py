"""What is asked of a sweep before it may say who is gone."""

from dataclasses import dataclass
from datetime import timedelta

from syncjob.model import Allowance


@dataclass(frozen=True, slots=True)
class SweepRules:
    """When a sweep may speak.

    How far its count may be from WeChat's total, how old it may be and still go on, and how many
    followers it may miss before a person should look.
    """

    max_drift: Allowance
    max_unfollow: Allowance
    max_age: timedelta


DEFAULT_RULES = SweepRules(
    max_drift=Allowance(50, 0.01), max_unfollow=Allowance(100, 0.05), max_age=timedelta(days=1)
)
