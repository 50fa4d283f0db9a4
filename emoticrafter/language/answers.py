"""Reads a language model's answer: without its thoughts and its protocol's marks, and as JSON with prose round it."""

import json
import re
import unicodedata
from collections.abc import Iterable

LONGEST = 50_000  # characters of an answer without its thoughts: a hundred times what is asked for
TRIES = 1000  # braces of an answer at which an object is looked for
UNSEEN = ("Cc", "Cf", "Cs")  # categories of characters: controls, formats, halves of surrogate pairs
JOINERS = "\u200c\u200d"

# Of tags: any name that speaks of thinking, but not <lora:think:1>.
STEMS = "think|thought|reason|reflect|analysis|scratch_?pad|monologue|deliberat|chain_of_thought|cot"
NAMES = rf"(?!lora|lyco)(?:\w{{1,20}}:)?(?:\w{{0,20}}_)?(?:{STEMS})\w{{0,20}}"
OPEN, CLOSE = r"(?:[<＜]|&lt;)\|?\s*", r"\s*\|?(?:[>＞]|&gt;)"
# What ends thoughts, and what begins them.
THOUGHTS = (
    (
        rf"<\|end_(?:of_)?(?:{NAMES})\|>|<\|(?:{NAMES})_end\|>",
        rf"<\|(?:begin|start)_(?:of_)?(?:{NAMES})\|>|<\|(?:{NAMES})_(?:begin|start)\|>",
    ),
    (rf"{OPEN}/\s*(?:{NAMES}){CLOSE}|<(?:{NAMES})\s*/>", rf"{OPEN}(?:{NAMES})(?:\s[^<>]*)?{CLOSE}"),
    (r"\[/THINK(?:ING)?\]|(?-i:\[/(?:REASONING|THOUGHTS?)\])", r"\[THINK(?:ING)?\]|(?-i:\[(?:REASONING|THOUGHTS?)\])"),
    (r"◁/think▷", r"◁think▷"),
    (r"<channel\|>", r"<\|channel>\s*(?:thought|analysis)"),
    (r"<unused95>", r"<unused94>"),  # MedGemma
    (r"</details>", r"<details\b[^<>]*>\s*<summary>\s*(?:think|thought|reason)"),  # Open WebUI
)
MARKS = re.compile(
    "|".join(f"(?P<ends{kind}>{ends})|(?P<begins{kind}>{begins})" for kind, (ends, begins) in enumerate(THOUGHTS)),
    re.IGNORECASE,
)
# OpenAI's harmony: <|start|>assistant<|channel|>final<|message|>text<|end|>.
MESSAGE = re.compile(
    r"(?:<\|start\|>\w*)?(?:<\|channel\|>|\A)\s*(?P<channel>[a-z]{1,20})\b[^<]{0,200}(?:<\|constrain\|>\w*\s*)?<\|message\|>"
)
# Thoughts that words alone mark: harmony without its marks, Granite, Ollama's command line.
UNMARKED = re.compile(
    r"\A\s*(?:(?:analysis|commentary).*assistantfinal"
    r"|here(?: i|['’])s my thought process.*here(?: i|['’])s my response:?|thinking\.\.\..*\.\.\.done thinking\.)",
    re.DOTALL | re.IGNORECASE,
)
SPECIAL = r"(?:<[|｜][^<>|｜\n]{1,40}[|｜]?>|<\w{1,20}\|>|</?s>|<(?:start_of_turn|end_of_turn|eos|bos)>|\[/INST\])"
OPENING_TOKENS = re.compile(rf"\A\s*(?:{SPECIAL}\s*(?:(?:assistant|model)\b\s*)?)+")
CLOSING_TOKENS = re.compile(rf"{SPECIAL}.*\Z", re.DOTALL)
WRAPPED = re.compile(
    r"<((?:\w+_)?(?:answer|response|output|final|result|solution)(?:_\w+)?)>(.*?)(?:</\1>|\Z)",
    re.DOTALL | re.IGNORECASE,
)
THOUGHT_FIELD = re.compile("think|thought|reasoning|analysis", re.IGNORECASE)


def without_thoughts(answer: str) -> str:
    """What a model answered, without what it thought before; empty if it only thought.

    Known are thoughts between tags (<think>, [THINK], <|begin_of_thought|> ...), nested or unclosed, the channels of
    OpenAI's harmony, and tags round the answer itself. What ends a turn ends the answer.
    """
    text = _outside(UNMARKED.sub("", _final_channel(answer)))
    text = CLOSING_TOKENS.sub("", OPENING_TOKENS.sub("", text))
    wrapped = WRAPPED.search(text)
    return (wrapped[2] if wrapped else text).strip()


def _outside(text: str) -> str:
    """The text outside of thoughts. Before a mark that only closes is a thought whose opening the server left out."""
    kept, within, depth, done = [], "", 0, 0
    for mark in MARKS.finditer(text):
        kind, begins = mark.lastgroup[-1], mark.lastgroup.startswith("begins")
        if depth and kind != within:
            continue  # a thought may speak of other marks
        if not depth:
            kept = [*kept, text[done : mark.start()]] if begins else []
        within, depth, done = kind, max(0, depth + (1 if begins else -1)), mark.end()
    return " ".join(kept if depth else [*kept, text[done:]])


def _final_channel(text: str) -> str:
    """The messages of the channel "final"; a text without channels as it is."""
    messages = list(MESSAGE.finditer(text))
    if not messages:
        return text
    ends = [message.start() for message in messages[1:]] + [len(text)]
    final = [
        CLOSING_TOKENS.sub("", text[message.end() : end])
        for message, end in zip(messages, ends, strict=True)
        if message["channel"] == "final"
    ]
    return "\n".join(final)


def json_object(answer: str, keys: Iterable[str] = ()) -> dict:
    """The JSON object in a model's answer, with or without thoughts, prose and a fence of Markdown round it.

    Fields that hold the model's thoughts, such as "reasoning", are left out.

    Args:
        answer: As the model gave it.
        keys: Of the object that is looked for; of several objects in prose, one that has them all.

    Raises:
        ValueError: What is wrong, in words that the model can act on.
    """
    text = answer.strip()
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = _only_object(without_thoughts(text), set(keys))
    if not isinstance(found, dict):
        raise ValueError("it is not a JSON object")
    return {name: value for name, value in found.items() if not THOUGHT_FIELD.search(name)}


def _only_object(text: str, keys: set[str]) -> object:
    """The value that a text is, or the one object in it."""
    if len(text) > LONGEST:
        raise ValueError(f"it has {len(text):,} characters, expected a short JSON object")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        why = f"it is not JSON ({error})"
    found = _objects(text)
    fitting = [one for one in found if keys <= one.keys()] or found
    if not fitting:
        raise ValueError(why)
    if any(one != fitting[0] for one in fitting):
        raise ValueError("it holds more than one JSON object")
    return fitting[0]


def _objects(text: str) -> list[dict]:
    """The JSON objects in a text that no other of them holds."""
    found, at, decode = [], text.find("{"), json.JSONDecoder().raw_decode
    for _ in range(TRIES):
        if at < 0:
            break
        try:
            value, end = decode(text, at)
            found.append(value)
        except (ValueError, RecursionError):
            end = at + 1
        at = text.find("{", end)
    return found


def one_line(text: str) -> str:
    """A text with single blanks, and without what steers a terminal, turns a line round or cannot be written.

    What joins emoji and letters stays.
    """
    kept = (mark for mark in text if mark.isspace() or mark in JOINERS or unicodedata.category(mark) not in UNSEEN)
    return " ".join("".join(kept).split())
