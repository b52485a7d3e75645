"""WeChat's answers about OpenIDs, and the result of storing them. Pure: no HTTP, no SQL."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from syncjob.model.user_info import UserInfo


@dataclass(frozen=True, slots=True)
class Refusal:
    """An OpenID that WeChat refused in a call of its own, or whose answer was not trusted."""

    openid: str = field(repr=False)
    errcode: int | None
    reason: str
    rid: str | None = None


@dataclass(frozen=True, slots=True)
class Answers:
    """WeChat's answers about some OpenIDs. Each OpenID is in exactly one of the four lists.

    `following` and `gone` are certain. `missing` were absent from their answer, or their entry
    said nothing usable. `ends` are the indexes in `following` at which each answer of batchget
    ends.
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
        """All OpenIDs of the four lists."""
        following = [info.openid for info in self.following]
        refused = [refusal.openid for refusal in self.refused]
        return [*following, *self.gone, *self.missing, *refused]

    @property
    def batches(self) -> list[list[UserInfo]]:
        """The entries of `following`, one list per answer of batchget."""
        places = [0, *self.ends, len(self.following)]
        return [self.following[start:end] for start, end in pairwise(places) if start < end]

    def add_batch(self, infos: Sequence[UserInfo]) -> None:
        """Append the followers of one answer of batchget, in its order."""
        self.following.extend(infos)
        self.ends.append(len(self.following))

    def extend(self, others: "Answers") -> None:
        """Append the answers about other OpenIDs."""
        self.ends.extend(len(self.following) + end for end in others.ends)
        self.following.extend(others.following)
        self.gone.extend(others.gone)
        self.missing.extend(others.missing)
        self.refused.extend(others.refused)


@dataclass(frozen=True, slots=True)
class UnionidConflict:
    """A unionid that differs from the stored one, or that two OpenIDs share (`stored` is None).

    `is_plain`: the answered unionid replaces a stored one, and no other OpenID has it.
    """

    openid: str = field(repr=False)
    answered: str = field(repr=False)
    stored: str | None = field(repr=False)
    is_plain: bool = False


@dataclass(frozen=True, slots=True)
class AnswersSaved:
    """The result of storing answers.

    `conflicts`: unionids that contradict the database; nothing was stored for these OpenIDs.
    `known`: OpenIDs of held pages that the database already had.
    """

    conflicts: list[UnionidConflict]
    known: list[str] = field(repr=False)
