"""What can be an OpenID, and how those of one account begin. Pure: no HTTP, no SQL."""

from syncjob.model.cleaning import is_clean

LONGEST_OPENID = 512  # WeChat's have 28; what is much longer, no index of PostgreSQL's takes
PREFIX_LENGTH = 6


def is_openid(value: object) -> bool:
    """Tell whether an OpenID can be made of the value: a text that needs no cleaning."""
    if not isinstance(value, str) or len(value) > LONGEST_OPENID:
        return False
    return bool(value.strip()) and is_clean(value)


def common_prefix(first: str, last: str) -> str | None:
    """Return the first six characters if both OpenIDs begin with them, else None.

    The OpenIDs of one account do in every published sample; WeChat promises it nowhere. Of sorted
    OpenIDs the first and the last one speak for all between them.
    """
    prefix = first[:PREFIX_LENGTH]
    return prefix if len(prefix) == PREFIX_LENGTH and last.startswith(prefix) else None
