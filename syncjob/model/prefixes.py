"""How the OpenIDs of one account begin: alike, in the first six characters.

Seen in every published sample; WeChat promises it nowhere.
"""

PREFIX_LENGTH = 6


def common_prefix(first: str, last: str) -> str | None:
    """Return the first six characters if both OpenIDs begin with them, else None.

    Of sorted OpenIDs the first and the last one speak for all between them.
    """
    prefix = first[:PREFIX_LENGTH]
    return prefix if len(prefix) == PREFIX_LENGTH and last.startswith(prefix) else None
