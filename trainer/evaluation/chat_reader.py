"""A vision-language model as reader, over any server that speaks OpenAI's chat completions with images."""

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from emoticrafter.files import text_sha256
from emoticrafter.language.answers import json_object
from emoticrafter.language.asking import ask_until_fits
from emoticrafter.language.chat import AnswerError, ChatSettings, FatalError, Server, ServerError
from trainer.core.pictures import Pixels, data_url, jpeg
from trainer.core.rows import refuse_options

IMAGE_SIZE = 768  # longer side in pixels of what is sent
ASKS = 3  # answers for one image before it is left unread
SILENCE = 20  # images in a row without an answer from the server, before the run stops
SCHEMA = {
    "type": "object",
    "properties": {axis: {"type": "number", "minimum": -3, "maximum": 3} for axis in ("valence", "arousal")},
    "required": ["valence", "arousal"],
    "additionalProperties": False,
}
ADVICE = {
    400: "If it does not know response_format, try --answer-format json_object or none.",
    401: "Check the key in the variable that --key-from names.",
    403: "Check that this key may use this model.",
    404: "Check --chat-url (it ends before /chat/completions) and --chat-model.",
}
INSTRUCTIONS = """You rate the emotion that a picture carries, as people would rate it.
- valence: from -3 (misery, very unpleasant) over 0 (neutral) to +3 (joy, very pleasant);
- arousal: from -3 (sleepy, very calm) over 0 (neutral) to +3 (alarmed or elated, very stirred).
Use the whole scale and decimals. Answer with one JSON object: {"valence": number, "arousal": number}."""


class ChatReader:
    """Asks a model about one image at a time, `workers` at once; an image without a usable answer stays unread."""

    def __init__(self, server: Server, workers: int = 4):
        self.server, self.workers, self.failures = server, workers, []
        self._silent = 0
        self.name = f"{server.settings.model} (a vision-language model)"
        asked = f"{server.settings.model} {server.url} {INSTRUCTIONS} {IMAGE_SIZE}"
        self.fingerprint = text_sha256(asked)[:16]

    def read(self, pictures: list[Pixels]) -> Iterator[np.ndarray]:
        """[2] for each image in order, each as soon as it has come, so that it can be kept: answers cost money.

        NaN for an image that the model refused or answered with nonsense; `failures` says why by then.

        Raises:
            FatalError: The server will not answer anybody who asks like this.
        """
        with ThreadPoolExecutor(self.workers) as pool:
            for values, why in pool.map(self._read_one, pictures):
                self.failures += [why] if why else []
                yield np.array(values)

    def _read_one(self, picture: Pixels) -> tuple[tuple[float, float], str]:
        image = {"type": "image_url", "image_url": {"url": data_url(jpeg(picture, IMAGE_SIZE, quality=90))}}
        question = [{"role": "system", "content": INSTRUCTIONS}, {"role": "user", "content": [image]}]
        try:
            found = ask_until_fits(self.server, question, SCHEMA, parse_answer, ASKS)
            self._silent = 0
            return found, ""
        except AnswerError as error:
            self._silent = self._silent + 1 if isinstance(error, ServerError) else 0
            if self._silent >= SILENCE:
                raise FatalError(f"the server answered none of the last {SILENCE} images: {error}") from error
            return (math.nan, math.nan), f"not read by {self.server.settings.model}: {error}"


def parse_answer(text: str) -> tuple[float, float]:
    """Valence and arousal from a model's answer.

    Raises:
        ValueError: The answer is wrong; the message tells the model how to correct it.
    """
    answer = json_object(text, SCHEMA["required"])
    values = []
    for axis in ("valence", "arousal"):
        value = answer.get(axis)
        if isinstance(value, bool) or not isinstance(value, int | float) or not -3 <= value <= 3:
            got = value if isinstance(value, str | float | int | None) else type(value).__name__
            raise ValueError(f"{axis} is {str(got)[:40]!r}, expected a number from -3 to 3")
        values.append(float(value))
    return values[0], values[1]


def connect(settings: ChatSettings, workers: int = 4) -> ChatReader:
    """The reader behind an address.

    Raises:
        DataError: Settings cannot be used; all of them are named.
    """
    refuse_options(settings.problems(), "The server cannot be asked like this:")
    return ChatReader(Server(settings, advice=ADVICE), workers)
