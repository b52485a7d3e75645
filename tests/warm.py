"""A syncjob that starts at once: a process that has imported everything forks for each command.

The pages of docs/ run a hundred commands; to import SQLAlchemy for each takes longer than their
work. That the command starts by itself too is tested elsewhere (test_cli.py, test_schema.py).
"""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent
LONGEST_REQUEST = 1 << 20
# In place of the installed command: hands over its words, folder, variables and streams.
CLIENT = """#!{python} -IS
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as server:
    server.connect({path!r})
    asked = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
    socket.send_fds(server, [len(asked).to_bytes(4, "big")], [0, 1, 2])
    server.sendall(asked)
    code = server.recv(1)
sys.exit(code[0] if code else "the command died")
"""


@contextmanager
def warm_syncjob(folder: Path) -> Iterator[str]:
    """Start the process; yield the text of a program that runs syncjob in it."""
    path = str(folder / "s")
    command = [sys.executable, "-X", "utf8", "-m", "tests.warm", path]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        server.stdout.readline()
        try:
            yield CLIENT.format(python=sys.executable, path=path)
        finally:
            server.terminate()


def serve(path: str) -> None:
    """Fork for each command that comes."""
    import syncjob.bootstrap
    import syncjob.cli.main
    import syncjob.cli.progress
    import syncjob.cli.render
    import syncjob.cli.report
    import syncjob.database.dialects.postgresql
    import syncjob.database.dialects.sqlite
    import syncjob.database.store
    import syncjob.job.forecast
    import syncjob.job.intentions
    import syncjob.job.run
    import syncjob.simulator  # noqa: F401

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(16)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the forked
        print("ready", flush=True)  # noqa: T201 - to the process that started this
        while True:
            client, _ = listener.accept()
            with client:
                if os.fork() == 0:
                    listener.close()
                    os._exit(_run(client))


def _run(client: socket.socket) -> int:
    from syncjob.cli.main import run

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    head, streams, _, _ = socket.recv_fds(client, 4, 3)
    asked = client.makefile("rb").read(int.from_bytes(head, "big"))
    arguments, folder, variables = json.loads(asked)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(variables)
    try:
        code = run(arguments)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    sys.stdout.flush()
    sys.stderr.flush()
    client.sendall(bytes([code]))
    return code


if __name__ == "__main__":
    serve(sys.argv[1])
