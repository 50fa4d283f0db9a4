"""Requests over HTTP, each with a deadline for all of it: name, connection, TLS, status, headers and body.

Only http and https are spoken, to this computer without a proxy. A redirect is a reply like any other: whoever asked
decides, by `redirect`, whether to follow it.
"""

import functools
import http.client
import ipaddress
import re
import socket
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from time import monotonic
from typing import TypeVar
from urllib.parse import urljoin, urlsplit

POLL_S = 0.1
T = TypeVar("T")


class NoReplyError(OSError):
    """No whole reply came; the message says why, in words of the network's."""


class LateError(NoReplyError):
    """No whole reply came in time."""


@dataclass(frozen=True)
class Reply:
    """What a server answered; `whole` says whether the body ended before the limit of bytes."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes
    whole: bool


def is_address(url: str) -> bool:
    """Whether it is http(s)://host[:port][/path] and nothing else: a query would swallow what is appended."""
    try:
        (urlsplit(url).hostname or "").encode("idna")  # as connecting will: a label is 1 to 63 characters long
    except ValueError:  # UnicodeError is one
        return False
    return _is_web(url) and not re.search(r"[?#@]", url)


def _is_web(url: str) -> bool:
    try:
        parts = urlsplit(url)
        plain = parts.port != 0 and not re.search(r"[^!-~]|\\", url)
    except ValueError:
        return False
    return plain and parts.scheme in ("http", "https") and bool(parts.hostname)


def is_this_computer(url: str) -> bool:
    """Whether an address is this computer's, as it is written: no name is looked up."""
    host = urlsplit(url).hostname
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def proxies(url: str) -> urllib.request.ProxyHandler:
    """The environment's proxies, but none to this computer: a proxy's 127.0.0.1 is another machine."""
    return urllib.request.ProxyHandler({} if is_this_computer(url) else None)


def redirect(url: str, reply: Reply) -> str | None:
    """Where a reply sends whoever asked `url`; None if that is not an address of the web."""
    try:
        target = urljoin(url, reply.headers.get("Location") or "\\")
    except ValueError:
        return None
    return target if _is_web(target) else None


def within(
    seconds: float,
    action: Callable[[], T],
    check: Callable[[], None] = lambda: None,
    clock: Callable[[], float] = monotonic,
) -> T:
    """What `action` gives, waited for while another thread has it done.

    Args:
        seconds: After so many nobody waits any more, whatever `action` hangs on.
        action: Runs in a daemon, which cannot keep the program alive once nobody waits for it.
        check: Called while waiting; what it raises ends the wait.
        clock: Time, replaceable in tests.

    Raises:
        LateError: It took longer.
        Exception: Of `action` or `check`.
    """
    result: Future[T] = Future()

    def run() -> None:
        try:
            result.set_result(action())
        except BaseException as error:
            result.set_exception(error)

    threading.Thread(target=run, name="emoticrafter-web", daemon=True).start()
    deadline = clock() + seconds
    while not wait([result], max(0.0, min(POLL_S, deadline - clock()))).done:
        check()
        if clock() >= deadline:
            raise LateError(f"its answer was not complete after {seconds:g} seconds")
    return result.result()


class Request:
    """One request; another thread may cut it off at any moment.

    Args:
        url: http or https.
        data: Posted; None asks with GET.
        headers: Sent.
        silence: Seconds that the server may say nothing.
        limit: Bytes of the body that are read.
    """

    def __init__(self, url: str, data: bytes | None, headers: dict[str, str], silence: float, limit: int):
        self.url, self._data, self._headers = url, data, headers
        self._silence, self._limit = silence, limit
        self._sockets: list[socket.socket] = []
        self._is_cut = False

    def send(self, seconds: float, clock: Callable[[], float] = monotonic) -> Reply:
        """The reply, whatever its status.

        Args:
            seconds: The deadline for all of it.
            clock: Time, replaceable in tests.

        Raises:
            NoReplyError: None came, or only a part.
        """
        try:
            return within(seconds, self._reply, clock=clock)
        finally:
            self.cut()  # nobody waits any more

    def cut(self) -> None:
        """Ends it, so that the server does not go on for nobody."""
        self._is_cut = True
        for one in list(self._sockets):
            with suppress(OSError):  # it may have ended by itself
                one.shutdown(socket.SHUT_RDWR)

    def _reply(self) -> Reply:
        try:
            if not _is_web(self.url):
                raise ValueError("the address is not one of the web")
            request = urllib.request.Request(self.url, self._data, self._headers)  # noqa: S310 - see _is_web
            with ExitStack() as stack, self._opener(stack).open(request, timeout=self._silence) as response:
                body = self._read(response)
                whole = len(body) <= self._limit
                return Reply(response.status, response.headers, body[: self._limit], whole)
        except Exception as error:  # also what http.client makes of a server that speaks nonsense
            raise NoReplyError(_why(error)) from error

    def _opener(self, stack: ExitStack) -> urllib.request.OpenerDirector:
        """Opens http and https; every other scheme, redirects, logins and statuses are not its business."""

        def connect(*where) -> socket.socket:
            connected = socket.create_connection(*where)
            # TLS takes the socket for itself: to cut it off during the handshake takes another handle.
            self._sockets.append(stack.enter_context(connected.dup()))
            if self._is_cut:
                self.cut()
            return connected

        opener = urllib.request.OpenerDirector()
        for handler in (proxies(self.url), _Http(connect), _Https(connect, context=_tls())):
            opener.add_handler(handler)
        return opener

    def _read(self, response: http.client.HTTPResponse) -> bytes:
        """The body, up to a byte above the limit; raises if the connection ended before it was complete."""
        body = bytearray()
        while len(body) <= self._limit and (block := response.read1(1 << 16)):
            body += block
        if len(body) <= self._limit and response.length:  # a shorter body is not noticed by itself
            raise http.client.IncompleteRead(bytes(body), response.length)
        return bytes(body[: self._limit + 1])


def _why(error: Exception) -> str:
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(reason, UnicodeError):
        return f"{type(reason).__name__}: the host's name cannot be one: {reason}"
    return f"{type(reason).__name__}: {reason}" if isinstance(reason, Exception) else str(reason)


class _Connecting:
    """Has an opener's connections made by a function of ours, by the hook that http.client has for it."""

    def __init__(self, connect: Callable[..., socket.socket], **options):
        super().__init__(**options)
        self._connect = connect

    def do_open(self, http_class, request, **options):
        def connection(*args, **kwargs):
            made = http_class(*args, **kwargs)
            made._create_connection = self._connect
            return made

        return super().do_open(connection, request, **options)


class _Http(_Connecting, urllib.request.HTTPHandler):
    pass


class _Https(_Connecting, urllib.request.HTTPSHandler):
    pass


@functools.cache
def _tls() -> ssl.SSLContext:
    """Trusts whom the system trusts, and whom other HTTP libraries do: some Pythons know no system."""
    context = ssl.create_default_context()
    with suppress(ImportError):
        import certifi

        context.load_verify_locations(certifi.where())
    return context
