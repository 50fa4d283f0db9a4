"""Has a language model look at rated pictures and write a neutral and an emotional prompt for each.

    export OPENAI_API_KEY=...
    python -m trainer.prepare write-prompts images.jsonl --folder pictures --out written.jsonl \\
        --base-url https://api.openai.com/v1 --model gpt-4o-mini --key-from OPENAI_API_KEY

Works with every server that speaks OpenAI's chat completions with images (OpenAI, vLLM, Ollama ...). A worker puts
its answer on disk before it asks for the next picture, so a run that was cut off goes on where it stopped; what
failed is listed at the end and asked again by the next run. The key is read from the environment and goes nowhere
but into the Authorization header.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path

from emoticrafter.files import regular
from emoticrafter.language.answers import json_object, one_line, without_thoughts
from emoticrafter.language.asking import TOKENS, ask_until_fits, count_tokens
from emoticrafter.language.chat import AnswerError, ChatSettings, FatalError, Server, ServerError, StoppedError
from emoticrafter.quoting import quoted
from trainer.core.journal import Journal, opened
from trainer.core.lock import locked
from trainer.core.pictures import data_url, decode, jpeg, path_inside
from trainer.core.rows import DataError
from trainer.core.settings import count, option
from trainer.data.images import RatedImage

NEUTRAL_LIMIT, EMOTIONAL_LIMIT = 300, 500  # characters; 77 tokens are about 350
SILENCE = 20  # pictures in a row that the server gave no answer to, before the run stops
ADVICE = {
    400: "If it does not know response_format, try --answer-format json_object or none.",
    401: "Check the key in the variable that --key-from names.",
    403: "Check that this key may use this model.",
    404: "Check --base-url (it ends before /chat/completions) and --model.",
}
SCHEMA = {
    "type": "object",
    "properties": {
        "neutral_prompt": {"type": "string", "maxLength": NEUTRAL_LIMIT},
        "emotional_prompt": {"type": "string", "maxLength": EMOTIONAL_LIMIT},
    },
    "required": ["neutral_prompt", "emotional_prompt"],
    "additionalProperties": False,
}
INSTRUCTIONS = f"""You write prompts for a text-to-image model.
You are shown a picture and how people feel when they look at it: valence from -3 (misery) to +3 (joy) and arousal
from -3 (sleepy) to +3 (alarmed or elated). Write two prompts in English for this picture:
- neutral_prompt: what is to be seen, who and where, in one plain sentence without any emotion, mood or judgement;
  at most {NEUTRAL_LIMIT} characters.
- emotional_prompt: the same content in the same order, retold so that a picture made from it gives exactly this
  feeling: expression and gesture, light, colour, weather, texture; as strong as the two numbers say, no stronger;
  without the words valence and arousal; at most {EMOTIONAL_LIMIT} characters.
Answer with one JSON object with exactly these two keys."""


@dataclass
class WriterSettings:
    """What is asked of the model, and what it may cost; after `asks` answers that don't fit, a picture is given up."""

    workers: int = option("requests under way at once (default: %(default)s)", 4, type=count)
    asks: int = 3
    image_size: int = option("longer side sent (default: %(default)s)", 768, type=count, metavar="PIXELS")
    price_in: float = option("of a million tokens read", 0, metavar="PRICE")
    price_out: float = option("of a million tokens written", 0, metavar="PRICE")
    budget: float = option("stop when this run has cost so much", 0, metavar="PRICE")

    def problems(self) -> list[str]:
        """Everything that is wrong with the settings."""
        found = [
            f"{name} must be at least 1, got {getattr(self, name)}"
            for name in ("workers", "asks", "image_size")
            if getattr(self, name) < 1
        ]
        for name in ("price_in", "price_out", "budget"):
            if not getattr(self, name) >= 0:
                found.append(f"{name} must not be negative, got {getattr(self, name)}")
        if self.budget and not (self.price_in or self.price_out):
            found.append("a budget needs the prices: --price-in and --price-out, per million tokens")
        return found


def parse_answer(text: str) -> dict[str, str]:
    """Checks an answer against the schema.

    Returns:
        {"neutral_prompt", "emotional_prompt"}, blanks and line breaks made single blanks, control
        characters and halves of surrogate pairs left out.

    Raises:
        ValueError: what is wrong, in words that the model can act on.
    """
    answer = json_object(text, SCHEMA["required"])
    if set(answer) != set(SCHEMA["required"]):
        raise ValueError(f"its keys are {quoted(sorted(answer))}, expected {sorted(SCHEMA['required'])}")
    prompts = {}
    for name, limit in (("neutral_prompt", NEUTRAL_LIMIT), ("emotional_prompt", EMOTIONAL_LIMIT)):
        prompts[name] = one_line(without_thoughts(answer[name])) if isinstance(answer[name], str) else ""
        if not prompts[name]:
            raise ValueError(f"{name} is not a text with something in it")
        if len(prompts[name]) > limit:
            raise ValueError(f"{name} has {len(prompts[name])} characters, at most {limit} are allowed")
    if prompts["neutral_prompt"].lower() == prompts["emotional_prompt"].lower():
        raise ValueError("both prompts are the same")
    return prompts


# ----------------------------------------------------------------------------------------------------
# One picture
# ----------------------------------------------------------------------------------------------------


def ask(server: Server, image: RatedImage, folder: Path, settings: WriterSettings, tokens: dict) -> dict[str, str]:
    """Both prompts for a picture; answers that don't fit the schema are sent back with what is wrong.

    Args:
        server: Who is asked.
        image: The picture and its rating.
        folder: Where the picture is.
        settings: How.
        tokens: Gets the numbers of tokens spent, also when it fails.

    Raises:
        AnswerError: no usable answer for this picture.
        FatalError: the server will not answer anybody who asks like this.
    """
    if server.stopped.is_set():
        raise StoppedError("stopped before it was asked")
    try:
        pixels = decode(path_inside(folder, image.image), settings.image_size)
        url = data_url(jpeg(pixels, settings.image_size, quality=88))
    except ValueError as error:
        raise AnswerError(str(error)) from error
    rating = f"valence {image.valence:+.2f}, arousal {image.arousal:+.2f}"
    content = [{"type": "text", "text": rating}, {"type": "image_url", "image_url": {"url": url}}]
    question = [{"role": "system", "content": INSTRUCTIONS}, {"role": "user", "content": content}]

    def read(text: str) -> dict[str, str]:
        # The key may only come to light once the answer is decoded.
        return {name: server.clean(prompt) for name, prompt in parse_answer(text).items()}

    return ask_until_fits(server, question, SCHEMA, read, settings.asks, tokens)


# ----------------------------------------------------------------------------------------------------
# All pictures
# ----------------------------------------------------------------------------------------------------


@dataclass
class Outcome:
    """What a run came to: counts, cost of this run, id -> reason of every failure, and why it stopped early."""

    written: int = 0
    already: int = 0
    cost: float = 0.0
    tokens: dict[str, int] = field(default_factory=lambda: dict.fromkeys(TOKENS, 0))
    failures: dict[str, str] = field(default_factory=dict)
    stopped: str = ""
    silence: int = 0


def finished_ids(path: Path) -> set[str]:
    """Ids that the output holds already; a last line that was cut off is removed, a missing line break added.

    Raises:
        DataError: a line is damaged, and not by a run that was cut off; the file is left as it is.
    """
    if not path.exists():
        return set()
    *lines, last = regular(path).read_bytes().split(b"\n")
    done = {_line_id(path, number, line) for number, line in enumerate(lines, start=1)}
    if not last:
        return done
    try:
        json.loads(last)
    except ValueError:
        if last.startswith(b"{"):
            os.truncate(path, path.stat().st_size - len(last))
            return done
    except RecursionError:
        pass
    done.add(_line_id(path, len(lines) + 1, last))
    with path.open("ab") as stream:
        stream.write(b"\n")
    return done


def _line_id(path: Path, number: int, line: bytes) -> str:
    try:
        name = json.loads(line)["id"]
        if not isinstance(name, str):
            raise TypeError(f"its id is {quoted(name)}, expected a text")
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise DataError(f"{path}: line {number} is damaged ({error!r}). Remove the line; it is asked again.") from error
    return name


def write_prompts(
    images: list[RatedImage],
    folder: Path,
    out: Path,
    chat: ChatSettings,
    settings: WriterSettings | None = None,
    sleep: Callable[[float], None] | None = None,
) -> Outcome:
    """Asks for every picture that ``out`` does not hold yet; each answer is appended and synced at once.

    Args:
        images: Rated pictures.
        folder: Where they are.
        out: JSONL with id, image, neutral, emotional, valence, arousal, source, model and usage.
        chat: The server and how to ask it.
        settings: What is asked.
        sleep: Waiting, replaceable in tests.

    Raises:
        DataError: wrong settings, a damaged output, or another run that writes to the same file.
    """
    settings, out = settings or WriterSettings(), Path(out)
    if problems := chat.problems() + settings.problems():
        raise DataError("These settings cannot be used:\n" + "\n".join(f"  {text}" for text in problems))
    out.parent.mkdir(parents=True, exist_ok=True)
    busy = DataError(f"{out}: another run is writing to it. Wait for it, or choose another --out.")
    with locked(out, busy):
        return _write_all(images, folder, out, Server(chat, sleep, advice=ADVICE), settings)


class _Work:
    """What the workers share: whom to ask and how, the file that the answers go to, and the books."""

    def __init__(self, server: Server, folder: Path, settings: WriterSettings, answers: Journal, outcome: Outcome):
        self.server, self.folder, self.settings = server, folder, settings
        self.answers, self.outcome = answers, outcome
        self.lock = threading.Lock()

    def do(self, image: RatedImage) -> None:
        """Asks for one picture; puts the answer on disk, or the failure into the books."""
        tokens = dict.fromkeys(TOKENS, 0)
        try:
            prompts = ask(self.server, image, self.folder, self.settings, tokens)
        except StoppedError:
            return
        except FatalError as error:
            self.stop(str(error))
        except AnswerError as error:
            self._fail(image, error, tokens)
        else:
            self._append(image, prompts, tokens)

    def stop(self, why: str) -> None:
        """Nobody asks any more; answers under way are still taken."""
        self.outcome.stopped = self.outcome.stopped or why
        self.server.stopped.set()

    def _fail(self, image: RatedImage, error: AnswerError, tokens: dict[str, int]) -> None:
        with self.lock:
            self.outcome.failures[image.id] = str(error)
            self.outcome.silence += isinstance(error, ServerError)
            if self.outcome.silence >= SILENCE:
                self.stop(f"the server answered none of the last {SILENCE} pictures")
            self._charge(tokens)

    def _append(self, image: RatedImage, prompts: dict[str, str], tokens: dict[str, int]) -> None:
        line = {
            "id": image.id,
            "image": image.image,
            "neutral": prompts["neutral_prompt"],
            "emotional": prompts["emotional_prompt"],
            "valence": image.valence,
            "arousal": image.arousal,
            "source": image.source,
            "model": self.server.settings.model,
            "usage": tokens,
        }
        with self.lock:
            self.answers.add(line, sync=True)
            self.outcome.written += 1
            self.outcome.silence = 0
            self._charge(tokens)

    def _charge(self, tokens: dict[str, int]) -> None:
        count_tokens(self.outcome.tokens, tokens)
        spent = self.outcome.tokens["prompt_tokens"] * self.settings.price_in
        self.outcome.cost = (spent + self.outcome.tokens["completion_tokens"] * self.settings.price_out) / 1e6
        if self.settings.budget and self.outcome.cost >= self.settings.budget:
            self.stop(f"the budget of {self.settings.budget:g} is spent")


def _write_all(images: list[RatedImage], folder: Path, out: Path, server: Server, settings: WriterSettings) -> Outcome:
    from tqdm import tqdm

    done = finished_ids(out)
    waiting = [image for image in images if image.id not in done]
    outcome = Outcome(already=len(images) - len(waiting))
    with opened(out) as answers, tqdm(total=len(images), initial=outcome.already, unit="picture") as bar:
        work = _Work(server, folder, settings, answers, outcome)
        pool = ThreadPoolExecutor(settings.workers)
        try:
            futures = [pool.submit(work.do, image) for image in waiting]
            _watch(futures, outcome, bar)
        except KeyboardInterrupt:
            # What is under way has been paid for: the workers put it on disk before they end.
            work.stop("interrupted")
        finally:
            server.stopped.set()
            pool.shutdown(wait=True, cancel_futures=True)
    return outcome


def _watch(futures: list[Future], outcome: Outcome, bar) -> None:
    for future in as_completed(futures):
        future.result()  # a full disk ends the run
        note = {"tokens": sum(outcome.tokens.values()), "cost": f"{outcome.cost:.4f}", "failed": len(outcome.failures)}
        bar.set_postfix(note, refresh=False)
        if not outcome.stopped:
            bar.update()
