"""Why a connection to PostgreSQL failed: the reason of each host, and its cure.

libpq has no SQLSTATE for a connection that was never established. So the form of the message
decides: libpq's own are in English, the system's are those of `os.strerror`, and a server's begin
with a severity and two blanks, in the language of the server. Of the server's, the English ones are
matched; in all others the quoted names are.
"""

import errno
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import URL

# The prefixes of psycopg and libpq before a reason, with the address.
PREFIX = re.compile(
    r"(?:connection (?:failed|is bad): )?"
    r"connection to server (?:at \"[^\"]*\"(?: \([^)]*\))?|on socket \"[^\"]*\")(?:, port \d+)?"
    r" failed: "
)
PSYCOPG = re.compile(r"^connection (?:failed|is bad): ")
OF_A_HOST = re.compile(r"^- host: (.*?), port: (.*?), hostaddr: (.*?): ", re.MULTILINE)
SEVERAL = "Multiple connection attempts failed."
SERVER = re.compile(
    r"^[^\s:\"][^:\"\n]{0,30}:  (?=\S)"
)  # a severity; only servers write it like this
QUOTE = "[\"'«»„“”‘’「」『』]"

# Refusals of a server, with the SQLSTATE that it has for them.
REFUSALS = (
    (r"(too many|sorry, too many|remaining connection slots|no more connections)", "53300"),
    (r"the database system is ", "57P03"),  # starting up, shutting down, in recovery mode …
    (r"peer authentication failed|ident authentication failed", "peer"),
    (r".*pg_hba\.conf", "28000"),
    (r"(.* authentication failed|no such user|tenant or user not found)", "28P01"),
    (r"(no such database|database .* does not exist)", "3D000"),
    (r"role .* (does not exist|is not permitted)", "28000"),
    (r"permission denied for database", "42501"),
    (r"unsupported startup parameter|.*support command-line options", "options"),
    (r".*\bUTF8\b", "encoding"),
)
# libpq's own messages; anchored, since the names in them may be anything.
OF_LIBPQ = (
    (r"(connection )?timeout expired", "timeout"),
    (r"failed to resolve host|could not translate host name|\[Errno -\d+\] ", "dns"),
    (r"could not (get|determine) home directory", "home"),
    (r"root certificate file .* does not exist|could not read root certificate file", "ca"),
    (r"private key file .* (has group or world access|must be owned)", "key rights"),
    (
        r"(could not (open|read|load|stat) (certificate|private key|SSL certificate)"
        r"|certificate (present|does not match)|private key file)",
        "client certificate",
    ),
    (r"server does not support SSL", "no tls"),
    (r"server (common name|certificate)|.*certificate verify failed", "certificate"),
    (r"fe_sendauth: no password supplied", "password"),
    (r"(session is|server is) (not )?(read-only|in hot standby)", "attributes"),
    (r"SSL error: .*alert (certificate|unknown ca|bad certificate)", "client certificate"),
    (
        r"received invalid|invalid response|expected authentication request|server sent an error"
        r"|could not (send|receive) "
        r"|server closed the connection|SSL SYSCALL error|SSL error",
        "no postgresql",
    ),
)
NOT_THERE = (
    *(errno.ECONNREFUSED, errno.ECONNRESET, errno.ENOENT, errno.ENOTDIR),
    *(errno.ENETUNREACH, errno.ENETDOWN, errno.EHOSTUNREACH, errno.EHOSTDOWN),
)
SYSTEM = {
    **{os.strerror(number): "unreached" for number in NOT_THERE},
    os.strerror(errno.ETIMEDOUT): "timeout",
    os.strerror(errno.EACCES): "socket rights",
}
RUN_AS = "run it as the user of the job: runuser -u syncjob -- syncjob doctor (for example)"
CONNECTION_CURES = {
    "unreached": "is the server up? Check host and port of SYNCJOB_DATABASE_URL",
    "no socket": "is the server up, and its socket there? Name the folder with host=/FOLDER",
    "timeout": "no answer in time: check host and port of SYNCJOB_DATABASE_URL, and the firewall; "
    "a pooler may be waiting for PostgreSQL itself",
    "dns": "check the host of SYNCJOB_DATABASE_URL, and the DNS of this machine",
    "home": "HOME is that of another user: set it to the home of the user that runs syncjob, or "
    "name the files with sslrootcert, sslcert and sslkey",
    "ca": "name the certificate of the server's CA with sslrootcert=FILE, or sslrootcert=system",
    "key rights": "the key must be readable by the user that runs syncjob alone: chown, chmod 0600",
    "client certificate": "check sslcert and sslkey, and that the user that runs syncjob may read "
    "both files",
    "certificate": "the server's certificate is not of that host, or not of that CA: check the "
    "host of SYNCJOB_DATABASE_URL, and sslrootcert",
    "no tls": "turn TLS on at the server; or, within a network of your own, write sslmode=prefer",
    "password": "add a password to SYNCJOB_DATABASE_URL, or passfile=FILE",
    "attributes": "no server is as target_session_attrs asks; the job needs one that may be "
    "written to",
    "no postgresql": "does PostgreSQL answer there? Check host and port of SYNCJOB_DATABASE_URL, "
    "and the server's log",
    "socket rights": "the user that runs syncjob may not use that socket: check the rights of its "
    "folder",
    "options": "the pooler takes no options=: ALTER ROLE … SET search_path = … instead",
    "encoding": "make a database with: createdb -T template0 -E UTF8",
    "busy": "the server lets nobody in just now: it starts, or has no session left",
    "peer": "on a local socket the user of the system is asked for: run it as the user that "
    "SYNCJOB_DATABASE_URL names, or name a host and a password",
    "root": RUN_AS,
    "refused": "the server refuses; check user, password and database of SYNCJOB_DATABASE_URL, "
    "and the server's log",
}
NEVER_ASKED = ("unreached", "no socket", "timeout", "dns")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a host could not be used: the reason, and an SQLSTATE or a key of CONNECTION_CURES."""

    host: str
    reason: str
    kind: str


def is_of_connecting(error: Any) -> bool:
    """Tell whether the driver's error says that no connection was established."""
    if getattr(error, "sqlstate", None):
        return False
    return str(error).startswith(
        (
            *("connection failed: ", "connection is bad: ", "connection timeout"),
            *("failed to resolve", "[Errno -"),
        )
    )


def explain(url: URL, error: Any) -> tuple[str, list[Refusal]]:
    """Return the database, and why each of its hosts could not be used."""
    tried = getattr(error, "pgconn", None)
    user, database, host, port = (_text(tried, name) for name in ("user", "db", "host", "port"))
    database = database or url.database or user
    hosts = (url.host or host).split(",")
    text = str(error)
    if SEVERAL in text:
        parts = OF_A_HOST.split(text.partition(SEVERAL)[2])[1:]
        quads = [parts[start : start + 4] for start in range(0, len(parts), 4)]
        said = [(name.strip("'"), port.strip("'"), why.strip()) for name, port, _, why in quads]
        # psycopg leaves out hosts that it cannot resolve, if there are others.
        named = {name for name, _, _ in said}
        said += [
            (name, "", f"failed to resolve host {name!r}") for name in hosts if name not in named
        ]
    elif len(hosts) > 1 and text.startswith("failed to resolve"):
        said = [(name, "", f"failed to resolve host {name!r}") for name in hosts]
    else:
        said = [(host or hosts[0], port or str(url.port or ""), text)]
    needs_password = getattr(tried, "needs_password", False) is True
    found: list[Refusal] = []
    for name, number, whole in said:
        for reason in _reasons(whole):
            place = _address(name, number)
            refusal = _refusal(name, place, reason, user, database, needs_password)
            if refusal not in found:
                found.append(refusal)
    where = ",".join(dict.fromkeys(refusal.host for refusal in found))
    if where.startswith("/"):
        return f"{database!r} of the socket in {where}", found
    return f"{where}/{database}", found


def in_words(refusals: Iterable[Refusal]) -> str:
    """Join the reasons, each once, with its host if there are several."""
    refusals = list(refusals)
    if len({refusal.host for refusal in refusals}) == 1:
        return ", ".join(dict.fromkeys(refusal.reason for refusal in refusals))
    return ", ".join(f"{refusal.host}: {refusal.reason}" for refusal in refusals)


def most_telling(refusals: list[Refusal]) -> Refusal:
    """Return the refusal whose cure helps most: a server that answered comes first."""
    return next((one for one in refusals if one.kind not in (*NEVER_ASKED, "")), refusals[0])


def _text(tried: Any, name: str) -> str:
    value = getattr(tried, name, b"")
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else ""


def _address(host: str, port: str) -> str:
    if host.startswith("/"):
        return host
    host = f"[{host}]" if ":" in host else host
    return (host or "local socket") + ("" if port in ("", "None", "5432") else f":{port}")


def _reasons(whole: str) -> list[str]:
    """Return the reasons of one host: libpq may have tried it with TLS and then without."""
    parts = [part for part in PREFIX.split(whole) if part.strip()]
    # The lines after the first are hints that assume libpq's manual.
    return [PSYCOPG.sub("", part).strip().partition("\n")[0] for part in parts]


def _refusal(
    host: str, place: str, reason: str, user: str, database: str, needs_password: bool
) -> Refusal:
    severity = SERVER.match(reason)
    kind = ""
    if severity is not None:
        said = reason[severity.end() :]
        kind = _of_a_server(said, user, database)
        if needs_password and kind.startswith("28"):
            kind = "password"
        is_local = not host or host.startswith(("/", "@"))
        if kind == "peer" or (kind.startswith("28") and is_local and user == "root"):
            kind = "root" if os.geteuid() == 0 else "peer" if kind == "peer" else kind
    else:
        kind = SYSTEM.get(reason) or next(
            (kind for sign, kind in OF_LIBPQ if re.match(sign, reason)), ""
        )
        if needs_password and not kind:
            kind = "password"
        if kind in ("ca", "client certificate") and _is_elsewhere(reason):
            kind = "home"
        if kind == "unreached" and host.startswith("/"):
            kind = "no socket"
    # In our messages a semicolon begins the cure.
    said = " ".join(reason.split())[:400].replace("; ", ", ")
    return Refusal(place, said, kind)


def _of_a_server(said: str, user: str, database: str) -> str:
    """Return the SQLSTATE or kind of a server's message, in any language."""
    for sign, state in REFUSALS:
        if re.match(sign, said, re.IGNORECASE):
            return state
    named = [
        name
        for name in (user, database)
        if name and re.search(rf"{QUOTE}\s?{re.escape(name)}\s?{QUOTE}", said)
    ]
    if named == [database] and user != database:
        return "3D000"
    if named == [user] and user != database:
        return "28000"
    # A message without names is about the server itself: it starts, or has no session left.
    return "refused" if named or re.search(QUOTE, said) else "busy"


def _is_elsewhere(reason: str) -> bool:
    """Tell whether a file cannot be read because HOME is another user's."""
    return os.strerror(errno.EACCES) in reason and "/.postgresql/" in reason
