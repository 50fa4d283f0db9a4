"""Talks to a server that speaks OpenAI's chat completions, with retries and a pace, and leaks no key.

The key goes into the Authorization header and nowhere else: it is left out of every representation, redirects
(which would carry it to another host) are not followed, and what a server sends back is cleaned of it.
"""

from __future__ import annotations

import email.utils
import json
import random
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ..quoting import printable
from ..web import NoReplyError, Reply, Request, is_address, redirect
from .secret import Secret

ANSWER_BYTES = 4_000_000
ANSWER_CHARACTERS = 400_000  # of a model's text, with its thoughts
ERROR_CHARACTERS = 20_000  # of the text of an error that are looked through for the key
QUOTED = 300
THOUGHTS = ("reasoning_content", "reasoning", "thinking")  # fields beside the text, by server
TRICKLE = 10  # times the timeout that a whole call may take
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


class ForeignError(UnusableError):
    """The answer is not a chat completion: who answers there may be another."""


@dataclass
class ChatSettings:
    """How to ask.

    Attributes:
        base_url: The address before /chat/completions, such as "https://api.openai.com/v1".
        model: The model's name there.
        key: Sent as bearer token; empty for servers without one. Never shown.
        per_minute: Requests begun in a minute, 0 for no limit.
        timeout: Seconds without a byte before a request is given up; all of it may take ten times as long.
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
        elif re.search(r"[?#]", self.base_url):  # nor this: a query may hold a key
            found.append("base url: take what follows the ? or # out of it, and the mark itself")
        elif not is_address(self.base_url):
            found.append(f"base url {self.base_url[:200]!r}: expected http(s)://host/path")
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
    except Exception:  # whatever the parser makes of what is not a date
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
        self._under_way: set[Request] = set()
        self._sleep = sleep or self.stopped.wait
        self._clock = clock
        self._pace = _Pace(settings.per_minute, self._sleep, clock)
        self._random = random.Random()  # noqa: S311 - jitter
        self._advice = dict(advice or {})
        self._secret = Secret(settings.key)

    def chat(self, messages: list[dict], schema: dict | None = None, seed: int | None = None) -> tuple[str, dict]:
        """Asks, and asks again after faults that may pass.

        Args:
            messages: The conversation, as the protocol has it.
            schema: JSON schema of the answer, sent where the server knows it; the answer is not checked here.
                None for an answer in words.
            seed: Sent if it is given; not every server heeds it.

        Returns:
            The answer's text as the model gave it, thoughts and all (see answers.py), and its ``usage``.

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
            reply = self._post(data)
            if isinstance(reply, Reply) and reply.status == 200:
                return self._content(reply)
            self._refuse(reply)
            if attempt < self.settings.tries:
                self._back_off(attempt, reply)
        tries = f"no answer after {self.settings.tries} tries; the last one: "
        raise ServerError(f"{tries if self.settings.tries > 1 else ''}{self._explain(reply)}")

    def abort(self) -> None:
        """Stops, and cuts off the answers under way, so that the server does not go on with them."""
        self.stopped.set()
        for request in self._under_way.copy():
            request.cut()

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

    def _refuse(self, reply: Reply | NoReplyError) -> None:
        """Raises for faults that another try cannot fix."""
        if isinstance(reply, NoReplyError):
            return
        elsewhere = 300 <= reply.status < 400 and redirect(self.url, reply)
        if reply.status in (401, 403, 404) or elsewhere:
            raise FatalError(self._explain(reply))
        if reply.status == 400 and b"content_" in reply.body:
            raise AnswerError(f"the server's content filter refused: {self._excerpt(reply)}")
        if reply.status not in RETRIED:
            raise ServerError(self._explain(reply))

    def _post(self, data: bytes) -> Reply | NoReplyError:
        headers = {"Content-Type": "application/json", "User-Agent": "emoticrafter"}
        if self.settings.key:
            headers["Authorization"] = f"Bearer {self.settings.key}"
        request = Request(self.url, data, headers, self.settings.timeout, ANSWER_BYTES)
        self._under_way.add(request)
        try:
            if self.stopped.is_set():
                request.cut()
            return request.send(TRICKLE * self.settings.timeout, self._clock)
        except NoReplyError as error:
            return error
        finally:
            self._under_way.discard(request)

    def clean(self, text: str) -> str:
        """A text from the server without the key."""
        return self._secret.blanked(text)

    def quote(self, text: str, most: int = QUOTED) -> str:
        """An excerpt of a text from the server: one printable line without the key, or what is left of it at a cut."""
        line = " ".join(self._secret.blanked(text[:ERROR_CHARACTERS], parts=True).split())
        return printable(line[:most])[:most]

    def _excerpt(self, reply: Reply) -> str:
        return self.quote(reply.body.decode("utf-8", "replace"))

    def _explain(self, reply: Reply | NoReplyError) -> str:
        url, status = self.quote(self.url), getattr(reply, "status", 0)
        advice = f" {self._advice[status]}" if status in self._advice else ""
        if isinstance(reply, NoReplyError):
            return f"{url} gave no answer ({self.quote(str(reply))}).{advice}"
        if 300 <= status < 400:
            advice = " Redirects are not followed: give the final address."
        return f"{url} answered HTTP {status}: {self._excerpt(reply)}.{advice}"

    def _back_off(self, attempt: int, reply: Reply | NoReplyError) -> None:
        # Jitter over the upper half, so that requests that failed together do not come back together.
        pause = min(60.0, self.settings.backoff * 2 ** min(attempt - 1, 60)) * self._random.uniform(0.5, 1)
        after = _retry_after(reply.headers.get("Retry-After")) if isinstance(reply, Reply) else None
        if after is not None:
            pause = max(pause, min(after, 600.0))
            if reply.status in (429, 503):
                self._pace.hold(pause)
                return
        self._sleep(pause)

    def _content(self, reply: Reply) -> tuple[str, dict]:
        """The text of a chat completion, and its usage."""
        foreign = "the server's answer is not a chat completion:"
        if not reply.whole:
            raise ForeignError(f"{foreign} it has more than {ANSWER_BYTES:,} bytes", {})
        body = reply.body.decode("utf-8-sig", "replace")
        try:
            answer = json.loads(body)
            choice = answer["choices"][0]
            message = choice["message"]
            content, refusal = message.get("content"), message.get("refusal")
            reason = choice.get("finish_reason")
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise ForeignError(f"{foreign} '{self.quote(body, 120)}'", {}) from error
        usage = answer.get("usage") if isinstance(answer.get("usage"), dict) else {}
        if refusal or reason == "content_filter":
            why = refusal if isinstance(refusal, str) else "content filter"
            raise AnswerError(f"the model refused: {self.quote(why)}")
        text = _joined(content)
        if not text and any(message.get(name) for name in THOUGHTS):
            raise UnusableError("the model thought and did not answer", usage)
        if text is None:
            raise UnusableError("the answer holds no text", usage)
        if len(text) > ANSWER_CHARACTERS:
            raise UnusableError(f"the answer has {len(text):,} characters", usage)
        if reason == "length":
            raise UnusableError("the server's limit of tokens cut the answer off", usage)
        return self.clean(text), usage


def _joined(content: object) -> str | None:
    """The text of a message: as it is, or in parts, of which some may be thoughts; None if it has none."""
    if not isinstance(content, list):
        return content if isinstance(content, str) else None
    parts = [part for part in content if isinstance(part, dict) and part.get("type") == "text"]
    return "\n".join(part["text"] for part in parts if isinstance(part.get("text"), str)) or None
