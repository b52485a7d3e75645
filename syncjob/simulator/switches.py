"""Switches for the variants of WeChat's behaviour.

The defaults are the most frequent behaviour. Each other value was reported once, is documented
somewhere, or could not be ruled out.
"""

from dataclasses import dataclass, field
from typing import Literal, get_args, get_type_hints

ENDPOINTS = (
    "token",
    "stable_token",
    "user/get",
    "user/info",
    "user/info/batchget",
    "openapi/quota/get",
    "openapi/rid/get",
)


@dataclass
class Switches:
    """How the simulated WeChat behaves; may be changed while it serves.

    Raises ValueError for an invalid value on creation.
    """

    # user/get: OpenIDs per page; next_openid is the last OpenID of a page or the first of the next
    page_size: int = 10_000
    cursor: Literal["exclusive", "inclusive"] = "exclusive"
    # next_openid on the last page: its last OpenID, "", " ", or no such key
    last_cursor: Literal["last", "empty", "space", "absent"] = "last"
    # the page past the end: no data; data {}; data null; openid null; openid []; total absent too
    past_end: Literal[
        "no-data", "empty-data", "null-data", "null-openid", "empty-openid", "no-total"
    ] = "no-data"
    # the answer to an empty next_openid, and to the next_openid of a user who left
    empty_cursor: Literal["start", "40003"] = "start"
    unfollowed_cursor: Literal["continue", "40003"] = "continue"
    # a list without an end: "still" repeats the cursor just sent, "restart" returns to the first
    # page at the end, "page-one" always answers the first page
    loop: Literal["never", "still", "restart", "page-one"] = "never"
    blank_entry: bool = False  # the list begins with "", not counted, as in old documentation
    repeat_entry: bool = False  # each page repeats its first OpenID at its end
    repeat_first: bool = False  # each later page repeats the first OpenID of the list
    list_cut: int | None = None  # the list ends after so many OpenIDs; total is not changed
    total_cut: bool = False  # total counts the listed users, not the followers
    total_off: int = 0  # added to the total
    count_off: int = 0  # added to the true count

    # user/info/batchget: OpenIDs per call; entries in random order; the first entry twice; after
    # an unknown OpenID each entry has the unionid of the next entry
    batch_limit: int = 100
    shuffle: bool = False
    repeat_user: bool = False
    unionid_shift: bool = False
    shift_after_lost: bool = False  # the same after a user who left, is reported so or is left out

    # expires_in of a new token, seconds; calls per day in Beijing and per minute, by endpoint
    token_lifetime: int = 7200
    daily_quota: dict[str, int] = field(default_factory=dict)
    minute_quota: dict[str, int] = field(default_factory=dict)

    clock_off: int = 0  # error of the Date header, seconds

    # after every N calls with a token: another program refreshes it; a user follows; unfollows
    intruder_every: int = 0
    join_every: int = 0
    leave_every: int = 0

    def __post_init__(self) -> None:
        for name, kind in get_type_hints(type(self)).items():
            value, choices = getattr(self, name), get_args(kind)
            if choices and kind is not dict and isinstance(value, str) and value not in choices:
                raise ValueError(f"{name} must be one of {', '.join(choices)}, not {value!r}")
            if kind is int and value < 0 and not name.endswith("_off"):
                raise ValueError(f"{name} cannot be negative: {value}")
        if self.list_cut is not None and self.list_cut < 0:
            raise ValueError(f"list_cut cannot be negative: {self.list_cut}")
        if min(self.page_size, self.batch_limit, self.token_lifetime) < 1:
            raise ValueError("page_size, batch_limit and token_lifetime must be at least 1")
        for endpoint in (*self.daily_quota, *self.minute_quota):
            if endpoint not in ENDPOINTS:
                raise ValueError(f"quota: no endpoint {endpoint!r}; {', '.join(ENDPOINTS)}")
