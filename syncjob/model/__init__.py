"""The values that the layers hand to each other."""

from syncjob.model.cleaning import BIGINT
from syncjob.model.records import (
    Account,
    AccountStatus,
    Allowance,
    Answers,
    Candidate,
    Command,
    FollowerCount,
    PageSaved,
    Refusal,
    Run,
    RunStatus,
    Sweep,
    SweepSealed,
    SweepStatus,
    Traffic,
    UnionidConflict,
)
from syncjob.model.replies import (
    AccessToken,
    FollowerPage,
    MalformedReply,
    TokenClaim,
    shown,
)
from syncjob.model.user_info import (
    UserInfo,
    documented_user_infos,
    user_info_from_json,
    user_infos_from_json,
)

__all__ = [
    "BIGINT",
    "AccessToken",
    "Account",
    "AccountStatus",
    "Allowance",
    "Answers",
    "Candidate",
    "Command",
    "FollowerCount",
    "FollowerPage",
    "MalformedReply",
    "PageSaved",
    "Refusal",
    "Run",
    "RunStatus",
    "Sweep",
    "SweepSealed",
    "SweepStatus",
    "TokenClaim",
    "Traffic",
    "UnionidConflict",
    "UserInfo",
    "documented_user_infos",
    "shown",
    "user_info_from_json",
    "user_infos_from_json",
]
