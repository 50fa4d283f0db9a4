"""Talks to a server that speaks OpenAI's chat completions, with retries and a pace, and leaks no key.

The key goes into the Authorization header and nowhere else: it is left out of every representation, redirects
(which would carry it to another host) are not followed, and what a server sends back is cleaned of it.
"""

from __future__ import annotations

import email.utils
import http.client
import ipaddress
import json
import random
import re
import socket
import threading
import time
import urllib.error
import urllib.request
import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from ..quoting import printable

ANSWER_BYTES = 4_000_000
TRICKLE = 10  # times the timeout that an answer may take in all
LONGEST = 86_400  # seconds that a request may be silent
SLOWEST = 0.01  # requests in a minute
RETRIED = {408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529}


class AnswerError(Exception):
    """This question could not be answered; others may be."""


class ServerError(AnswerError):
    """The server gave no answer to this question."""


class StoppedError(AnswerError):
    """Not asked, because the run is being stopped."""


class FatalError(Exception):
    """Nothing can be answered: wrong key, wrong address, wrong model."""


class UnusableError(Exception):
    """The answer is not what was asked for; ``usage`` is what it cost."""

    def __init__(self, why: str, usage: dict):
        super().__init__(why)
        self.usage = usage


@dataclass
class ChatSettings:
    """How to ask.

    Attributes:
        base_url: The address before /chat/completions, such as "https://api.openai.com/v1".
        model: The model's name there.
        key: Sent as bearer token; empty for servers without one. Never shown.
        per_minute: Requests begun in a minute, 0 for no limit.
        timeout: Seconds without a byte before a request is given up.
        tries: Requests for one answer before it is given up.
        answer_format: "json_schema", "json_object" or "none": what the server understands.
        backoff: Seconds before the first retry; doubled for each further one, up to a minute, with jitter.
    """

    base_url: str
    model: str
    key: str = field(default="", repr=False)
    per_minute: float = 0
    timeout: float = 120
    tries: int = 6
    answer_format: str = "json_schema"
    backoff: float = 1

    def problems(self) -> list[str]:
        """Everything that is wrong with the settings."""
        found = []
        if "@" in self.base_url:  # not shown: what is before it may be a password
            found.append("base url: take the name and password out of it")
        elif not _is_address(self.base_url):
            found.append(f"base url {self.base_url!r}: expected http(s)://host/path")
        if not self.model:
            found.append("model is empty")
        if not re.fullmatch(r"[!-~]*", self.key):
            found.append("the key holds blanks or characters that no header can carry")
        for name in ("timeout", "tries", "backoff"):
            if not getattr(self, name) > 0:
                found.append(f"{name} must be above 0, got {getattr(self, name)}")
        if self.timeout > LONGEST:
            found.append(f"timeout must be at most {LONGEST} seconds, got {self.timeout}")
        if not (self.per_minute == 0 or self.per_minute >= SLOWEST):
            found.append(f"per_minute must be 0 (no limit) or at least {SLOWEST}, got {self.per_minute}")
        if self.answer_format not in ("json_schema", "json_object", "none"):
            found.append(f"answer_format is json_schema, json_object or none, got {self.answer_format!r}")
        return found


def _is_address(url: str) -> bool:
    """Whether it is http(s)://host[:port][/path] and nothing else: a query would swallow what is appended."""
    try:
        parts = urlsplit(url)
        plain = parts.port != 0 and not re.search(r"[^!-~]|[?#\\]", url)
        (parts.hostname or "").encode("idna")  # as connecting will: a label is 1 to 63 characters long
    except ValueError:  # UnicodeError is one
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


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the key to another host."""

    def redirect_request(self, *args, **kwargs) -> None:
        return None


class _Noted:
    """Makes an opener report its connections' sockets, so that another thread can close them."""

    def __init__(self, note: Callable[[socket.socket], None]):
        super().__init__()
        self._note = note

    def do_open(self, http_class, request, **options):
        def connection(*args, **kwargs):
            made = http_class(*args, **kwargs)
            connect = made.connect

            def noted() -> None:
                connect()
                self._note(made.sock)

            made.connect = noted
            return made

        return super().do_open(connection, request, **options)


class _Http(_Noted, urllib.request.HTTPHandler):
    pass


class _Https(_Noted, urllib.request.HTTPSHandler):
    pass


class _Pace:
    """Starts requests one after another at a given pace, and holds all of them when the server asks for it."""

    def __init__(self, per_minute: float, sleep: Callable[[float], None], clock: Callable[[], float]):
        self._gap = 60 / per_minute if per_minute else 0.0
        self._sleep, self._clock = sleep, clock
        self._next = self._held = 0.0
        self._lock = threading.Lock()

    def wait(self) -> None:
        """Sleeps until this request may begin."""
        with self._lock:
            now = self._clock()
            begin = max(now, self._next)
            self._next = begin + self._gap
        # The server may ask for more while we sleep.
        while (left := max(begin, self._held) - now) > 0:
            self._sleep(left)
            now += left

    def hold(self, seconds: float) -> None:
        """Lets no request start for so many seconds."""
        with self._lock:
            self._held = max(self._held, self._clock() + seconds)


def _retry_after(value: str | None) -> float | None:
    """Seconds from a Retry-After header: a number, or a date."""
    if not value:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None


class Server:
    """A chat server: sends a conversation and returns the answer's text, with retries. Threads may share it.

    Args:
        settings: How to ask.
        sleep, clock: Time, replaceable in tests.
        advice: What to do about an HTTP status, a sentence each; 0 is for no answer at all.

    Attributes:
        stopped: Once it is set, nothing more is asked or waited for; answers under way may still come.
    """

    def __init__(
        self,
        settings: ChatSettings,
        sleep: Callable[[float], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        advice: Mapping[int, str] | None = None,
    ):
        self.settings = settings
        self.stopped = threading.Event()
        self.url = settings.base_url.rstrip("/") + "/chat/completions"
        self._sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        handlers = (_NoRedirect, proxies(self.url), _Http(self._note), _Https(self._note))
        self._opener = urllib.request.build_opener(*handlers)
        self._sleep = sleep or self.stopped.wait
        self._clock = clock
        self._pace = _Pace(settings.per_minute, self._sleep, clock)
        self._random = random.Random()  # noqa: S311 - jitter
        self._advice = dict(advice or {})
        # Each character of the key as it is, or as JSON may escape it.
        spelled = (rf"(?:\\?{re.escape(mark)}|(?i:\\u{ord(mark):04x}))" for mark in settings.key)
        self._key = re.compile("".join(spelled)) if settings.key else None

    def chat(self, messages: list[dict], schema: dict | None = None, seed: int | None = None) -> tuple[str, dict]:
        """Asks, and asks again after faults that may pass.

        Args:
            messages: The conversation, as the protocol has it.
            schema: JSON schema of the answer, sent where the server knows it; the answer is not checked here.
                None for an answer in words.
            seed: Sent if it is given; not every server heeds it.

        Returns:
            The answer's text and its ``usage``.

        Raises:
            ServerError: no answer after all tries.
            AnswerError: the model refuses.
            UnusableError: the answer is not a chat completion.
            StoppedError: the run is being stopped.
            FatalError: the server will not answer anybody who asks like this.
        """
        body = self._body(messages, schema) | ({} if seed is None else {"seed": seed})
        data = json.dumps(body).encode()
        for attempt in range(1, self.settings.tries + 1):
            self._pace.wait()
            if self.stopped.is_set():
                raise StoppedError("stopped before it was asked")
            status, text, after = self._post(data)
            if status == 200:
                return self._content(text)
            self._refuse(status, text)
            if attempt < self.settings.tries:
                self._back_off(attempt, status, after)
        tries = f"no answer after {self.settings.tries} tries; the last one: "
        raise ServerError(f"{tries if self.settings.tries > 1 else ''}{self._explain(status, text)}")

    def abort(self) -> None:
        """Stops, and cuts off the answers under way, so that the server does not go on with them."""
        self.stopped.set()
        for one in list(self._sockets):
            with suppress(OSError):  # it may have ended by itself
                one.shutdown(socket.SHUT_RDWR)

    def _note(self, connected: socket.socket) -> None:
        self._sockets.add(connected)
        if self.stopped.is_set():
            self.abort()

    def _body(self, messages: list[dict], schema: dict | None) -> dict:
        body: dict = {"model": self.settings.model, "messages": messages}
        if schema is None:
            return body
        if self.settings.answer_format == "json_schema":
            form = {"name": "answer", "strict": True, "schema": schema}
            body["response_format"] = {"type": "json_schema", "json_schema": form}
        elif self.settings.answer_format == "json_object":
            body["response_format"] = {"type": "json_object"}
        return body

    def _refuse(self, status: int, text: str) -> None:
        """Raises for faults that another try cannot fix."""
        if status in (401, 403, 404) or 300 <= status < 400:
            raise FatalError(self._explain(status, text))
        if status == 400 and "content_" in text:
            raise AnswerError(f"the server's content filter refused: {' '.join(text.split())[:200]}")
        if status and status not in RETRIED:
            raise ServerError(self._explain(status, text))

    def _post(self, data: bytes) -> tuple[int, str, float | None]:
        """Status (0: no whole answer), text, and seconds that the server asks to wait."""
        headers = {"Content-Type": "application/json", "User-Agent": "emoticrafter"}
        if self.settings.key:
            headers["Authorization"] = f"Bearer {self.settings.key}"
        request = urllib.request.Request(self.url, data, headers)  # noqa: S310 - http(s) only, see problems()
        try:
            with self._opener.open(request, timeout=self.settings.timeout) as response:
                return 200, self.clean(self._read_whole(response)), None
        except urllib.error.HTTPError as error:
            with error:
                return error.code, self._read_error(error), _retry_after(error.headers.get("Retry-After"))
        # URLError and timeouts are OSErrors; an impossible host name is a UnicodeError.
        except (OSError, http.client.HTTPException, UnicodeError) as error:
            reason = getattr(error, "reason", None)  # URLError's is the fault itself, but other errors' is a word
            reason = reason if isinstance(reason, Exception) else error
            return 0, self.clean(f"{type(reason).__name__}: {reason}"), None

    def _read_whole(self, response: http.client.HTTPResponse) -> bytes:
        """The body, or IncompleteRead if the connection was cut: reading does not notice that by itself."""
        seconds = TRICKLE * self.settings.timeout
        data, deadline = bytearray(), self._clock() + seconds
        while len(data) < ANSWER_BYTES and (block := response.read1(1 << 16)):  # read1 gives what has come so far
            data += block
            if self._clock() > deadline:
                raise TimeoutError(f"its answer was not complete after {seconds:g} seconds")
        expected = response.headers.get("Content-Length")
        # A header that is not a number says nothing about the length.
        if re.fullmatch(r"[0-9]{1,18}", expected or "") and len(data) < min(int(expected), ANSWER_BYTES):
            raise http.client.IncompleteRead(bytes(data), int(expected) - len(data))
        return bytes(data)

    def _read_error(self, error: urllib.error.HTTPError) -> str:
        try:
            return self.clean(error.read(2000))
        except (OSError, http.client.HTTPException):
            return ""

    def clean(self, text: bytes | str) -> str:
        """A text from the server, with the key blanked should it come back, also in JSON's escapes."""
        text = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
        return self._key.sub("***", text) if self._key else text

    def _explain(self, status: int, text: str) -> str:
        advice = f" {self._advice[status]}" if status in self._advice else ""
        if not status:
            return f"{self.url} gave no answer ({repr(text)[1:-1][:300]}).{advice}"
        if 300 <= status < 400:
            advice = " Redirects are not followed: give the final address."
        return f"{self.url} answered HTTP {status}: {' '.join(text.split())[:300]}.{advice}"

    def _back_off(self, attempt: int, status: int, after: float | None) -> None:
        # Jitter over the upper half, so that requests that failed together do not come back together.
        pause = min(60.0, self.settings.backoff * 2 ** min(attempt - 1, 60)) * self._random.uniform(0.5, 1)
        if after is not None:
            pause = max(pause, min(after, 600.0))
            if status in (429, 503):
                self._pace.hold(pause)
                return
        self._sleep(pause)

    def _content(self, text: str) -> tuple[str, dict]:
        try:
            answer = json.loads(text)
            choice = answer["choices"][0]
            message = choice["message"]
            content = message["content"]
            refusal = message.get("refusal")
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise UnusableError(f"the server's answer is not a chat completion: {text[:120]!r}", {}) from error
        usage = answer.get("usage") if isinstance(answer.get("usage"), dict) else {}
        if refusal or choice.get("finish_reason") == "content_filter":
            why = printable(self.clean(str(refusal or "content filter")))
            raise AnswerError(f"the model refused: {why[:200]}")
        if not isinstance(content, str):
            raise UnusableError("the answer holds no text", usage)
        return self.clean(content), usage
