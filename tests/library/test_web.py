"""One request: the deadline covers all of it, whatever the server does; a redirect is only told."""

import socket
import threading
import time
from contextlib import contextmanager

import pytest

from emoticrafter.web import NoReplyError, Request, is_address, redirect


@contextmanager
def raw(*pieces, forever=b"", pause=0.01):
    """The address of a server that sends the pieces, then `forever` until nobody listens any more."""
    over, ended = threading.Event(), threading.Event()

    def serve():
        with listener, listener.accept()[0] as connection:
            connection.settimeout(10)
            with_data = connection.recv(65536)
            try:
                for piece in pieces:
                    connection.sendall(piece)
                while with_data and forever and not over.wait(pause):
                    connection.sendall(forever)
                if not forever:
                    if pieces:  # nothing more, but for what is still to come: to close now could reset the connection
                        connection.shutdown(socket.SHUT_WR)
                    while connection.recv(65536):  # silent until it is cut off
                        pass
            except OSError:
                pass
        ended.set()

    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(10)
    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        assert over.is_set() or ended.wait(5), "the connection is still open"
        over.set()


def ask(address, seconds=5.0, limit=1000, scheme="http"):
    return Request(f"{scheme}://{address}/v1", b"{}", {}, 60, limit).send(seconds)


OK = b"HTTP/1.1 200 OK\r\n"
TRICKLES = {
    "a status line": ((), b"H"),
    "headers": ((OK,), b"X: y\r\n"),
    "one header": ((OK, b"X: "), b"y"),
    "100 Continue": ((), b"HTTP/1.1 100 Continue\r\n\r\n"),
    "chunks": ((OK, b"Transfer-Encoding: chunked\r\n\r\n"), b"1\r\n \r\n"),
    "the size of a chunk": ((OK, b"Transfer-Encoding: chunked\r\n\r\n"), b"0"),
    "what follows the chunks": ((OK, b"Transfer-Encoding: chunked\r\n\r\n0\r\n"), b"X: y\r\n"),
    "a body": ((OK, b"Content-Length: 999\r\n\r\n"), b" "),
    "silence": ((), b""),
}


@pytest.mark.parametrize("what", TRICKLES)
def test_the_deadline_covers_whatever_trickles_and_the_connection_ends(what):
    pieces, forever = TRICKLES[what]
    with raw(*pieces, forever=forever) as address:
        began = time.monotonic()
        with pytest.raises(NoReplyError, match=r"its answer was not complete after 0\.3 seconds"):
            ask(address, 0.3)
        assert time.monotonic() - began < 3


def test_the_deadline_covers_the_handshake_of_tls_and_of_a_proxy(monkeypatch):
    for forever in (b"", b"\x16"):
        with raw(forever=forever) as address, pytest.raises(NoReplyError, match=r"not complete|SSL"):
            ask(address, 0.3, scheme="https")
    monkeypatch.delenv("no_proxy", raising=False)
    with raw(OK, forever=b"X: y\r\n") as address:
        monkeypatch.setenv("https_proxy", f"http://{address}")
        with pytest.raises(NoReplyError, match=r"not complete|too long"):
            ask("models.example", 0.3, scheme="https")


def test_what_is_not_http_is_no_reply():
    replies = (
        b"\x00\xff" * 5000,
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000,
        OK + b"X: y\r\n" * 1000 + b"\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n-5\r\nabcdefgh",
        OK + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffffff\r\nabc",
        OK + b"Content-Length: 10\r\n\r\nshort",
        b"",
    )
    for reply in replies:
        with raw(reply) as address, pytest.raises(NoReplyError, match=r"^[A-Z]\w+: "):
            ask(address)


def test_a_body_is_read_up_to_its_limit():
    for size, whole in ((1000, True), (1001, False), (10**7, False)):
        with raw(OK + b"\r\n" + b"x" * size) as address:
            reply = ask(address)
        assert (len(reply.body), reply.whole) == (1000, whole)


def test_a_redirect_is_told_and_not_followed_and_leads_to_the_web_or_nowhere():
    nowhere = "http://[::1 ftp://host/x file:///etc/passwd http://host:99999/ javascript:1 http://a\\@b data:,x"
    for location in ["", " ", *nowhere.split(), "http://" + "ü" * 5 + "/"]:
        with raw(OK.replace(b"200 OK", b"302 Found") + f"Location: {location}\r\n\r\n".encode()) as address:
            reply = ask(address)
        assert reply.status == 302
        assert redirect("http://127.0.0.1/a/b", reply) is None, location
    for location, target in (("/x", "http://host/x"), ("c", "http://host/a/c"), ("https://other/", "https://other/")):
        reply.headers.replace_header("Location", location)
        assert redirect("http://host/a/b", reply) == target


def test_an_address_is_of_the_web_and_holds_no_login_and_no_query():
    assert is_address("https://[::1]:8000/v1")
    for url in ("file:///x", "http://[::1", "http://a@b", "http://host?x", "http://host#x", f"http://{'a' * 70}", ""):
        assert not is_address(url), url
