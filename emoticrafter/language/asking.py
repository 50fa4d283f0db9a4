"""Asks a language model until its answer fits what was asked for."""

from collections.abc import Callable
from typing import TypeVar

from ..quoting import printable
from .chat import AnswerError, Server, UnusableError

ECHO = 4000  # characters of an unusable answer that the model is shown again
TOKENS = ("prompt_tokens", "completion_tokens")
T = TypeVar("T")


def ask_until_fits(
    server: Server,
    question: list[dict],
    schema: dict,
    read: Callable[[str], T],
    asks: int,
    tokens: dict[str, int] | None = None,
) -> T:
    """What `read` makes of the first answer that fits; the others go back to the model with what is wrong.

    Args:
        server: Who is asked.
        question: The conversation's opening, as the protocol has it.
        schema: JSON schema of the answer, sent where the server knows it.
        read: Reads an answer's text; raises ValueError in words that the model can act on.
        asks: Answers before it gives up.
        tokens: Gets the numbers of TOKENS spent added, also when it fails.

    Raises:
        AnswerError: No answer fits, or none came.
        FatalError: The server will not answer anybody who asks like this.
    """
    messages, spent = question, {} if tokens is None else tokens
    for _ in range(asks):
        try:
            text, usage = server.chat(messages, schema)
        except UnusableError as error:  # nothing that could be sent back: the same question once more
            count_tokens(spent, error.usage)
            why = str(error)
            continue
        count_tokens(spent, usage)
        try:
            return read(text)
        except (ValueError, RecursionError) as error:
            why = server.quote(str(error))
            again = f"This answer cannot be used: {why}. Answer again with the JSON object alone."
            echo = {"role": "assistant", "content": printable(text[:ECHO])}
            messages = [*question, echo, {"role": "user", "content": again}]
    raise AnswerError(f"{asks} answers, none usable; the last one: {why}")


def count_tokens(total: dict[str, int], usage: dict) -> None:
    """Adds a server's `usage` to a total, as far as it holds credible numbers."""
    for name in TOKENS:
        value = usage.get(name)
        credible = type(value) is int and 0 < value < 10**9
        total[name] = total.get(name, 0) + (value if credible else 0)
