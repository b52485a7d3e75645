"""A gateway before a served WeChat: it passes requests on, and changes what goes by."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

# Turns an answer's JSON into another value; gets the path, and the number of requests before.
Change = Callable[[str, int, Any], Any]


@contextmanager
def gateway(
    to: str,
    change: Change = lambda _path, _before, answer: answer,
    *,
    target: Callable[[str], str] = lambda target: target,
) -> Iterator[str]:
    """Serve at the URL that is yielded; `target` may change the path and query of a request."""
    served = urlsplit(to)
    lock, counts = threading.Lock(), [0]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1

        def pass_on(self) -> None:
            with lock:
                before = counts[0]
                counts[0] += 1
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            connection = HTTPConnection(served.hostname or "", served.port or 0, timeout=30)
            try:
                headers = {"Content-Type": "application/json"}
                connection.request(self.command, target(self.path), body, headers)
                content = connection.getresponse().read()
            finally:
                connection.close()
            changed = change(urlsplit(self.path).path, before, json.loads(content))
            content = json.dumps(changed).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = pass_on

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
