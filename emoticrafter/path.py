"""Paths through the valence-arousal plane: reads keyframes and computes the points between them."""

import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import NamedTuple

import numpy as np

from .emotions import LONGEST_NAME, MOST_PROBLEMS, NamedEmotion, by_words, look_up
from .quoting import quoted, shown
from .typed import looks_numeric, read_number, read_numbers, read_whole
from .va import VA_MAX, VA_MIN, Point, rounded

EASINGS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "linear": lambda t: t,
    "ease in-out": lambda t: t * t * (3 - 2 * t),
    "ease in": lambda t: t * t,
    "ease out": lambda t: t * (2 - t),
    "hold": np.floor,
}
"""From one keyframe (0) to the next (1); all are monotone and map 0 to 0 and 1 to 1."""
SMOOTH = "smooth"  # one curve through all keyframes, not a movement between each two
LINE = re.compile(r"(?P<position>\S+?(\s[%％٪])?)(\s*([:：，、،]|,(?!\d))\s*|\s+)(?P<words>\S.*)")
NEXT = re.compile(
    r"[;；﹔\u037e؛፤|｜¦。｡।]|(?:[，、،]|(?<!\d),|,(?=\s))\s*(?=\d[\d.]*\s*[:：%％٪])|(?<=[^\W\d_])[,，、،]\s*(?=\d)"
)
"""May end a keyframe in place of a line break: a comma, too, before what can only be a position, or behind a name."""
TRAILING = " \t\xa0\u3000\ufeff,，、،。"
_short = partial(shown, most=LONGEST_NAME)
EXAMPLE = 'such as "0 calm" or "50% -1.5 2"'


class Keyframe(NamedTuple):
    frame: float
    """Counted from 0; a percentage may give a fraction of a frame."""
    point: Point


def read_keyframes(text: str, frames: int, emotions: Iterable[NamedEmotion], closed: bool = False) -> list[Keyframe]:
    """Reads keyframes, one per line: a position, then valence and arousal or a named emotion.

    A position is a frame, counted from 0 ("12"), or a percentage of the path ("50%"): 100% is the last frame, and of
    a closed path the first one again. Blank lines do not count; a semicolon or a bar ends a keyframe, too.
    Numbers are read as `typed.read_number` does.

    Args:
        text: For example "0 calm" and "100% -1.5, 2" in two lines.
        frames: The length of the path.
        emotions: The emotions that lines may name, see `emotions.find_emotion`.
        closed: Whether the path returns to its first frame.

    Returns:
        Two or more keyframes, their frames rising, inside [0, frames).

    Raises:
        ValueError: An open path of one frame, lines that cannot be read, positions out of order or outside the
            path, or too few keyframes. Names the first 10 faulty lines, with what was expected.
    """
    if not closed and frames < 2:
        raise ValueError(
            f"frames is {frames}: an open path has its first and its last keyframe in different frames. Set frames "
            "to 2 or more, or closed to true."
        )
    known = by_words(emotions)
    keyframes: list[Keyframe] = []
    problems, last = [], ""  # the last place, as written, and its line
    for number, line in _lines(text):
        try:
            place, keyframe = _read_line(line, frames, known, closed)
            if _ends_the_loop(keyframe, keyframes, frames, closed):
                continue
            if keyframes and keyframe.frame <= keyframes[-1].frame:
                raise ValueError(f"{place} does not come after {last}: expected positions that rise from line to line")
            _check_inside(place, keyframe.frame, frames, closed)
        except ValueError as error:
            problems.append(f"line {number}: {error}")
            if len(problems) == MOST_PROBLEMS:
                break
        else:
            keyframes.append(keyframe)
            last = f"{place} of line {number}"
    if problems:
        raise ValueError("The keyframes cannot be used:\n" + "\n".join(problems))
    if len(keyframes) < 2:
        raise ValueError(f"The path has {_counted(len(keyframes))}: expected two or more, a line each, {EXAMPLE}.")
    return keyframes


def _lines(text: str) -> list[tuple[int, str]]:
    """(number, text) of each keyframe's line: a line may hold several, "0 calm; 12 sad"."""
    found: list[tuple[int, list[str]]] = []
    for number, line in enumerate(text.splitlines(), 1):
        for part in filter(None, (part.strip(TRAILING) for part in NEXT.split(line))):
            if LINE.fullmatch(part) or not (found and found[-1][0] == number):
                found.append((number, [part]))
            else:  # the second number of a point, as in "12 -1,5; 2"
                found[-1][1].append(part)
    return [(number, "; ".join(parts)) for number, parts in found]


def _read_line(line: str, frames: int, known: Mapping[str, Point], closed: bool) -> tuple[str, Keyframe]:
    """(the position as written, for errors; the keyframe)."""
    parts = LINE.fullmatch(line)
    if not parts:
        raise ValueError(f'"{_short(line)}" is not a keyframe: expected a position and an emotion, {EXAMPLE}')
    position = parts["position"]
    frame, is_share = _read_position(position, frames, closed)
    place = f"{_short(position)} (frame {frame:.10g})" if is_share else f"frame {frame:.0f}"
    return place, Keyframe(frame, _read_point(parts["words"], known))


def _read_position(position: str, frames: int, closed: bool) -> tuple[float, bool]:
    """(the frame, whether it was given as a percentage)."""
    number = position.strip("%％٪ ")
    is_share = number != position
    try:
        value = read_number(number) if is_share else read_whole(number)
    except ValueError:
        value = -1
    if not 0 <= value < (1000 if is_share else 10**9):
        raise ValueError(
            f'"{_short(position)}" is not a position: expected a whole frame such as 12, or a part such as 50%'
        )
    return (value / 100 * (frames if closed else frames - 1) if is_share else float(value)), is_share


def _read_point(words: str, known: Mapping[str, Point]) -> Point:
    try:
        numbers = read_numbers(words, count=2)
    except ValueError as error:
        return _named(words, known, error)
    for name, number in zip(("valence", "arousal"), numbers, strict=True):
        if not VA_MIN <= number <= VA_MAX:
            raise ValueError(f"{name} is {number:g}: expected a number from {VA_MIN:g} to {VA_MAX:g}")
    return Point(*numbers)


def _named(words: str, known: Mapping[str, Point], not_numbers: ValueError) -> Point:
    """The point of a name; of what is none either, the error speaks of numbers if it begins like one."""
    try:
        return look_up(words, known)
    except ValueError:
        if not looks_numeric(words):
            raise
        raise ValueError(
            f'"{_short(words)}" is not a point: expected valence and arousal, two numbers, or a named emotion '
            f"({not_numbers})"
        ) from None


def _ends_the_loop(keyframe: Keyframe, before: list[Keyframe], frames: int, closed: bool) -> bool:
    """Whether it only states what a closed path does anyway: after the last frame comes the first."""
    return closed and bool(before) and keyframe == Keyframe(before[0].frame + frames, before[0].point)


def _check_inside(place: str, frame: float, frames: int, closed: bool) -> None:
    if closed and frame == frames:
        raise ValueError("in a closed path this is the first frame again: give it the same emotion, or leave it out")
    if frame > frames - (0 if closed else 1):
        raise ValueError(f"{place} is outside the path: its {frames} frames are 0 to {frames - 1}")


def _counted(keyframes: int) -> str:
    return "1 keyframe" if keyframes == 1 else f"{keyframes or 'no'} keyframes"


def path_points(keyframes: list[Keyframe], frames: int, easing: str = "linear", closed: bool = False) -> list[Point]:
    """One point per frame.

    Between two keyframes each axis is monotone, whatever the easing; nothing overshoots. "smooth" is the monotone
    cubic of Fritsch and Carlson through all keyframes. An open path rests before its first and after its last
    keyframe; a closed one continues from the last to the first, so that frame `frames` would be frame 0.

    Raises:
        ValueError: An unknown easing, fewer than two keyframes, or no frame.
    """
    if easing not in (*EASINGS, SMOOTH):
        raise ValueError(f"easing is {quoted(easing)}: expected one of {', '.join((*EASINGS, SMOOTH))}.")
    if len(keyframes) < 2 or frames < 1:
        raise ValueError(f"Got {_counted(len(keyframes))} and {frames} frames: expected two and one, or more.")
    if closed:
        laps = ((lap, keyframe) for lap in (-frames, 0, frames) for keyframe in keyframes)
        keyframes = [Keyframe(frame + lap, point) for lap, (frame, point) in laps]
    places = np.array([keyframe.frame for keyframe in keyframes])
    points = np.array([keyframe.point for keyframe in keyframes])
    moments = np.clip(np.arange(frames), places[0], places[-1])
    path = _smooth(places, points, moments) if easing == SMOOTH else _eased(places, points, moments, easing)
    return [rounded(*point) for point in path]


def _eased(places: np.ndarray, points: np.ndarray, moments: np.ndarray, easing: str) -> np.ndarray:
    """places [K], points [K, 2], moments [F] -> [F, 2]."""
    before = np.clip(np.searchsorted(places, moments, side="right") - 1, 0, len(places) - 2)
    way = (moments - places[before]) / (places[before + 1] - places[before])
    return points[before] + EASINGS[easing](way)[:, None] * (points[before + 1] - points[before])


def _smooth(places: np.ndarray, points: np.ndarray, moments: np.ndarray) -> np.ndarray:
    from scipy.interpolate import PchipInterpolator  # slow to import, and only needed here

    return PchipInterpolator(places, points)(moments)
