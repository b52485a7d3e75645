"""What a setting needs that not every installation has."""

from importlib.util import find_spec

from syncjob.errors import SettingsError


def require_prometheus_client(who: str) -> None:
    """Raise SettingsError, which says how to install it, where prometheus-client is missing."""
    if find_spec("prometheus_client") is None:
        raise SettingsError(
            f"{who} needs prometheus-client; install syncjob with its extra: "
            "pip install 'syncjob[metrics]' (in a checkout: pip install '.[metrics]')"
        )
