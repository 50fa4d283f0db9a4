"""trainer/study: who is asked what, what the page gives away, which answers count, and what they come to."""

import base64
import hashlib
import html
import json
import re
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture
from PIL import PngImagePlugin
from scipy import stats

from trainer.evaluation.statistics import holm
from trainer.manifest import Image, read_manifest, write_manifest
from trainer.rows import DataError
from trainer.study.__main__ import main
from trainer.study.analyse import MEASURES, analyse, compare, summarise, value_of
from trainer.study.answers import checksum, read_answers
from trainer.study.key import Key, Task, load_key
from trainer.study.make import StudySettings, make_study
from trainer.study.plan import Amounts, five_along, make_plan, parts_in_order, take_stock, williams
from trainer.study.rehearsal import answers_content, paint_example, rehearse
from trainer.study.report import as_markdown, as_text

LINE = (-3.0, -1.5, 0.0, 1.5, 3.0)
CROSS = [(v, 0.0) for v in LINE] + [(0.0, a) for a in LINE if a]
AMOUNTS = Amounts(order=1, estimate=2, consistency=1, smoothness=1)
SETTINGS = StudySettings(participants=6, amounts=AMOUNTS, image_size=64)
METHODS = ("ours", "rival")


def images(methods=METHODS, contents=8, points=CROSS) -> list[Image]:
    return [
        Image(Path(f"{name}.png"), f"Prompt {number}.", v, a, number, method, name)
        for method in methods
        for number in range(contents)
        for v, a in points
        for name in [f"{method}-{number}-{v:+g}-{a:+g}"]
    ]


def save(found: list[Image], folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(found):
        Picture.new("RGB", (8, 8), (number % 256, number // 256, 0)).save(folder / image.path)
    write_manifest(folder / "manifest.jsonl", found)
    return folder / "manifest.jsonl"


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return save(images(), tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def study(manifest, tmp_path_factory):
    folder = tmp_path_factory.mktemp("study") / "study"
    make_study(manifest, folder, SETTINGS)
    return folder


@pytest.fixture(scope="module")
def key(study):
    return load_key(study)


# ---- who is asked what -------------------------------------------------------------------------------


@pytest.mark.parametrize("count", range(1, 7))
def test_methods_come_equally_often_at_each_place_and_behind_each_other(count):
    rows = williams(count)
    for column in zip(*rows, strict=True):
        assert set(Counter(column).values()) == {len(rows) // count}
    following = Counter(pair for row in rows for pair in pairwise(row))
    assert len(following) == count * (count - 1)
    assert len(set(following.values())) <= 1


def plan_of(methods, participants, seed=0, amounts=AMOUNTS, contents=12):
    found = images(methods, contents)
    return make_plan(take_stock(found), amounts, participants, seed), {image.id: image for image in found}


def met(tasks, known, kind, axis=None):
    """(method, content, points) of a participant's tasks of one kind."""
    found = []
    for task in tasks:
        if task.kind == kind and task.images and axis in (None, task.axis):
            shown = [known[image] for image in task.images]
            points = tuple(sorted((image.valence, image.arousal) for image in shown))
            found.append((shown[0].method, shown[0].seed, points))
    return found


EACH = {
    ("order", "valence"): 2,
    ("order", "arousal"): 2,
    ("estimate", None): 3,
    ("consistency", None): 1,
    ("smoothness", None): 2,
}


@pytest.mark.parametrize("methods", [("a",), ("a", "b"), ("a", "b", "c")])
def test_a_group_meets_the_same_contents_each_by_every_method_and_nobody_one_twice(methods):
    count = len(methods)
    plan, known = plan_of(methods, 4 * count, amounts=Amounts(2, 3, 1, 2))
    for (kind, axis), each in EACH.items():
        for first in range(0, len(plan), count):
            group = [met(tasks, known, kind, axis) for tasks in plan[first : first + count]]
            for person in group:
                assert Counter(method for method, _, _ in person) == dict.fromkeys(methods, each)
                assert len({content for _, content, _ in person}) == len(person)
            everything = Counter(item for person in group for item in person)
            assert set(everything.values()) == {1}
            by_method = [{(c, p) for m, c, p in everything if m == method} for method in methods]
            assert all(items == by_method[0] for items in by_method)


def test_a_series_has_five_pictures_of_one_method_and_prompt_along_one_axis():
    plan, known = plan_of(("a", "b"), 8)
    for task in (task for tasks in plan for task in tasks if task.kind in ("order", "smoothness")):
        series = [known[image] for image in task.images]
        assert len({(image.method, image.prompt, image.seed) for image in series}) == 1
        values = [(image.valence, image.arousal) for image in series]
        along, across = zip(
            *(value if task.axis == "valence" else value[::-1] for value in values), strict=True
        )
        assert sorted(along) == list(LINE)
        assert set(across) == {0.0}
        assert task.kind == "order" or list(along) == list(LINE)


def test_the_order_at_first_does_not_tell_the_right_one():
    plan, known = plan_of(("a", "b"), 60)
    taus = [
        stats.kendalltau(range(5), [getattr(known[image], task.axis) for image in task.images]).statistic
        for tasks in plan
        for task in tasks
        if task.kind == "order"
    ]
    assert abs(np.mean(taus)) < 0.06


def test_parts_come_in_eight_orders_with_the_ratings_last():
    orders = {tuple(parts_in_order(turn)) for turn in range(8)}
    assert len(orders) == 8
    assert all({kind for kind, _ in order[3:]} == {"consistency", "smoothness"} for order in orders)
    plan, _ = plan_of(("a", "b"), 16)
    seen = Counter(
        tuple(dict.fromkeys((t.kind, t.kind == "order" and t.axis) for t in tasks)) for tasks in plan
    )
    assert len(seen) == 8
    assert set(seen.values()) == {2}


def test_practice_comes_before_the_first_ordering_and_checks_behind_a_first_task():
    plan, _ = plan_of(("a", "b"), 8)
    for tasks in plan:
        kinds = [task.kind for task in tasks]
        assert kinds.count("practice") == 1
        assert kinds[kinds.index("practice") + 1] == "order"
        assert "order" not in kinds[: kinds.index("practice")]
        assert Counter(t.kind for t in tasks if t.check is not None) == {"estimate": 1, "consistency": 1}
        assert tasks[kinds.index("estimate")].check is None


def test_the_seed_decides_everything():
    assert plan_of(("a", "b"), 6, seed=3)[0] == plan_of(("a", "b"), 6, seed=3)[0]
    assert plan_of(("a", "b"), 6, seed=3)[0] != plan_of(("a", "b"), 6, seed=4)[0]


def test_contents_are_used_up_before_any_comes_again():
    plan, known = plan_of(("a", "b"), 12, amounts=Amounts(0, 2, 0, 0), contents=12)
    used = Counter(seed for tasks in plan for _, seed, _ in met(tasks, known, "estimate"))
    assert set(used.values()) == {4}  # 12 people x 4 tasks over 12 prompts


def test_five_points_are_spread_over_a_line_that_is_near_the_middle():
    line = [(v, 0.5) for v in range(-3, 4)] + [(float(v), -2.0) for v in range(-3, 4)]
    assert five_along(line, 0) == [(-3, 0.5), (-1, 0.5), (0, 0.5), (1, 0.5), (3, 0.5)]
    assert five_along(line, 1) is None


def test_an_axis_that_never_varies_is_not_asked_about():
    found = images(points=[(v, 0.0) for v in LINE])
    plan = make_plan(take_stock(found), AMOUNTS, 4, 0)
    assert {task.axis for tasks in plan for task in tasks} == {"valence", None}


@pytest.mark.parametrize(
    ("amounts", "contents", "message"),
    [
        (Amounts(order=3), 4, r"--order 3 .*\(ours, rival\) needs 6 .* series along valence .* 4: at most --order 2"),
        (Amounts(estimate=9), 4, r"--estimate 9 .* needs 18 .* and there are 4: at most --estimate 2"),
        (Amounts(order=-1), 4, "--order must be from 0 to 100, got -1"),
        (Amounts(0, 0, 0, 0), 4, "nothing is asked: every amount is 0"),
    ],
)  # fmt: skip
def test_amounts_that_the_images_do_not_allow_are_named(amounts, contents, message):
    with pytest.raises(DataError, match=message):
        make_plan(take_stock(images(contents=contents)), amounts, 4, 0)


def test_images_without_any_series_can_be_estimated_and_nothing_else():
    stock = take_stock(images(points=[(1.0, 1.0), (-1.0, -1.0)]))
    with pytest.raises(DataError, match="full series along valence by every method, and there are 0"):
        make_plan(stock, Amounts(), 4, 0)
    assert make_plan(stock, Amounts(0, 2, 2, 0), 4, 0)


def test_what_only_one_method_has_is_not_asked_about():
    found = images() + images(methods=("ours",), points=[(2.0, 2.0)])
    plan = make_plan(take_stock(found), AMOUNTS, 8, 0)
    assert not any("+2-+2" in image for tasks in plan for task in tasks for image in task.images)


def test_two_images_for_one_request_are_refused():
    first = images()[0]
    with pytest.raises(DataError, match="were made by 'ours' for the same prompt, seed, valence and arousal"):
        take_stock([first, replace(first, id="other")])


# ---- the page ------------------------------------------------------------------------------------------


def page_of(study: Path) -> str:
    return (study / "page" / "index.html").read_text("utf-8")


def test_the_page_tells_nothing_of_methods_and_values(study, key):
    page = page_of(study)
    for word in ("ours", "rival"):
        assert not re.search(rf"\b{word}\b", page)
    names = sorted(path.name for path in (study / "page" / "images").iterdir())
    assert names == [f"{number:04d}.jpg" for number in range(1, len(names) + 1)]
    assert names == sorted(key.pictures)
    plan = json.loads(re.search(r'id="plan">(.*?)</script>', page, re.DOTALL)[1])
    fields = {name for tasks in plan["participants"] for task in tasks for name in task}
    assert fields == {"kind", "images", "axis", "check", "prompt"}
    shown = [task for tasks in plan["participants"] for task in tasks if task["kind"] == "smoothness"]
    assert not any("axis" in task for task in shown)


def test_the_numbers_of_pictures_do_not_follow_methods_or_values(key):
    pictures = [key.pictures[name] for name in sorted(key.pictures)]
    numbers = range(len(pictures))
    for values in zip(*((p.method == "ours", p.valence, p.arousal) for p in pictures), strict=True):
        assert stats.kendalltau(numbers, values).pvalue > 0.01


def test_the_page_loads_nothing_from_anywhere(study):
    page = page_of(study)
    assert not re.findall(r"""(?:src|href)=["']""", page)
    assert set(re.findall(r"https?://[^\s\"'`<>]+", page)) <= {"http://www.w3.org/2000/svg"}
    policy = html.unescape(re.search(r'Content-Security-Policy" content="(.*?)"', page)[1])
    script = re.search(r"<script>(.*?)</script>", page, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy.startswith("default-src 'none'; ")
    assert f"script-src 'sha256-{digest}'" in policy


def test_the_same_seed_makes_the_same_bytes(manifest, study, tmp_path):
    make_study(manifest, tmp_path / "again", SETTINGS)
    files = sorted(path.relative_to(study) for path in study.rglob("*") if path.is_file())
    assert len(files) > 20
    assert all((study / file).read_bytes() == (tmp_path / "again" / file).read_bytes() for file in files)


def test_pictures_lose_what_is_written_in_them_and_keep_what_they_show(tmp_path):
    found = images(contents=2)
    manifest = save(found, tmp_path)
    note = PngImagePlugin.PngInfo()
    note.add_text("prompt", "secret workflow of ours")
    for image in read_manifest(manifest):
        Picture.new("RGBA", (300, 150), (200, 30, 30, 255)).save(image.path, pnginfo=note)
    make_study(manifest, tmp_path / "study", replace(SETTINGS, amounts=Amounts(1, 1, 1, 1), image_size=100))
    for path in (tmp_path / "study" / "page" / "images").iterdir():
        assert b"secret" not in path.read_bytes()
        with Picture.open(path) as picture:
            assert picture.size == (100, 50)
            assert np.abs(np.array(picture.getpixel((50, 25))) - (200, 30, 30)).max() < 8


def test_one_file_holds_everything(manifest, tmp_path):
    make_study(manifest, tmp_path / "study", replace(SETTINGS, single_file=True))
    assert [path.name for path in (tmp_path / "study" / "page").iterdir()] == ["index.html"]
    plan = json.loads(re.search(r'id="plan">(.*?)</script>', page_of(tmp_path / "study"), re.DOTALL)[1])
    assert all(source.startswith("data:image/jpeg;base64,") for source in plan["sources"].values())
    used = {image for tasks in plan["participants"] for task in tasks for image in task["images"]}
    assert used == plan["sources"].keys()


def test_texts_stay_texts(tmp_path):
    evil = "</script><script>alert(1)</script>{{script}}"
    manifest = save([replace(image, prompt=f"{evil} {image.seed}") for image in images(contents=4)], tmp_path)
    make_study(
        manifest, tmp_path / "study", replace(SETTINGS, title=evil, consent=f"{evil} {{minutes}}\n\nTwo")
    )
    page = page_of(tmp_path / "study")
    assert page.count("<script") == 2
    plan = json.loads(re.search(r'id="plan">(.*?)</script>', page, re.DOTALL)[1])
    assert plan["title"] == evil
    assert re.fullmatch(re.escape(evil) + r" \d+", plan["consent"][0])
    assert plan["consent"][1] == "Two"


def test_a_study_that_is_there_is_never_changed(manifest, study):
    before = page_of(study)
    with pytest.raises(DataError, match="is there already, and a study must not change"):
        make_study(manifest, study, replace(SETTINGS, seed=5))
    assert page_of(study) == before


def test_every_unreadable_image_is_named_and_nothing_is_written(tmp_path):
    manifest = save(images(), tmp_path)
    for image in read_manifest(manifest):
        image.path.write_bytes(b"no picture")
    with pytest.raises(
        DataError, match=r"images cannot be read\n.*not a picture that can be read(.*\n)+.*and \d+ more"
    ):
        make_study(manifest, tmp_path / "study", SETTINGS)
    assert not list(tmp_path.glob("*study*"))


def test_a_key_that_was_changed_is_refused(study, tmp_path):
    text = (study / "key.json").read_text("utf-8")
    changed = tmp_path / "key.json"
    changed.write_text(text.replace('"ours"', '"mine"', 1), "utf-8")
    with pytest.raises(DataError, match="was changed after it was written"):
        load_key(changed)
    for broken in ("{}", "[", '{"format": "emoticrafter-study-key"}', text.replace('"kind"', '"sort"', 1)):
        changed.write_text(broken, "utf-8")
        with pytest.raises(DataError, match=r"not the key of a study. Expected the key\.json"):
            load_key(changed)


# ---- answers --------------------------------------------------------------------------------------------


def answer(task: Task, key: Key, wrong: bool = False):
    """What somebody answers who sees exactly what was asked for (or the contrary)."""
    if task.kind == "practice":
        return True
    if task.check is not None and task.kind == "estimate":
        place = {"top": 3, "bottom": -3, "left": -3, "right": 3}
        return [place[word] for word in task.check.split()[::-1]]
    if task.check is not None:
        return task.check
    pictures = [key.pictures[name] for name in task.images]
    if task.kind == "order":
        return sorted(task.images, key=lambda n: getattr(key.pictures[n], task.axis), reverse=wrong)
    if task.kind == "estimate":
        return [pictures[0].valence, pictures[0].arousal]
    return 1 if wrong else 5


def content(key: Key, number: int, session: str | None = None, wrong: bool = False, ms: int = 5000) -> dict:
    answers = [
        {"task": index, "answer": answer(task, key, wrong), "ms": ms + number + index, "moves": 1}
        for index, task in enumerate(key.participants[number - 1])
    ]
    return answers_content(key, number, session or f"session-{number}", answers)


def sealed(values: dict) -> dict:
    """With the checksum that fits."""
    values = {name: value for name, value in values.items() if name != "checksum"}
    return values | {"checksum": checksum(values)}


def put(folder: Path, **files: dict | str | bytes) -> Path:
    folder.mkdir(exist_ok=True)
    for name, values in files.items():
        data = values if isinstance(values, bytes) else json.dumps(values).encode()
        (folder / f"{name}.json").write_bytes(data)
    return folder


def kept(answers) -> list[str]:
    return [person.file for person in answers.people]


def test_whole_files_are_read_however_they_are_spaced(key, tmp_path):
    one = json.dumps(content(key, 1), indent=4).encode()
    answers = read_answers(put(tmp_path, one=one, two=content(key, 2)), key)
    assert kept(answers) == ["one.json", "two.json"]
    assert answers.notes == []
    tasks = [task for task in key.participants[0] if task.check is None and task.kind != "practice"]
    assert [task for task, _ in answers.people[0].given] == tasks


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "x"}, "no answers of a study page"),
        ({"study": "0" * 16}, "answers to another study"),
        ({"participant": 99}, "participant 99 is none of 1 to 6"),
        ({"participant": True}, "participant is missing or no int"),
        ({"participant": "1"}, "participant is missing or no int"),
        ({"answers": None}, "answers is missing or no list"),
        ({"session": None}, "session is missing or no str"),
        ({"answers": [{"task": 999, "answer": 1, "ms": 5}]}, "an answer to task 999, which there is not"),
        ({"answers": [5]}, "an answer to task None, which there is not"),
        ({"answers": [{"task": 0, "answer": None, "ms": 5}] * 2}, "task 0 is answered twice"),
        ({"answers": [{"task": 0, "answer": None, "ms": -5}]}, "task 0 took -5 ms"),
    ],
)  # fmt: skip
def test_a_forged_file_is_left_out_and_the_others_kept(key, tmp_path, change, message):
    folder = put(tmp_path, good=content(key, 1), bad=sealed(content(key, 2) | change))
    answers = read_answers(folder, key)
    assert kept(answers) == ["good.json"]
    [note] = answers.notes
    assert re.search(rf"^bad\.json: left out: .*({message})", note)


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        ("order", ["0001.jpg"] * 5, "is not an order of its pictures"),
        ("order", "0001.jpg", "is not an order of its pictures"),
        ("order", [1, 2, 3, 4, 5], "is not an order of its pictures"),
        ("estimate", [3.5, 0], "is not a point of the field"),
        ("estimate", [float("nan"), 0], "is not a point of the field"),
        ("estimate", [1], "is not a point of the field"),
        ("consistency", 6, "6 is no rating from 1 to 5"),
        ("smoothness", 2.5, "2.5 is no rating from 1 to 5"),
        ("smoothness", True, "True is no rating from 1 to 5"),
        ("practice", "yes", "expected true"),
    ],
)
def test_an_answer_that_the_page_cannot_give_is_named(key, tmp_path, kind, value, message):
    bad = content(key, 2)
    index = next(i for i, task in enumerate(key.participants[1]) if task.kind == kind)
    bad["answers"][index]["answer"] = value
    answers = read_answers(put(tmp_path, good=content(key, 1), bad=sealed(bad)), key)
    assert kept(answers) == ["good.json"]
    assert f"bad.json: left out: task {index} ({kind})" in answers.notes[0]
    assert message in answers.notes[0]


def test_damage_is_told_apart(key, tmp_path):
    whole = json.dumps(content(key, 2)).encode()
    files = {
        "cut": (whole[:-30], "not JSON, perhaps cut off"),
        "edited": (whole.replace(b'"drawn": false', b'"drawn": true'), "the checksum does not fit"),
        "list": (b"[]", "no JSON object"),
        "binary": (b"\xff\x00", "is not UTF-8"),
        "deep": (b"[" * 100_000, "not JSON"),
        "huge": (b" " * 5_000_001, "5 MB are too much"),
    }
    folder = put(tmp_path, good=content(key, 1), **{name: data for name, (data, _) in files.items()})
    (folder / "notes.docx").touch()
    answers = read_answers(folder, key)
    assert kept(answers) == ["good.json"]
    for name, (_, message) in files.items():
        assert any(note.startswith(f"{name}.json: left out") and message in note for note in answers.notes), (
            name
        )
    assert "notes.docx: left out: not a .json file" in answers.notes


def test_duplicates_copies_and_second_persons_are_left_out(key, tmp_path):
    half = content(key, 1) | {"finished": None}
    half["answers"] = half["answers"][:4]
    copy = content(key, 1) | {"session": "another"}
    second = content(key, 2, session="somebody else", ms=7000)
    files = {"a_half": sealed(half), "b_whole": content(key, 1), "c_copy": sealed(copy)}
    folder = put(tmp_path, **files, d_two=content(key, 2), e_two=second)
    answers = read_answers(folder, key)
    assert kept(answers) == ["b_whole.json", "d_two.json"]
    assert answers.notes == [
        "c_copy.json: left out: every answer and time is that of b_whole.json: a copy",
        "e_two.json: left out: participant 2 sent d_two.json already",
        "a_half.json: left out: the same session as b_whole.json, which holds as much or more",
    ]


def test_numbers_that_the_page_drew_may_meet(key, tmp_path):
    first, second = content(key, 1) | {"drawn": True}, content(key, 1, "other", ms=8000) | {"drawn": True}
    assert len(read_answers(put(tmp_path, a=sealed(first), b=sealed(second)), key).people) == 2


def test_incomplete_skipped_and_hasty_answers_are_kept_and_named(key, tmp_path):
    part = content(key, 1, ms=100) | {"finished": None}
    part["answers"] = part["answers"][:4]
    part["answers"][1]["answer"] = None
    answers = read_answers(put(tmp_path, part=sealed(part)), key)
    assert kept(answers) == ["part.json"]
    [incomplete, skipped, hasty] = answers.notes
    assert (
        incomplete == f"part.json: incomplete: 4 of {len(key.participants[0])} tasks; used for what is there"
    )
    assert "1 tasks skipped" in skipped
    assert "hasty" in hasty


def test_who_fails_the_attention_checks_is_left_out(key, tmp_path):
    def inattentive(number: int, times: int) -> dict:
        values = content(key, number)
        checks = [i for i, task in enumerate(key.participants[number - 1]) if task.check is not None]
        for index in checks[:times]:
            task = key.participants[number - 1][index]
            values["answers"][index]["answer"] = [0, 0] if task.kind == "estimate" else 3
        return sealed(values)

    folder = put(tmp_path, one=inattentive(1, 1), two=inattentive(2, 2))
    answers = read_answers(folder, key)
    assert kept(answers) == ["one.json"]
    assert "two.json: left out: failed 2 of 2 attention checks" in answers.notes
    assert "one.json: failed 1 of 2 attention checks; kept" in answers.notes
    with pytest.raises(DataError, match=r"not one file of answers can be used\n.*failed 1 of 2"):
        read_answers(folder, key, failed_checks=0)


def test_simulated_answers_never_mix_with_real_ones(key, tmp_path):
    rehearse(key, tmp_path, 2)
    assert read_answers(tmp_path, key).simulated
    put(tmp_path, real=content(key, 3))
    answers = read_answers(tmp_path, key)
    assert kept(answers) == ["real.json"]
    assert not answers.simulated
    assert len(answers.notes) == 2


def test_a_folder_that_is_not_there_is_named(key, tmp_path):
    with pytest.raises(DataError, match="there is no such folder"):
        read_answers(tmp_path / "none", key)


# ---- what they come to -----------------------------------------------------------------------------------


def measure(name: str):
    return next(each for each in MEASURES if each.name == name)


def series(key: Key, axis: str) -> Task:
    return next(task for task in key.participants[0] if task.kind == "order" and task.axis == axis)


@pytest.mark.parametrize(
    ("places", "tau"),
    [
        ([0, 1, 2, 3, 4], 1.0),
        ([4, 3, 2, 1, 0], -1.0),
        ([1, 0, 2, 3, 4], 0.8),
        ([1, 0, 3, 2, 4], 0.6),
        ([4, 0, 1, 2, 3], 0.2),
    ],
)
def test_tau_counts_pairs(key, places, tau):
    """Ten pairs: one swap of neighbours leaves 9 - 1 = 8 tenths."""
    for name, axis in (("v_ranking", "valence"), ("a_ranking", "arousal")):
        task = series(key, axis)
        rising = sorted(task.images, key=lambda image: getattr(key.pictures[image], axis))
        given = [rising[place] for place in places]
        assert value_of(measure(name), task, given, key) == pytest.approx(tau)


def test_errors_are_distances_on_each_axis(key):
    name = next(
        name for name, picture in key.pictures.items() if (picture.valence, picture.arousal) == (1.5, 0)
    )
    task = Task("estimate", (name,))
    assert value_of(measure("v_error"), task, [-1.0, 0.5], key) == 2.5
    assert value_of(measure("a_error"), task, [-1.0, 0.5], key) == 0.5


DARWIN = [6, 8, 14, 16, 23, 24, 28, 29, 41, -48, 49, 56, 60, -67, 75]
"""Darwin's maize: 15 paired differences, the textbook example of the signed-rank test."""


def test_the_tests_agree_with_the_reference():
    found = compare("v_error", "a", "b", DARWIN)
    assert found.statistic == 24  # the negative ones have the ranks 10 and 14
    assert found.p == pytest.approx(0.041259765625)  # exact
    assert found.effect == pytest.approx((96 - 24) / 120)
    assert found.shapiro_p == pytest.approx(stats.shapiro(DARWIN).pvalue)
    assert found.shapiro_p == pytest.approx(0.098, abs=0.001)
    assert found.median == 24
    other_way = compare("v_error", "b", "a", [-value for value in DARWIN])
    assert (other_way.p, other_way.effect) == (found.p, -found.effect)


def test_zeros_and_rounding_errors_do_not_count_as_differences():
    tiny = 0.1 + 0.2 - 0.3
    found = compare("v_error", "a", "b", [*DARWIN, 0, tiny, -tiny])
    assert (found.people, found.statistic, found.effect) == (18, 24, 0.6)


def test_too_few_people_get_words_instead_of_numbers():
    assert compare("v_error", "a", "b", []).note == "nobody answered about both"
    few = compare("v_error", "a", "b", [1, 2, 3, 4, 5, 0])
    assert few.note == "too few people: 5 of 6 differ, at least 6 must"
    assert few.p is None
    assert few.effect is None
    assert compare("v_error", "a", "b", [1, 2, 3, 4, 5, 6]).p == pytest.approx(2 / 2**6)
    assert summarise([1, 2], 0).note == "too few people for an interval: 2, at least 5 are needed"
    assert summarise([], 0).note == "no answers"


def test_holm_goes_from_the_smallest_up():
    """As R's p.adjust."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


def test_the_interval_is_the_bootstrap_s():
    values = np.random.default_rng(0).normal(2, 1, 400)
    found = summarise(values, seed=1)
    assert found.mean == pytest.approx(values.mean())
    half = 1.96 * values.std() / 20
    assert (found.low, found.high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.01)
    assert found == summarise(values, seed=1)
    assert found != summarise(values, seed=2)
    assert summarise([3.0] * 5, 0).low == summarise([3.0] * 5, 0).high == 3.0


def test_answers_with_known_results(key, tmp_path):
    """Six people see exactly what was asked for, but order and rate the rival's pictures the wrong way round."""
    for number in range(1, 7):
        values = content(key, number)
        for entry, task in zip(values["answers"], key.participants[number - 1], strict=True):
            if task.images and key.pictures[task.images[0]].method == "rival":
                entry["answer"] = answer(task, key, wrong=True)
                if task.kind == "estimate":
                    entry["answer"] = [0, 0]
        put(tmp_path, **{f"p{number}": sealed(values)})
    found = analyse(read_answers(tmp_path, key), key)
    means = {
        name: {method: summary["mean"] for method, summary in values["methods"].items()}
        for name, values in found["measures"].items()
    }
    for name, ours, rival in [
        ("v_ranking", 1, -1),
        ("a_ranking", 1, -1),
        ("consistency", 5, 1),
        ("smoothness", 5, 1),
    ]:
        assert means[name] == {"ours": ours, "rival": rival}
    for name in ("v_error", "a_error"):
        assert means[name]["ours"] == 0
        # both methods were asked about the same points
        assert means[name]["rival"] == pytest.approx(found["measures"][name]["always_zero"])
    rankings = [c for c in found["comparisons"] if c["measure"] == "v_ranking"]
    assert [(c["people"], c["statistic"], c["effect"]) for c in rankings] == [(6, 0, 1)]
    assert found["people"] == found["complete"] == 6
    assert found["measures"]["v_ranking"]["published"] == {"EmotiCrafter": 0.887, "GPT-4+SDXL": 0.584}


def test_the_reports_set_the_published_values_apart(key, tmp_path):
    rehearse(key, tmp_path, 6)
    found = analyse(read_answers(tmp_path, key), key)
    markdown, text = as_markdown(found), as_text(found)
    assert (
        "| measure | ours | rival | always 0 | EmotiCrafter (published) | GPT-4+SDXL (published) |"
        in markdown
    )
    assert re.search(r"\| A-ranking \(tau\) ↑ \| .*, n 6 \| .*, n 6 \| – \| 0\.759 \| 0\.165 \|", markdown)
    assert re.search(r"smoothness \(1-5\) ↑ .*–  +4\.240", text)
    assert "SIMULATED ANSWERS" in markdown and "SIMULATED ANSWERS" in text
    assert all(len(line) <= 110 for line in text.splitlines() if " " in line and "  " not in line)


def test_two_people_are_too_few_and_the_report_says_so(key, tmp_path):
    found = analyse(read_answers(put(tmp_path, a=content(key, 1), b=content(key, 2)), key), key)
    text = as_text(found)
    assert "too few people for an interval: 2, at least 5 are needed" in text
    assert "too few people: 0 of 2 differ, at least 6 must" in text
    assert not re.search(r"\[\d\.\d", text)


# ---- the command line ---------------------------------------------------------------------------------------


def test_from_images_to_tables(manifest, tmp_path, capsys):
    study, answers = tmp_path / "study", tmp_path / "answers"
    few = ["--order", "1", "--estimate", "2", "--consistency", "1", "--smoothness", "1"]
    assert main(["make", str(manifest), "--out", str(study), "--participants", "6", *few]) == 0
    said = capsys.readouterr().out
    assert "6 plans of 15 tasks, about 5 minutes each" in said
    assert "keep it to yourself" in said
    assert main(["rehearse", "--key", str(study / "key.json"), "--out", str(answers), "--count", "6"]) == 0
    files = ["--json", str(tmp_path / "found.json"), "--markdown", str(tmp_path / "found.md")]
    assert main(["analyse", str(answers), "--key", str(study / "key.json"), *files]) == 0
    assert "METHODS" in capsys.readouterr().out
    assert json.loads((tmp_path / "found.json").read_text("utf-8"))["people"] == 6
    assert (tmp_path / "found.md").read_text("utf-8").startswith("# User study\n")


def test_mistakes_end_in_one_line(manifest, tmp_path, capsys):
    assert main(["make", str(tmp_path / "none.jsonl"), "--out", str(tmp_path / "study")]) == 1
    assert re.search(r"error: .*none\.jsonl: cannot be read", capsys.readouterr().err)
    assert main(["make", str(manifest), "--out", str(tmp_path / "study"), "--participants", "0"]) == 1
    assert "--participants must be from 1 to 1000, got 0" in capsys.readouterr().err
    assert main(["make", str(manifest), "--out", str(tmp_path / "study"), "--image-size", "9"]) == 1
    assert "--image-size must be from 64 to 4096" in capsys.readouterr().err
    assert main(["rehearse", "--key", str(tmp_path / "key.json"), "--out", str(tmp_path)]) == 1
    assert "cannot be read" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_example_paints_a_study(tmp_path, capsys):
    found = read_manifest(paint_example(tmp_path / "pictures", prompts=1, size=32))
    assert len(found) == 2 * 25
    assert {image.method for image in found} == {"painted", "painted-weak"}
    assert main(["example", "--out", str(tmp_path / "pictures")]) == 1
    assert "is not empty" in capsys.readouterr().err
