"""Parses PostgreSQL URLs: which database, and which options the driver gets.

libpq itself parses them, so that they mean the same here and in psql. Options that libpq does not
document never reach the driver. Nothing here connects.
"""

import difflib
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from sqlalchemy import URL

from syncjob.errors import SettingsError

# A user and perhaps a password, up to the @. A host may be followed by a port, of digits, and an @
# behind that belongs to an option; a password may contain everything else but an @.
USER = re.compile(
    r"(?P<user>[^:/?@\[\]]*)(?::(?!\d*(?:,[^@/?]*)?(?:/[^@?]*)?\?)(?P<password>[^@]*))?@"
)
OPTION_NAME = re.compile(r"[A-Za-z][\w.-]{0,40}")
# Options of other programs' URLs, in lower case without _ and -, and the equivalent here.
SAME = {
    **dict.fromkeys(
        ("schema", "currentschema", "searchpath"),
        "write options=-csearch_path%3DNAME, or ALTER ROLE … SET search_path = NAME",
    ),
    **dict.fromkeys(
        ("ssl", "usessl", "tls", "requiressl", "encrypt"),
        "write sslmode=require, or another sslmode",
    ),
    **dict.fromkeys(("sslca", "sslrootcertificate", "sslcafile"), "write sslrootcert"),
    **dict.fromkeys(
        ("timeout", "connectiontimeout", "connecttimeout", "logintimeout"), "write connect_timeout"
    ),
    **dict.fromkeys(("username", "login"), "write user"),
    **dict.fromkeys(("database", "db", "databasename"), "write dbname"),
    **dict.fromkeys(("pass", "passwd", "pwd"), "write password"),
    **dict.fromkeys(("server", "hostname", "unixsocket", "socket"), "write host"),
    **dict.fromkeys(("dsn", "conninfo"), "write its parts as a URL, or service=NAME"),
    **dict.fromkeys(
        ("charset", "encoding", "characterencoding"), "leave it out: syncjob uses UTF-8 always"
    ),
}
# Settings of a session that the server has and libpq does not.
SESSION_SETTINGS = {
    *("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "timezone"),
    *("role", "work_mem", "datestyle", "default_transaction_read_only", "jit", "lc_messages"),
}
# Options of poolers, drivers and frameworks that syncjob lacks or sets itself.
NOT_HERE = {
    *("autocommit", "preparethreshold", "rowfactory", "cursorfactory", "context", "connectargs"),
    *("pgbouncer", "poolsize", "pooltimeout", "poolrecycle", "poolpreping", "poolclass", "pool"),
    *("maxoverflow", "connectionlimit", "maxconnections", "minsize", "maxsize", "connmaxage"),
    *("connhealthchecks", "statementcachesize", "preparedstatementcachesize", "commandtimeout"),
    *("sockettimeout", "isolationlevel", "echo", "future", "binaryparameters", "asyncfallback"),
    *("serversettings", "sslaccept", "poolmode", "workarounds", "supa", "connectioncachesize"),
}
# The valid values, for errors where libpq refuses one.
CHOICES = {
    "sslmode": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "target_session_attrs": (
        *("any", "read-write", "read-only", "primary", "standby", "prefer-standby"),
    ),
    "channel_binding": ("disable", "prefer", "require"),
    "gssencmode": ("disable", "prefer", "require"),
    "sslnegotiation": ("postgres", "direct"),
    "load_balance_hosts": ("disable", "random"),
}
MEANT = {**dict.fromkeys(("true", "1", "on", "yes"), "require"), "false": "disable"}
NUMBERS = {
    *("connect_timeout", "tcp_user_timeout"),
    *("keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count"),
}
NOWHERE = "/dev/null"  # not a folder, so it cannot contain a socket


def parse(database_url: str) -> tuple[URL, dict[str, str]]:
    """Return the URL for SQLAlchemy, without a password, and the options for the driver.

    Raises SettingsError for a URL that cannot be parsed, for options that libpq does not know, and
    for values that it refuses.
    """
    options = _postgresql_options(database_url)
    port = options.get("port", "")
    url = URL.create(
        "postgresql+psycopg",
        host=options.get("host"),
        port=int(port) if port.isdigit() else None,
        database=options.get("dbname"),
    )
    return url, options


def _postgresql_options(database_url: str) -> dict[str, str]:
    from psycopg import Error
    from psycopg.pq import Conninfo

    whole = database_url.partition("://")[2]
    if whole.partition("?")[0].count("@") > 1:
        # Else the text behind the first one would be shown as the host.
        raise SettingsError(
            "SYNCJOB_DATABASE_URL has more than one @; percent-encode those of the password (%40)"
        )
    login = USER.match(whole)
    place, _, query = whole[login.end() if login else 0 :].partition("?")
    _check_hosts(place.partition("/")[0])
    given = _query(query)
    try:
        read = Conninfo.parse(f"postgresql://{place}".encode())
        options = {
            option.keyword.decode(): option.val.decode()
            for option in read
            if option.val and option.val.strip(b",")  # ports of several hosts, all empty
        }
    except (Error, UnicodeDecodeError):
        raise SettingsError(
            "SYNCJOB_DATABASE_URL cannot be read as a URL; characters such as @ / : # in a "
            "password must be percent-encoded, and a % that encodes nothing is written %25"
        ) from None
    for name in ("user", "password"):
        if login and login[name]:
            options[name] = unquote(login[name])
    for name, value in given.items():
        if name != "host" and options.get(name, value) != value:
            raise SettingsError(
                f"SYNCJOB_DATABASE_URL says {name} twice; expected it before the ?, or behind it"
            )
    options |= given
    for name, value in options.items():
        if "\0" in value:
            raise SettingsError(f"SYNCJOB_DATABASE_URL has %00 in {name}; expected none")
    _check_values(options)
    return {**options, "client_encoding": "UTF8"}


def _check_hosts(hosts: str) -> None:
    for host in hosts.split(","):
        if host.count(":") > 1 and not host.startswith("["):
            raise SettingsError(
                "SYNCJOB_DATABASE_URL has an IPv6 address without brackets; write "
                "postgresql://[::1]:5432/database"
            )
        port = host.rpartition("]")[2].partition(":")[2]
        if not re.fullmatch(r"\d{0,5}", port, re.ASCII):
            raise SettingsError("SYNCJOB_DATABASE_URL has a port that is no number")


def _query(query: str) -> dict[str, str]:
    """Return the options behind the ?; all of them are libpq's."""
    known = _known()
    pairs = [pair.partition("=") for pair in query.split("&") if pair]
    names = [unquote(name) for name, _, _ in pairs]
    for name, times in Counter(names).items():
        if name not in known:
            raise SettingsError(_unknown(name, known))
        if times > 1:
            more = "; write host=a,b&port=1,2" if name in ("host", "port", "hostaddr") else ""
            raise SettingsError(f"SYNCJOB_DATABASE_URL has the option {name!r} {times} times{more}")
    options = {}
    for name, (_, sign, value) in zip(names, pairs, strict=True):
        if not sign:
            raise SettingsError(f"SYNCJOB_DATABASE_URL has the option {name!r} without a value")
        # To libpq a + is a plus, but programs that write URLs mean a blank.
        if name in ("options", "application_name"):
            value = value.replace("+", " ")
        options[name] = unquote(value)
    return options


def _known() -> set[str]:
    """Return the options of the installed libpq."""
    from psycopg.pq import Conninfo

    return {option.keyword.decode() for option in Conninfo.get_defaults()}


def _unknown(name: str, known: set[str]) -> str:
    """Return the error for an unknown option, with the one that may be meant."""
    if not OPTION_NAME.fullmatch(name):  # perhaps a part of a password
        return (
            "SYNCJOB_DATABASE_URL has an option whose name is none; a ? in a password is "
            "written %3F"
        )
    bare = re.sub(r"[_.-]", "", name).lower()
    plain = {re.sub("_", "", one): one for one in known | SESSION_SETTINGS}
    cure = SAME.get(bare)
    if cure is None and bare in NOT_HERE:
        cure = "leave it out: it is for another program or driver"
    near = plain.get(bare) or next(iter(difflib.get_close_matches(name, known, n=1)), None)
    if cure is None and near in SESSION_SETTINGS:
        cure = f"write options=-c{near}%3DVALUE, or ALTER ROLE … SET {near}"
    if cure is None:
        cure = f"did you mean {near}?" if near else "leave it out"
    return (
        f"SYNCJOB_DATABASE_URL has the option {name!r}; expected one of PostgreSQL's (libpq): "
        f"{cure}"
    )


def _check_values(options: Mapping[str, str]) -> None:
    if "replication" in options:
        raise SettingsError("SYNCJOB_DATABASE_URL has the option 'replication'; leave it out")
    encoding = options.get("client_encoding", "UTF8")
    if re.sub("[_-]", "", encoding).upper() not in ("UTF8", "UNICODE"):
        raise SettingsError(
            f"SYNCJOB_DATABASE_URL has client_encoding={encoding!r}; leave it out: syncjob uses "
            "UTF-8 always"
        )
    for name in NUMBERS & options.keys():
        if not re.fullmatch(r"\d{1,9}", options[name], re.ASCII):
            raise SettingsError(
                f"SYNCJOB_DATABASE_URL has {name}={options[name]!r}; expected a whole number"
            )
    hosts = [] if options.get("host", "").startswith("@") else _listed(options, "host")
    for host in hosts:
        if re.search(r"^[^/:]+:\d+$|^\[", host):
            raise SettingsError(
                f"SYNCJOB_DATABASE_URL has host={host!r}; write host=a&port=5432, and behind the ? "
                "an IPv6 address without brackets"
            )
    places = max(len(_listed(options, "hostaddr")), len(hosts), 1)
    for name in ("host", "hostaddr", "port"):
        count = len(_listed(options, name))
        if count not in (0, places) and not (name == "port" and count == 1):
            raise SettingsError(f"SYNCJOB_DATABASE_URL names {places} hosts and {count} of {name}")
    refusal = _refusal_of_libpq(options, places)
    if refusal:
        raise SettingsError(_refused(refusal, options))


def _listed(options: Mapping[str, str], name: str) -> list[str]:
    return options[name].split(",") if options.get(name) else []


def _refusal_of_libpq(options: Mapping[str, str], places: int) -> str:
    """Return libpq's error about the options, if it has one, without connecting.

    libpq checks all values when a connection is started. This one goes to a socket that cannot
    exist, and reads no password file.
    """
    from psycopg.conninfo import make_conninfo
    from psycopg.pq import PGconn

    nowhere = {"host": ",".join([NOWHERE] * places), "hostaddr": "", "password": "none"}
    if options.get("gssencmode") == "require":  # which a socket knows nothing of
        nowhere["gssencmode"] = "prefer"
    tried: dict[str, Any] = {**options, **nowhere}
    connection = PGconn.connect_start(make_conninfo("", **tried).encode())
    try:
        said = connection.error_message.decode("utf-8", "replace")
    finally:
        connection.finish()
    return "" if NOWHERE in said else " ".join(said.split())


def _refused(said: str, options: Mapping[str, str]) -> str:
    from psycopg.pq import Conninfo

    for name, choices in CHOICES.items():
        value = options.get(name)
        if value is not None and name in said and value not in choices:
            meant = MEANT.get(value.lower()) if name == "sslmode" else None
            near = meant or next(iter(difflib.get_close_matches(value, choices, n=1)), None)
            hint = f" (did you mean {near}?)" if near else ""
            return (
                f"SYNCJOB_DATABASE_URL has {name}={value!r}; expected one of "
                f"{', '.join(choices)}{hint}"
            )
    variables = [
        option.envvar.decode()
        for option in Conninfo.get_defaults()
        if option.envvar
        and option.keyword.decode() not in options
        and re.search(rf"\b{option.keyword.decode()}\b", said)
    ]
    if variables:
        return f"{variables[0]} in the environment, or a service file, cannot be used: {said}"
    return f"SYNCJOB_DATABASE_URL has options that PostgreSQL's library refuses: {said}"
