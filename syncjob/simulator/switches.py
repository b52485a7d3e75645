"""The ways in which WeChat may behave, as one record of switches.

The defaults are what was seen on the wire most often. Each other position was reported once, is
printed in some page of the documentation, or could not be ruled out.
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

    Raises ValueError on creation for a value that makes no sense.
    """

    # user/get: OpenIDs a page; does next_openid name the last one had or the first one wanted?
    page_size: int = 10_000
    cursor: Literal["exclusive", "inclusive"] = "exclusive"
    # next_openid on the last page: its last OpenID, "", " ", or no such key
    last_cursor: Literal["last", "empty", "space", "absent"] = "last"
    # the page past the end: no data; data {}; data null; openid null; openid []; total absent too
    past_end: Literal[
        "no-data", "empty-data", "null-data", "null-openid", "empty-openid", "no-total"
    ] = "no-data"
    # what a next_openid that is sent empty, or names someone who left, leads to
    empty_cursor: Literal["start", "40003"] = "start"
    unfollowed_cursor: Literal["continue", "40003"] = "continue"
    # a list without an end: next_openid is the cursor just sent; the end leads back to page one;
    # every page is page one
    loop: Literal["never", "still", "restart", "page-one"] = "never"
    blank_entry: bool = False  # a "" leads the openid list, not counted, as in old documentation
    repeat_entry: bool = False  # each page lists its first OpenID a second time, at its end
    repeat_first: bool = False  # each page behind it lists the first OpenID of all once more
    list_cut: int | None = None  # the list ends after so many OpenIDs, total knows nothing of it
    total_cut: bool = False  # total says how many the list shows, not how many follow
    total_off: int = 0  # added to the total
    count_off: int = 0  # added to the true count

    # user/info/batchget: OpenIDs a call; entries in any order; the first entry twice; after an
    # unknown OpenID each entry carries the unionid of the entry after it
    batch_limit: int = 100
    shuffle: bool = False
    repeat_user: bool = False
    unionid_shift: bool = False
    shift_after_lost: bool = False  # the same after one who left, is called so or is left out

    # expires_in of a new token, seconds; calls a Beijing day and a minute by endpoint
    token_lifetime: int = 7200
    daily_quota: dict[str, int] = field(default_factory=dict)
    minute_quota: dict[str, int] = field(default_factory=dict)

    clock_off: int = 0  # seconds by which the Date of an answer is wrong

    # after every N calls with a token: another program refreshes it; someone follows; leaves
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
