"""Asks a language model until its answer fits what was asked for."""

import json
import re
from collections.abc import Callable
from typing import TypeVar

from .chat import AnswerError, Server, UnusableError

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
        except ValueError as error:
            why = server.clean(str(error))
            again = f"This answer cannot be used: {why}. Answer again with the JSON object alone."
            messages = [*question, {"role": "assistant", "content": text}, {"role": "user", "content": again}]
    raise AnswerError(f"{asks} answers, none usable; the last one: {why}")


def count_tokens(total: dict[str, int], usage: dict) -> None:
    """Adds a server's `usage` to a total, as far as it holds credible numbers."""
    for name in TOKENS:
        value = usage.get(name)
        credible = isinstance(value, int) and 0 < value < 10**9
        total[name] = total.get(name, 0) + (value if credible else 0)


def json_object(text: str) -> dict:
    """The JSON object that a model answered, with or without a fence of Markdown round it.

    Raises:
        ValueError: What is wrong, in words that the model can act on.
    """
    fenced = re.fullmatch(r"\s*```(?:json)?\s*(.*?)\s*```\s*", text, re.DOTALL)
    try:
        answer = json.loads(fenced[1] if fenced else text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"it is not JSON ({error})") from error
    if not isinstance(answer, dict):
        raise ValueError("it is not a JSON object")
    return answer
