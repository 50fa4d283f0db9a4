"""Reads the files that participants sent: intact ones are kept, the others are named with what is wrong.

The checksum reveals a damaged or edited file. It does not stop somebody who reads the page's code and computes a new
one, but every answer of such a file must still fit the participant's own plan.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emoticrafter.files import regular
from emoticrafter.quoting import shown
from trainer.core.rows import DataError, read_text
from trainer.study.key import STEPS, Key, Task

FORMAT, VERSION = "emoticrafter-study-answers", 1
LONGEST_REASON = 300
LARGEST_FILE = 5_000_000  # bytes; real answers are some thousands
HASTY = 1000  # milliseconds per task, in the median: nobody looks at pictures so fast
FIELDS = {"participant": int, "drawn": bool, "session": str, "answers": list, "checksum": str}


@dataclass
class Participant:
    """One person's answers.

    Attributes:
        file: Name of the file.
        number: The plan that was followed, from 1.
        drawn: Whether the page drew the number: several people may then have the same one.
        session: Name of the session; no two people share it.
        finished: When everything was answered, ISO 8601; None if it was not.
        given: Task -> answer, for the tasks that were answered and not skipped.
        skipped: How many tasks were skipped.
        failed: How many attention checks were failed.
        checks: How many were answered.
        hasty: Whether the answers came faster than anybody can look.
        simulated: Whether a program answered.
    """

    file: str
    number: int
    drawn: bool
    session: str
    finished: str | None
    given: list[tuple[Task, Any]]
    skipped: int
    failed: int
    checks: int
    hasty: bool
    simulated: bool
    raw: list[dict[str, Any]]


@dataclass
class Answers:
    """The people to be analysed, and notes on single files."""

    people: list[Participant]
    notes: list[str]

    @property
    def simulated(self) -> bool:
        return bool(self.people) and self.people[0].simulated


def checksum(content: dict[str, Any]) -> str:
    """FNV-1a, 32 bits, of the content as the page wrote it."""
    value = 0x811C9DC5
    for byte in json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode("utf-8"):
        value = (value ^ byte) * 0x01000193 & 0xFFFFFFFF
    return f"{value:08x}"


# ---- one file --------------------------------------------------------------------------------------


def read_file(path: Path, key: Key) -> Participant:
    """Reads and checks one file.

    Raises:
        ValueError: what is wrong with it.
    """
    content = _content(path)
    if content.get("format") != FORMAT or content.get("version") != VERSION:
        raise ValueError("not the answers of a study page (format or version differ)")
    if content.get("study") != key.study:
        raise ValueError(f"answers to another study ({content.get('study')!r:.40}, expected {key.study!r})")
    for name, kind in FIELDS.items():
        if type(content.get(name)) is not kind:  # True is an int, too
            raise ValueError(f"{name} is missing or not of type {kind.__name__}: the file was changed")
    number = content["participant"]
    if not 1 <= number <= len(key.participants):
        raise ValueError(f"participant {number} is not one of 1 to {len(key.participants)}: the file was changed")
    if content.pop("checksum") != checksum(content):
        raise ValueError("the checksum does not match: the file was changed or damaged after it was saved")
    return _participant(shown(path.name), content, key.participants[number - 1])


def _content(path: Path) -> dict[str, Any]:
    if regular(path).stat().st_size > LARGEST_FILE:
        raise ValueError(f"{path.stat().st_size / 1e6:.0f} MB are too many for answers")
    try:
        content = json.loads(read_text(path))
    except DataError as error:
        raise ValueError(str(error).removeprefix(f"{path}: ")) from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON, perhaps cut off ({error}); ask for the file again") from error
    if not isinstance(content, dict):
        raise ValueError("expected a JSON object")
    return content


def _participant(file: str, content: dict[str, Any], tasks: list[Task]) -> Participant:
    given, times, seen = [], [], set()
    skipped = failed = checks = 0
    for entry in content["answers"]:
        number, answer, ms = _entry(entry, len(tasks), seen)
        seen.add(number)
        task = tasks[number]
        if answer is None:
            skipped += 1
            continue
        if problem := _problem(task, answer):
            raise ValueError(f"task {number} ({task.kind}): {problem}; the page did not make this file")
        times.append(ms)
        if task.check is not None:
            checks += 1
            failed += not passes(task, answer)
        elif task.kind != "practice":
            given.append((task, answer))
    hasty = bool(times) and sorted(times)[len(times) // 2] < HASTY
    finished = content.get("finished") if len(seen) == len(tasks) else None
    return Participant(
        file, content["participant"], content["drawn"], content["session"],
        finished if isinstance(finished, str) else None,
        given, skipped, failed, checks, hasty, content.get("simulated") is True, content["answers"],
    )  # fmt: skip


def _entry(entry: Any, count: int, seen: set[int]) -> tuple[int, Any, float]:
    number = entry.get("task") if isinstance(entry, dict) else None
    if not _within(number, 0, count - 1, int):
        raise ValueError(f"an answer to task {number!r:.40}, which does not exist; the page did not make this file")
    if number in seen:
        raise ValueError(f"task {number} is answered twice; the page did not make this file")
    ms = entry.get("ms")
    if not _within(ms, 0, 1e12):
        raise ValueError(f"task {number} took {ms!r:.40} ms; the page did not make this file")
    return number, entry.get("answer"), ms


def _problem(task: Task, answer: Any) -> str | None:
    """What is wrong with an answer, or None."""
    if task.kind == "practice":
        return None if answer is True else "expected true"
    if task.kind == "order":
        whole = isinstance(answer, list) and all(isinstance(name, str) for name in answer)
        good = whole and sorted(answer) == sorted(task.images)
        return None if good else f"{answer!r:.80} is not an order of its pictures"
    if task.kind == "estimate":
        good = isinstance(answer, list) and len(answer) == 2 and all(_within(value, -3, 3) for value in answer)
        good = good and (task.scale is None or all(_on_scale(value, STEPS[task.scale]) for value in answer))
        place = {"affective-slider": "are not two places of the sliders", "affect-grid": "is not a square of the grid"}
        return None if good else f"{answer!r:.80} {place.get(task.scale, 'is not a point of the field')}"
    return None if _within(answer, 1, 5, int) else f"{answer!r:.80} is not a rating from 1 to 5"


def _within(value: Any, low: float, high: float, kind: type | tuple[type, ...] = (int, float)) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool) and low <= value <= high


def _on_scale(value: float, step: float) -> bool:
    """Whether one of a scale's answers is meant; browsers round them."""
    return abs(value / step - round(value / step)) < 1e-6


def passes(task: Task, answer: Any) -> bool:
    """Whether an attention check was answered as it asked: the corner's quarter of the field, or the rating."""
    if task.kind != "estimate":
        return answer == task.check
    height, side = str(task.check).split()
    valence, arousal = answer
    return (valence > 1 if side == "right" else valence < -1) and (arousal > 1 if height == "top" else arousal < -1)


# ---- a folder --------------------------------------------------------------------------------------


def read_answers(folder: Path, key: Key, failed_checks: int = 1) -> Answers:
    """Reads every ``.json`` file of a folder.

    Args:
        folder: Holds a file for each participant.
        key: Of the study.
        failed_checks: Attention checks that a person may fail and stay in.

    Raises:
        DataError: The folder does not exist, or holds no usable file.
    """
    folder = Path(folder)
    if failed_checks < 0:
        raise DataError(f"--failed-checks must be 0 or more, got {failed_checks}.")
    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such folder. Put the participants' files into one.")
    people, notes = [], []
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.is_dir():
            continue
        if path.suffix.lower() not in (".json", ".txt"):
            notes.append(f"{shown(path.name)}: left out: not a .json file")
            continue
        try:
            people.append(read_file(path, key))
        except (ValueError, OSError, RecursionError) as error:
            notes.append(f"{shown(path.name)}: left out: {shown(str(error), LONGEST_REASON)}")
    if not people and not notes:
        raise DataError(f"{folder}: the folder is empty. Put the participants' .json files there.")
    people = _one_each(people, notes)
    people = _attentive(people, notes, failed_checks)
    people = _of_one_kind(people, notes)
    if not people:
        raise DataError(f"{folder}: none of the files can be used\n" + "\n".join(f"  {n}" for n in notes))
    notes += [note for person in people for note in _remarks(person, key)]
    return Answers(people, notes)


def _one_each(people: Iterable[Participant], notes: list[str]) -> list[Participant]:
    """Leaves out repeated sessions, copies under another name, and a second person with a number that was given out."""
    kept: list[Participant] = []
    # Whole ones first, then those with more answers, then by time.
    for person in sorted(people, key=lambda p: (p.finished is None, -len(p.raw), p.finished or "", p.file)):
        for other in kept:
            if person.session == other.session:
                why = f"the same session as {other.file}, which holds as much or more"
            elif person.raw == other.raw and person.raw:
                why = f"every answer and time is that of {other.file}: a copy"
            elif person.number == other.number and not (person.drawn or other.drawn):
                why = f"participant {person.number} sent {other.file} already"
            else:
                continue
            notes.append(f"{person.file}: left out: {why}")
            break
        else:
            kept.append(person)
    return sorted(kept, key=lambda person: (person.number, person.file))


def _attentive(people: list[Participant], notes: list[str], allowed: int) -> list[Participant]:
    for person in people:
        if person.failed > allowed:
            notes.append(f"{person.file}: left out: failed {person.failed} of {person.checks} attention checks")
    return [person for person in people if person.failed <= allowed]


def _of_one_kind(people: list[Participant], notes: list[str]) -> list[Participant]:
    real = [person for person in people if not person.simulated]
    for person in people if real else []:
        if person.simulated:
            notes.append(f"{person.file}: left out: simulated answers beside real ones")
    return real or people


def _remarks(person: Participant, key: Key) -> list[str]:
    """Notes on a person who is kept."""
    remarks = []
    if person.finished is None:
        remarks.append(
            f"incomplete: {len(person.raw)} of {len(key.participants[person.number - 1])} tasks; its answers are used"
        )
    if person.skipped:
        remarks.append(f"{person.skipped} tasks skipped")
    if person.failed:
        remarks.append(f"failed {person.failed} of {person.checks} attention checks; kept")
    if person.hasty:
        remarks.append(f"hasty: half of the tasks in less than {HASTY / 1000:g} s; kept, look at it")
    return [f"{person.file}: {remark}" for remark in remarks]
