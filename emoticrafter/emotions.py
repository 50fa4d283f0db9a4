"""Named emotions: where feelings lie on the valence-arousal plane, and according to whom.

The sources disagree (sadness is calm for Russell and stirred in FindingEmo's pictures), so a name alone does not
make a point: every emotion carries its source. People can add their own in a JSON file.

- Russell, "A circumplex model of affect" (1980): figure 4, digitised, times 3.
- Plutchik's 24 words as FindingEmo's annotators used them (Mertens et al., "FindingEmo", 2024): the mean valence
  and arousal of all pictures with that word, arousal minus 3.
- Mikels' eight categories of pictures (Mikels et al., 2005) come without coordinates. Each takes those of the
  same or the nearest word in the two sources above, and says which.
"""

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple

from .files import regular
from .quoting import shown
from .va import VA_MAX, VA_MIN, Point

OWN_SOURCE = "emotions.json"
LONGEST_NAME = 40
LARGEST_FILE = 200_000  # characters: more names than any list shows
MOST_PROBLEMS = 10  # of one text, told at once
BETWEEN = re.compile(r"[ \t\n\r,:]*")  # what stands between two keys or values of JSON

RUSSELL = {
    "happy": Point(2.48, 1.58),
    "excited": Point(1.85, 2.27),
    "astonished": Point(0.47, 2.67),
    "pleased": Point(2.31, 0.55),
    "relaxed": Point(2.07, -1.36),
    "at ease": Point(1.77, -0.78),
    "calm": Point(1.69, -0.92),
    "sleepy": Point(0.84, -2.01),
    "tired": Point(0.13, -1.88),
    "bored": Point(-1.99, -1.91),
    "sad": Point(-1.94, -0.80),
    "miserable": Point(-2.09, -0.23),
    "angry": Point(-1.57, 1.75),
    "frustrated": Point(-1.94, 1.53),
    "annoyed": Point(-1.64, 1.24),
    "afraid": Point(-1.02, 1.92),
}

PLUTCHIK = {
    "ecstasy": Point(2.27, 0.97),
    "joy": Point(2.02, 0.04),
    "serenity": Point(1.46, -0.76),
    "admiration": Point(1.70, 0.06),
    "trust": Point(1.49, -0.43),
    "acceptance": Point(1.14, -0.79),
    "terror": Point(-2.03, 1.34),
    "fear": Point(-1.79, 0.76),
    "apprehension": Point(-0.96, -0.27),
    "amazement": Point(1.51, 0.14),
    "surprise": Point(0.35, -0.24),
    "distraction": Point(-0.06, -0.96),
    "grief": Point(-2.01, 1.12),
    "sadness": Point(-1.65, 0.44),
    "pensiveness": Point(-0.90, -0.47),
    "loathing": Point(-1.57, 0.93),
    "disgust": Point(-1.62, 0.31),
    "boredom": Point(-0.36, -1.35),
    "rage": Point(-1.92, 1.54),
    "anger": Point(-1.80, 0.99),
    "annoyance": Point(-1.20, -0.22),
    "vigilance": Point(0.22, 0.13),
    "anticipation": Point(0.49, -0.42),
    "interest": Point(0.79, -0.97),
}

MIKELS = {
    "amusement": ("FindingEmo's joy", PLUTCHIK["joy"]),
    "awe": ("FindingEmo's amazement", PLUTCHIK["amazement"]),
    "contentment": ("FindingEmo's serenity", PLUTCHIK["serenity"]),
    "excitement": ("Russell's excited", RUSSELL["excited"]),
    "anger": ("FindingEmo", PLUTCHIK["anger"]),
    "disgust": ("FindingEmo", PLUTCHIK["disgust"]),
    "fear": ("FindingEmo", PLUTCHIK["fear"]),
    "sadness": ("FindingEmo", PLUTCHIK["sadness"]),
}


class NamedEmotion(NamedTuple):
    name: str
    source: str
    """Who says that it lies there."""
    point: Point

    @property
    def label(self) -> str:
        return f"{self.name} ({self.source})"


EMOTIONS = (
    *(NamedEmotion(name, "Russell", point) for name, point in RUSSELL.items()),
    *(NamedEmotion(name, "Plutchik, FindingEmo", point) for name, point in PLUTCHIK.items()),
    *(NamedEmotion(name, f"Mikels, {source}", point) for name, (source, point) in MIKELS.items()),
)
"""All built-in emotions. Saved workflows hold their labels, so none is ever renamed or removed."""


def by_words(emotions: Iterable[NamedEmotion]) -> dict[str, Point]:
    """Emotions by label, by name and set, and by name, of which the first counts; for `look_up`."""
    known = {}
    for emotion in emotions:
        first_source = emotion.source.partition(",")[0]
        for key in (emotion.label, f"{emotion.name} ({first_source})", emotion.name):
            known.setdefault(_folded(key), emotion.point)
    return known


def _folded(name: str) -> str:
    """One spelling of a name for all: NFKC makes full-width letters and brackets plain."""
    return " ".join(unicodedata.normalize("NFKC", name).replace("(", " (").split()).casefold()


def find_emotion(words: str, emotions: Iterable[NamedEmotion]) -> Point:
    """Looks up an emotion, by label ("fear (Mikels, FindingEmo)"), name and set ("fear (Mikels)") or name ("fear").

    Case does not matter, nor do full-width letters. A name that several sources have means the first in `emotions`.

    Raises:
        ValueError: No such emotion; names the most similar ones.
    """
    return look_up(words, by_words(emotions))


def look_up(words: str, known: Mapping[str, Point]) -> Point:
    """`find_emotion` for many words: `known` is from `by_words`."""
    wanted = _folded(words[: 2 * LONGEST_NAME])  # longer than any label
    if wanted in known:
        return known[wanted]
    similar = get_close_matches(wanted, known, n=3)
    hint = f"; similar: {', '.join(similar)}" if similar else ", such as calm, excited or sad"
    raise ValueError(f'there is no emotion "{shown(words, LONGEST_NAME)}": expected a named one{hint}')


# --- people's own emotions ---------------------------------------------------------------------------------


class OwnEmotions(NamedTuple):
    """The usable entries of a file of own emotions, and its mistakes, each with its line."""

    emotions: tuple[NamedEmotion, ...] = ()
    problems: tuple[str, ...] = ()


def read_own_emotions(path: Path) -> OwnEmotions:
    """Reads a JSON file of emotions: {"homesick": [-1.2, -0.4], "triumphant": [2.6, 2.2]}, UTF-8.

    Never raises: a wrong entry costs only itself; a file that is not valid JSON (a missing comma, say) costs all
    entries.

    Returns:
        The emotions, with "emotions.json" as their source, in the file's order, and one line for each of the first
        10 mistakes.
    """
    try:
        with regular(path).open(encoding="utf-8-sig") as file:
            text = file.read(LARGEST_FILE + 1)
    except UnicodeDecodeError:
        return OwnEmotions(problems=("it is not saved as UTF-8 text",))
    except OSError as error:
        return OwnEmotions(problems=(f"it cannot be read ({error.strerror})",))
    if len(text) > LARGEST_FILE:
        return OwnEmotions(problems=(f"it is too long: expected at most {LARGEST_FILE:,} characters",))
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        got = f", got {shown(repr(text[error.pos]))}" if error.pos < len(text) else ""
        return OwnEmotions(problems=(f"line {error.lineno}: {error.msg} (column {error.colno}){got}",))
    except (ValueError, RecursionError):  # a number of thousands of digits; brackets thousands deep
        return OwnEmotions(problems=("it does not hold a list of emotions",))
    if not isinstance(content, dict):
        return OwnEmotions(problems=('line 1: expected {"name": [valence, arousal], ...}',))
    return _checked(_entries(text))


def _entries(text: str) -> Iterator[tuple[int, str, object]]:
    """(line, key, value) of each entry of a valid JSON object: json.loads keeps neither lines nor duplicates."""
    decoder, line, counted = json.JSONDecoder(), 1, 0
    position = BETWEEN.match(text, text.index("{") + 1).end()
    while text[position] != "}":
        line, counted = line + text.count("\n", counted, position), position
        key, position = decoder.raw_decode(text, position)
        value, position = decoder.raw_decode(text, BETWEEN.match(text, position).end())
        yield line, key, value
        position = BETWEEN.match(text, position).end()


def _checked(entries: Iterable[tuple[int, str, object]]) -> OwnEmotions:
    emotions, problems, lines = [], [], {}
    for line, key, value in entries:
        name = " ".join(key.split())
        if problem := _name_problem(name) or _value_problem(value):
            problems.append(f'line {line}: "{shown(name, LONGEST_NAME)}" {problem}')
        elif _folded(name) in lines:
            problems.append(f'line {line}: "{shown(name, LONGEST_NAME)}" is already in line {lines[_folded(name)]}')
        else:
            lines[_folded(name)] = line
            emotions.append(NamedEmotion(name, OWN_SOURCE, Point(*map(float, value))))
    more = len(problems) - MOST_PROBLEMS
    if more > 0:
        problems[MOST_PROBLEMS:] = [f"and {more} more mistakes"]
    return OwnEmotions(tuple(emotions), tuple(problems))


def _name_problem(name: str) -> str | None:
    if len(name) > LONGEST_NAME:
        return f"is a name of {len(name)} characters: expected at most {LONGEST_NAME}"
    if not any(letter.isalpha() for letter in name) or not name.isprintable() or set("()<>") & set(name):
        return "is not a name: expected words, without brackets"
    return None


def _value_problem(value: object) -> str | None:
    if not isinstance(value, list) or len(value) != 2 or not all(map(_is_number, value)):
        return f"is {_spelled(value)}: expected [valence, arousal], two numbers"
    if not all(VA_MIN <= number <= VA_MAX for number in value):
        return f"is {_spelled(value)}: expected numbers from {VA_MIN:g} to {VA_MAX:g}"
    return None


def _spelled(value: object) -> str:
    try:
        return shown(json.dumps(value, ensure_ascii=False), LONGEST_NAME)
    except RecursionError:  # reading goes a little deeper than writing
        return "nested too deeply"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
