"""The format of OpenIDs. Pure: no HTTP, no SQL."""

from syncjob.model.cleaning import is_clean

LONGEST_OPENID = 512  # WeChat's have 28. PostgreSQL's indexes refuse much longer ones.
PREFIX_LENGTH = 6


def is_openid(value: object) -> bool:
    """Return whether the value can be an OpenID: a short text that needs no cleaning."""
    if not isinstance(value, str) or len(value) > LONGEST_OPENID:
        return False
    return bool(value.strip()) and is_clean(value)


def common_prefix(first: str, last: str) -> str | None:
    """Return the first six characters if both OpenIDs share them, else None.

    The OpenIDs of one account share them in every published sample, but WeChat does not promise
    it. For sorted OpenIDs it is enough to compare the first and the last.
    """
    prefix = first[:PREFIX_LENGTH]
    return prefix if len(prefix) == PREFIX_LENGTH and last.startswith(prefix) else None
