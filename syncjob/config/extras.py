"""Optional dependencies that a setting or a command needs."""

from importlib.util import find_spec

from syncjob.errors import SettingsError


def require_prometheus_client(who: str) -> None:
    """Raise SettingsError, with how to install it, if prometheus-client is missing."""
    if find_spec("prometheus_client") is None:
        raise SettingsError(
            f"{who} needs prometheus-client; install syncjob with its extra: "
            "pip install 'syncjob[metrics]' (in a checkout: pip install '.[metrics]')"
        )
