"""How requests leave for WeChat: what the socket is given, and how often."""

import socket
import threading

import pytest

from syncjob.wechat.exchange import Exchange
from tests.loopback import answering


def test_a_request_is_sent_in_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    """A head by itself would be a packet more, and a turn more of the thread that sends it."""
    sent: list[bytes] = []
    really = socket.socket.sendall

    def sendall(self: socket.socket, data: bytes) -> None:
        if self.getpeername()[1] == port:
            sent.append(data)
        really(self, data)

    monkeypatch.setattr(socket.socket, "sendall", sendall)
    with answering([b"{}", b"{}"]) as server:
        port = int(server.url.rpartition(":")[2])
        one = Exchange(server.url, timeout=5)
        for number in range(2):
            one.send("POST", "/cgi-bin/tags/get", {"a": "b"}, {"number": number})
        one.close()
    heads, bodies = zip(*(piece.split(b"\r\n\r\n") for piece in sent), strict=True)
    assert all(head.startswith(b"POST /cgi-bin/tags/get?a=b HTTP/1.1\r\n") for head in heads)
    assert bodies == (b'{"number":0}', b'{"number":1}')


def test_a_connection_that_is_kept_is_closed_with_the_exchange() -> None:
    """Not when Python happens to throw its objects away."""
    rest: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            client, _ = listener.accept()
            with client:
                client.recv(65_536)
                client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
                rest.append(client.recv(1))

        server = threading.Thread(target=serve, daemon=True)
        server.start()
        one = Exchange(f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=5)
        one.send("GET", "/", None, None)
        one.close()
        server.join(5)
    assert rest == [b""]
