"""Which files of answers, and which answers in them, count."""

import json
import os
import re
from dataclasses import replace

import pytest

from tests.study.studies import SETTINGS, content, kept, put, sealed
from trainer.core.rows import DataError
from trainer.study.answers import read_answers
from trainer.study.make import make_study
from trainer.study.rehearsal import rehearse


def test_whole_files_are_read_however_they_are_spaced(study_key, tmp_path):
    one = json.dumps(content(study_key, 1), indent=4).encode()
    answers = read_answers(put(tmp_path, one=one, two=content(study_key, 2)), study_key)
    assert kept(answers) == ["one.json", "two.json"]
    assert answers.notes == []
    tasks = [task for task in study_key.participants[0] if task.check is None and task.kind != "practice"]
    assert [task for task, _ in answers.people[0].given] == tasks


FORGED = [
    ({"format": "x"}, "not the answers of a study page"),
    ({"study": "0" * 16}, "answers to another study"),
    ({"participant": 99}, "participant 99 is not one of 1 to 6"),
    ({"participant": True}, "participant is missing or not of type int"),
    ({"participant": "1"}, "participant is missing or not of type int"),
    ({"answers": None}, "answers is missing or not of type list"),
    ({"session": None}, "session is missing or not of type str"),
    ({"answers": [{"task": 999, "answer": 1, "ms": 5}]}, "an answer to task 999, which does not exist"),
    ({"answers": [5]}, "an answer to task None, which does not exist"),
    ({"answers": [{"task": 0, "answer": None, "ms": 5}] * 2}, "task 0 is answered twice"),
    ({"answers": [{"task": 0, "answer": None, "ms": -5}]}, "task 0 took -5 ms"),
]
IMPOSSIBLE = [
    ("order", ["0001.jpg"] * 5, "is not an order of its pictures"),
    ("order", "0001.jpg", "is not an order of its pictures"),
    ("order", [1, 2, 3, 4, 5], "is not an order of its pictures"),
    ("estimate", [3.5, 0], "is not a point of the field"),
    ("estimate", [float("nan"), 0], "is not a point of the field"),
    ("estimate", [1], "is not a point of the field"),
    ("consistency", 6, "6 is not a rating from 1 to 5"),
    ("smoothness", 2.5, "2.5 is not a rating from 1 to 5"),
    ("smoothness", True, "True is not a rating from 1 to 5"),
    ("practice", "yes", "expected true"),
]


def test_forged_files_are_left_out_and_named(study_key, tmp_path):
    """Their checksums fit; each is wrong in one field, or in one answer that the page cannot give."""
    bad, said = {}, {}
    for number, (change, message) in enumerate(FORGED):
        bad[f"field{number}"], said[f"field{number}"] = sealed(content(study_key, 2) | change), message
    for number, (kind, value, message) in enumerate(IMPOSSIBLE):
        values, name = content(study_key, 2), f"answer{number}"
        index = next(i for i, task in enumerate(study_key.participants[1]) if task.kind == kind)
        values["answers"][index]["answer"] = value
        bad[name], said[name] = sealed(values), rf"task {index} \({kind}\): .*{message}"
    answers = read_answers(put(tmp_path, good=content(study_key, 1), **bad), study_key)
    assert kept(answers) == ["good.json"] and len(answers.notes) == len(bad)
    for name, message in said.items():
        [note] = [note for note in answers.notes if note.startswith(f"{name}.json: left out: ")]
        assert re.search(message, note), note


@pytest.mark.parametrize(
    ("scale", "value", "message"),
    [
        ("affective-slider", [0.05, 0], "are not two places of the sliders"),
        ("affective-slider", [None, 0], "are not two places of the sliders"),
        ("affect-grid", [1.5, 1], "is not a square of the grid"),
    ],
)
def test_a_scale_gives_only_what_stands_on_it(study_manifest, tmp_path, scale, value, message):
    key = make_study(study_manifest, tmp_path / "study", replace(SETTINGS, answer=scale))
    rehearse(key, tmp_path / "good", 2)
    assert len(read_answers(tmp_path / "good", key).people) == 2
    wrong = json.loads((tmp_path / "good" / "answers-1-simulated.json").read_text("utf-8"))
    index = next(i for i, task in enumerate(key.participants[0]) if task.kind == "estimate")
    wrong["answers"][index]["answer"] = value
    put(tmp_path / "good", **{"answers-1-simulated": sealed(wrong)})
    answers = read_answers(tmp_path / "good", key)
    assert kept(answers) == ["answers-2-simulated.json"] and message in answers.notes[0]


def test_damage_is_told_apart(study_key, tmp_path):
    whole = json.dumps(content(study_key, 2)).encode()
    files = {
        "cut": (whole[:-30], "not JSON, perhaps cut off"),
        "edited": (whole.replace(b'"drawn": false', b'"drawn": true'), "the checksum does not match"),
        "list": (b"[]", "expected a JSON object"),
        "binary": (b"\xff\x00", "is not valid UTF-8"),
        "deep": (b"[" * 100_000, "not JSON"),
        "huge": (b" " * 5_000_001, "5 MB are too many"),
    }
    folder = put(tmp_path, good=content(study_key, 1), **{name: data for name, (data, _) in files.items()})
    (folder / "notes.docx").touch()
    answers = read_answers(folder, study_key)
    assert kept(answers) == ["good.json"]
    for name, (_, message) in files.items():
        [note] = [note for note in answers.notes if note.startswith(f"{name}.json: left out")]
        assert message in note
    assert "notes.docx: left out: not a .json file" in answers.notes


def test_duplicates_copies_and_second_persons_are_left_out(study_key, tmp_path):
    half = content(study_key, 1) | {"finished": None}
    half["answers"] = half["answers"][:4]
    copy = content(study_key, 1) | {"session": "another"}
    second = content(study_key, 2, session="somebody else", ms=7000)
    files = {"a_half": sealed(half), "b_whole": content(study_key, 1), "c_copy": sealed(copy)}
    folder = put(tmp_path, **files, d_two=content(study_key, 2), e_two=second)
    answers = read_answers(folder, study_key)
    assert kept(answers) == ["b_whole.json", "d_two.json"]
    assert answers.notes == [
        "c_copy.json: left out: every answer and time is that of b_whole.json: a copy",
        "e_two.json: left out: participant 2 sent d_two.json already",
        "a_half.json: left out: the same session as b_whole.json, which holds as much or more",
    ]


def test_numbers_that_the_page_drew_may_meet(study_key, tmp_path):
    both = content(study_key, 1), content(study_key, 1, "other", ms=8000)
    first, second = (sealed(values | {"drawn": True}) for values in both)
    assert len(read_answers(put(tmp_path, a=first, b=second), study_key).people) == 2


def test_incomplete_skipped_and_hasty_answers_are_kept_and_named(study_key, tmp_path):
    part = content(study_key, 1, ms=100) | {"finished": None}
    part["answers"] = part["answers"][:4]
    part["answers"][1]["answer"] = None
    answers = read_answers(put(tmp_path, part=sealed(part)), study_key)
    assert kept(answers) == ["part.json"]
    [incomplete, skipped, hasty] = answers.notes
    tasks = len(study_key.participants[0])
    assert incomplete == f"part.json: incomplete: 4 of {tasks} tasks; its answers are used"
    assert "1 tasks skipped" in skipped
    assert "hasty" in hasty


def test_who_fails_the_attention_checks_is_left_out(study_key, tmp_path):
    def inattentive(number: int, times: int) -> dict:
        values = content(study_key, number)
        checks = [i for i, task in enumerate(study_key.participants[number - 1]) if task.check is not None]
        for index in checks[:times]:
            task = study_key.participants[number - 1][index]
            values["answers"][index]["answer"] = [0, 0] if task.kind == "estimate" else 3
        return sealed(values)

    folder = put(tmp_path, one=inattentive(1, 1), two=inattentive(2, 2))
    answers = read_answers(folder, study_key)
    assert kept(answers) == ["one.json"]
    assert "two.json: left out: failed 2 of 2 attention checks" in answers.notes
    assert "one.json: failed 1 of 2 attention checks; kept" in answers.notes
    with pytest.raises(DataError, match=r"none of the files can be used\n.*failed 1 of 2"):
        read_answers(folder, study_key, failed_checks=0)


def test_simulated_answers_never_mix_with_real_ones(study_key, tmp_path):
    rehearse(study_key, tmp_path, 2)
    assert read_answers(tmp_path, study_key).simulated
    put(tmp_path, real=content(study_key, 3))
    answers = read_answers(tmp_path, study_key)
    assert kept(answers) == ["real.json"]
    assert not answers.simulated
    assert len(answers.notes) == 2


def test_what_cannot_be_read_at_all_is_refused(study_key, tmp_path):
    with pytest.raises(DataError, match="there is no such folder"):
        read_answers(tmp_path / "none", study_key)
    with pytest.raises(DataError, match="the folder is empty"):
        read_answers(tmp_path, study_key)
    with pytest.raises(DataError, match="--failed-checks must be 0 or more, got -1"):
        read_answers(tmp_path, study_key, -1)


def test_what_is_not_a_regular_file_is_left_out_at_once(study_key, tmp_path):
    put(tmp_path, good=content(study_key, 1))
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "device.json").symlink_to("/dev/zero")
    (tmp_path / "\x1b[2J<b>.json").write_text("{}")
    answers = read_answers(tmp_path, study_key)
    assert kept(answers) == ["good.json"] and len(answers.notes) == 3
    assert all(note.isprintable() and "<" not in note for note in answers.notes)
    assert sum("not a regular file" in note for note in answers.notes) == 2
