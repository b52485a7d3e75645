"""What WeChat answers about OpenIDs, and what storing it found. Pure: no HTTP, no SQL."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from syncjob.model.user_info import UserInfo


@dataclass(frozen=True, slots=True)
class Refusal:
    """An OpenID that WeChat refused by itself, or whose answer is not to be believed."""

    openid: str = field(repr=False)
    errcode: int | None
    reason: str
    rid: str | None = None


@dataclass(frozen=True, slots=True)
class Answers:
    """What WeChat says of some OpenIDs: each of them is in exactly one of these.

    `following` and `gone` are sure; `missing` got no answer that decides anything. `ends` are the
    places in `following` at which an answer of batchget ends, in its order.
    """

    following: list[UserInfo] = field(default_factory=list)
    gone: list[str] = field(default_factory=list, repr=False)
    missing: list[str] = field(default_factory=list, repr=False)
    refused: list[Refusal] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.following) + len(self.gone) + len(self.missing) + len(self.refused)

    @property
    def openids(self) -> list[str]:
        """Whom they are about."""
        following = [info.openid for info in self.following]
        refused = [refusal.openid for refusal in self.refused]
        return [*following, *self.gone, *self.missing, *refused]

    @property
    def batches(self) -> list[list[UserInfo]]:
        """Those who follow, by the answer that they stood in."""
        places = [0, *self.ends, len(self.following)]
        return [self.following[start:end] for start, end in pairwise(places) if start < end]

    def add_batch(self, infos: Sequence[UserInfo]) -> None:
        """Add one answer about followers, in its order."""
        self.following.extend(infos)
        self.ends.append(len(self.following))

    def extend(self, others: "Answers") -> None:
        """Add what WeChat says of others."""
        self.ends.extend(len(self.following) + end for end in others.ends)
        self.following.extend(others.following)
        self.gone.extend(others.gone)
        self.missing.extend(others.missing)
        self.refused.extend(others.refused)


@dataclass(frozen=True, slots=True)
class UnionidConflict:
    """An answer's unionid that is not the stored one, or that two OpenIDs claim (stored: None).

    `is_plain`: the unionid took another one's place, and no other OpenID has it.
    """

    openid: str = field(repr=False)
    answered: str = field(repr=False)
    stored: str | None = field(repr=False)
    is_plain: bool = False


@dataclass(frozen=True, slots=True)
class AnswersSaved:
    """What storing answers met.

    `conflicts`: where unionids contradict what is stored; of these people nothing was stored.
    `known`: whom of the held pages' people were there already.
    """

    conflicts: list[UnionidConflict]
    known: list[str] = field(repr=False)
