"""The values that the layers hand to each other."""

from syncjob.model.cleaning import BIGINT
from syncjob.model.pseudonyms import key_hashes, shown
from syncjob.model.quota import (
    CHINA,
    QuotaState,
    QuotaUse,
    Spent,
    ToldQuota,
    quota_day,
)
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
)
from syncjob.model.user_info import (
    UserInfo,
    documented_user_infos,
    user_info_from_json,
    user_infos_from_json,
)

__all__ = [
    "BIGINT",
    "CHINA",
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
    "QuotaState",
    "QuotaUse",
    "Refusal",
    "Run",
    "RunStatus",
    "Spent",
    "Sweep",
    "SweepSealed",
    "SweepStatus",
    "TokenClaim",
    "ToldQuota",
    "Traffic",
    "UnionidConflict",
    "UserInfo",
    "documented_user_infos",
    "key_hashes",
    "quota_day",
    "shown",
    "user_info_from_json",
    "user_infos_from_json",
]
