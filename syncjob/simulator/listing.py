"""The answer of user/get: one page of the list and its cursor.

Tokens, quotas and faults are handled before, in api.py.
"""

from syncjob.simulator.account import Account
from syncjob.simulator.switches import Switches

_PAST_END = {
    "no-data": '{{"total":{total},"count":{count},"next_openid":""}}',
    "empty-data": '{{"total":{total},"count":{count},"data":{{}},"next_openid":""}}',
    "null-data": '{{"total":{total},"count":{count},"data":null,"next_openid":""}}',
    "null-openid": '{{"total":{total},"count":{count},"data":{{"openid":null}},"next_openid":""}}',
    "empty-openid": '{{"total":{total},"count":{count},"data":{{"openid":[]}},"next_openid":""}}',
    "no-total": '{{"count":{count},"next_openid":""}}',
}


def list_page(account: Account, switches: Switches, cursor: str | None) -> str | int:
    """Return the JSON of the page after `cursor` (None: the first page), or an errcode.

    A cursor that nobody ever had is 40003. Each page names the cursor of the next one, and so does
    the last page: only the empty page past the end names none.
    """
    start = _start(account, switches, cursor)
    if start is None:
        return 40003
    end = _end(account, switches)
    openids, beyond = account.page(start, switches.page_size, end)
    if not openids and start and switches.loop == "restart":
        openids, beyond = account.page(0, switches.page_size, end)
    total = _total(account, switches) + switches.total_off
    count = len(openids) + switches.count_off
    if not openids:
        return _PAST_END[switches.past_end].format(total=total, count=count)
    listed = [""] if switches.blank_entry else []
    listed += openids
    if switches.repeat_entry:
        listed.append(openids[0])
        count += 1
    if switches.repeat_first and start:
        first, _ = account.page(0, 1, end)
        listed += first
        count += 1
    following = openids[-1]
    if switches.loop == "still" and cursor:
        following = cursor
    last_page = beyond >= end
    tail = f',"next_openid":"{following}"'
    if last_page and switches.last_cursor != "last":
        tail = {"empty": ',"next_openid":""', "space": ',"next_openid":" "', "absent": ""}[
            switches.last_cursor
        ]
    quoted = '","'.join(listed)
    return f'{{"total":{total},"count":{count},"data":{{"openid":["{quoted}"]}}{tail}}}'


def _end(account: Account, switches: Switches) -> int:
    """Return the position before which the list ends."""
    if switches.list_cut is None:
        return account.end
    _, end = account.page(0, switches.list_cut)
    return end


def _total(account: Account, switches: Switches) -> int:
    if not switches.total_cut:
        return account.total
    return min(account.listed, account.end if switches.list_cut is None else switches.list_cut)


def _start(account: Account, switches: Switches, cursor: str | None) -> int | None:
    """Return the position at which the page begins, None for a refused cursor."""
    if cursor == "" and switches.empty_cursor == "40003":
        return None
    if not cursor:
        return 0
    index = account.find(cursor)
    place = account.place(cursor)
    if index is None or place is None:
        return None
    if switches.unfollowed_cursor == "40003" and not account.follows(index):
        return None
    if switches.loop == "page-one":
        return 0
    return place if switches.cursor == "inclusive" else place + 1
