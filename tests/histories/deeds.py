"""What people do, and what WeChat does to them, between two calls of the job or two runs.

Each deed takes a number, `k`, that picks one of those who can do it; where nobody can, nothing
happens. So a history is a list of names and numbers.
"""

from collections import defaultdict
from collections.abc import Callable

from syncjob.simulator import Simulator
from tests.histories.truth import Lags

DAY = 86_400
MOST_EVER = 60  # people in a history
REFUSALS = (40003, 43004, 46004, 50005, 65302)
WAITS = (7, 70, 3_700, 30_000, DAY + 60, 8 * DAY)


class Deeds:
    """The deeds done to one account, and what of them makes the list lag behind the truth.

    Of every `timeless`-th person WeChat never says since when they follow; 0 is nobody.
    """

    def __init__(self, simulator: Simulator, timeless: int) -> None:
        self.simulator = simulator
        self.account = simulator.account
        self.lags = Lags(defaultdict(list))
        self._timeless = timeless
        self._mark_timeless()

    def people(self, following: bool | None = None) -> list[str]:
        """Return who follows now, or does not, or everybody, in the order of following."""
        return [
            self.account.openid(index)
            for index in range(self.account.ever)
            if following is None or self.account.follows(index) == following
        ]

    def settle(self) -> None:
        """Mend all that is wrong with the answers."""
        self.simulator.faults.clear()
        self.simulator.switches.total_off = 0
        self.mend(0)
        for openid in self.people():
            self.account.show(openid)
            self.account.cure(openid)

    def follow(self, k: int) -> None:
        """Up to three new people follow, anywhere in the list."""
        self.account.follow(min(k % 3 + 1, max(MOST_EVER - self.account.ever, 0)))
        self._mark_timeless()

    def leave(self, k: int) -> None:
        """Someone leaves."""
        self._each(k, True, self.account.unfollow)

    def leave_many(self, k: int) -> None:
        """Every other follower leaves, or every third …"""
        for openid in self.people(True)[:: k % 4 + 1]:
            self.account.unfollow(openid)

    def come_back(self, k: int) -> None:
        """Someone who left follows again."""
        self._each(k, False, self.account.refollow)

    def rename(self, k: int) -> None:
        """An operator gives someone another remark and another tag."""
        remark, tags = f"客户 {k}" if k % 3 else "", [2, 100 + k][: k % 3]
        self._each(
            k, True, lambda openid: self.account.override(openid, remark=remark, tagid_list=tags)
        )

    def hide(self, k: int) -> None:
        """The list does not show someone who follows."""
        self._each(k, True, self._lagging(self.account.hide))

    def linger(self, k: int) -> None:
        """The list keeps someone, leaving now or soon or gone already."""
        if k % 2:
            self._each(k, True, self._lagging(self.account.linger), self.account.unfollow)
        else:
            self._each(k, None, self._lagging(self.account.linger))

    def show(self, k: int) -> None:
        """The list is right about someone again."""
        self._each(k, None, self.account.show)

    def poison(self, k: int) -> None:
        """Every answer about someone is 40003."""
        self._each(k, None, self.account.poison)

    def refuse(self, k: int) -> None:
        """WeChat refuses to speak of someone, by both endpoints or by user/info alone."""
        errcode, batches = REFUSALS[k % len(REFUSALS)], k % 3 > 0
        self._each(k, None, lambda openid: self.account.refuse(openid, errcode, batches=batches))

    def vanish(self, k: int) -> None:
        """WeChat refuses to speak of somebody that the list does not show, gone or not."""
        if k % 2:
            self._each(k, True, self.account.unfollow, self.account.refuse)
        else:
            self._each(k, True, self._lagging(self.account.hide), self.account.refuse)

    def garble(self, k: int) -> None:
        """Every answer about someone is unreadable."""
        self._each(k, None, self.account.garble)

    def blank(self, k: int) -> None:
        """Batches call someone unfollowed."""
        self._each(k, None, self.account.blank)

    def forget(self, k: int) -> None:
        """Batches leave someone out."""
        self._each(k, None, self.account.forget)

    def hide_unionid(self, k: int) -> None:
        """Batches leave someone's unionid out."""
        self._each(k, None, self.account.hide_unionid)

    def move_unionids(self, k: int) -> None:
        """The account is bound to another Open Platform: everybody has another unionid."""
        self.account.move_unionids()

    def cure(self, k: int) -> None:
        """All answers about someone are right again."""
        self._each(k, None, self.account.cure)

    def cut(self, k: int) -> None:
        """The list ends early; every second time its total agrees."""
        self.simulator.switches.list_cut, self.simulator.switches.total_cut = k // 2, bool(k % 2)
        self.lags.short = True

    def circle(self, k: int) -> None:
        """The list does not end."""
        self.simulator.switches.loop = ("restart", "still", "page-one")[k % 3]
        self.lags.short = True

    def mend(self, k: int) -> None:
        """The list is whole again."""
        switches = self.simulator.switches
        switches.list_cut, switches.total_cut, switches.loop = None, False, "never"

    def lose_tokens(self, k: int) -> None:
        """Another program refreshes the token."""
        self.simulator.kill_tokens()

    def _each(self, k: int, following: bool | None, *actions: Callable[[str], object]) -> None:
        people = self.people(following)
        for action in actions if people else ():
            action(people[k % len(people)])

    def _lagging(self, action: Callable[[str], object]) -> Callable[[str], object]:
        def lag(openid: str) -> None:
            self.lags.people.add(openid)
            action(openid)

        return lag

    def _mark_timeless(self) -> None:
        for index in range(self.account.ever) if self._timeless else ():
            if index % self._timeless == 0:
                self.account.omit(self.account.openid(index), "subscribe_time")


DEEDS = [name for name in vars(Deeds) if name[0] != "_" and name not in ("people", "settle")]
