"""The evaluation from manifests to report: known answers, bad input, resuming, and the command line."""

import csv
import errno
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from tests.tiny_miniature import make_readers
from trainer.core.rows import DataError
from trainer.evaluate import main
from trainer.evaluation.kept import keeping
from trainer.evaluation.manifest import Image, read_manifest, write_manifest
from trainer.evaluation.readings import write_readings
from trainer.evaluation.report import markdown, write
from trainer.evaluation.results import evaluate, matching
from trainer.evaluation.scoring import (
    READ,
    READ_AGAIN,
    Distance,
    Measure,
    Measures,
    Scores,
    levels_of,
    neighbours,
    score,
    subset,
)
from trainer.world.scene import SUBJECTS

LEVELS = (-3.0, -1.5, 0.0, 1.5, 3.0)
GRID = [(v, a) for a in LEVELS for v in LEVELS]


def make_manifest(folder: Path, methods=("ours",), prompts=2, points=GRID, size=16) -> Path:
    """Pictures whose red is the valence and whose green is the arousal; those of "plain" are grey."""
    images = []
    for method in methods:
        for number in range(prompts):
            for v, a in [(0.0, 0.0)] if method == "plain" else points:
                path = folder / f"{method}-{number}-{v:g}-{a:g}.png"
                colour = (round(128 + 40 * v), round(128 + 40 * a), 10 * number)
                Pillow.new("RGB", (size, size), colour).save(path)
                subject = f"a {SUBJECTS[number]} in a meadow" if number < len(SUBJECTS) else f"thing {number}"
                images.append(Image(path.name, subject, v, a, 7, method, path.stem))
    write_manifest(folder / "manifest.jsonl", images)
    return folder / "manifest.jsonl"


def colour_reader(calls=None) -> Measure:
    """Reads the colours exactly."""

    def run(pictures, prompts):
        if calls is not None:
            calls.append(len(pictures))
        return np.array([(p[0, 0, :2].astype(float) - 128) / 40 for p in pictures])

    return Measure("colours", ("valence", "arousal"), run)


def red_difference(first, second):
    return np.array([abs(float(a[0, 0, 0]) - float(b[0, 0, 0])) for a, b in zip(first, second, strict=True)])


RED = Distance("red", red_difference)


def measured(path: Path, distance=RED, calls=None) -> Scores:
    with keeping(path) as kept:
        return score(read_manifest(path), Measures([colour_reader(calls)], distance), kept)


# ---- figures ---------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_method_that_follows_exactly_and_two_that_show_no_control(tmp_path):
    found = evaluate(measured(make_manifest(tmp_path, ("ours", "plain"), prompts=8)))
    ours = {name: value.mean for name, value in found.estimates["ours"].items()}
    for axis in "VA":
        assert ours[f"{axis}-Error"] == pytest.approx(0, abs=0.02)
        assert ours[f"{axis} tau"] == pytest.approx(1)
        assert ours[f"{axis} slope"] == pytest.approx(1, abs=0.01)
        assert ours[f"{axis} range"] == pytest.approx(6, abs=0.05)
    assert ours["LPIPS-V"] == pytest.approx(60) and ours["LPIPS-A"] == 0
    assert ours["LPIPS-Continuous"] == pytest.approx(30)
    assert [c.error for c in found.calibrations["ours"]] == pytest.approx([0, 0], abs=0.02)
    for row in ("always 0", "plain"):
        figures = {name: value.mean for name, value in found.estimates[row].items()}
        assert (figures["V-Error"], figures["A-Error"]) == pytest.approx((1.8, 1.8))
        assert figures["V tau"] == figures["A slope"] == 0


@pytest.mark.slow
def test_shuffled_labels_show_no_control(tmp_path):
    rows = evaluate(measured(make_manifest(tmp_path, prompts=8))).estimates
    shuffled = rows["ours, labels shuffled"]
    assert abs(shuffled["V tau"].mean) < 0.15 and abs(shuffled["V slope"].mean) < 0.15
    assert shuffled["V-Error"].mean > 2.2  # worse than always 0: it has the range without the aim


@pytest.mark.slow
def test_negated_labels_are_the_opposite(tmp_path):
    rows = evaluate(measured(make_manifest(tmp_path, ("ours", "plain"), prompts=8))).estimates
    negated = {name: value.mean for name, value in rows["ours, labels negated"].items()}
    assert negated["V slope"] == pytest.approx(-1, abs=0.01) and negated["A tau"] == pytest.approx(-1)
    assert negated["V-Error"] == pytest.approx(3.6, abs=0.02)  # twice the constant's
    assert "plain, labels negated" not in rows


def test_a_second_reader_reads_beside_the_first(tmp_path):
    """It reads half of what the first does: a slope of one half, and larger errors at the ends."""
    path = make_manifest(tmp_path, ("ours", "plain"), prompts=6)
    first = colour_reader()
    half = Measure("half", READ_AGAIN, lambda pictures, prompts: first.run(pictures, prompts) / 2)
    with keeping(path) as kept:
        scores = score(read_manifest(path), Measures([first, half], RED), kept)
    found = evaluate(scores)
    ours = {name: value.mean for name, value in found.estimates["ours"].items()}
    assert (ours["V slope"], ours["V slope 2"]) == pytest.approx((1, 0.5), abs=0.01)
    assert ours["A-Error 2"] == pytest.approx(0.9, abs=0.02) and "V tau 2" not in ours
    assert found.estimates["plain"]["V-Error 2"].mean == pytest.approx(1.8)
    [said] = [note for note in found.notes if note.startswith("The two readers differ")]
    assert "valence by 0.8" in said and "correlation 1.000" in said and "over 156 images" in said
    assert "valence 2" not in ours, "readings are no figures"


def test_others_can_recompute_the_table_from_the_csv(tmp_path):
    scores = measured(make_manifest(tmp_path, ("ours", "plain"), prompts=6))
    scores.columns["arousal"][3] = np.nan
    write_readings(tmp_path / "images.csv", scores)
    with (tmp_path / "images.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 156 and rows[3]["read arousal"] == ""
    assert set(rows[0]) == {*["id", "method", "prompt", "seed"], *(f"{x} {y}" for x in ("asked", "read") for y in READ)}
    ours = [row for row in rows if row["method"] == "ours"]
    errors = {}
    for row in ours:
        errors.setdefault(row["prompt"], []).append(abs(float(row["read valence"]) - float(row["asked valence"])))
    recomputed = np.mean([np.mean(one) for one in errors.values()])
    assert recomputed == pytest.approx(evaluate(scores).estimates["ours"]["V-Error"].mean, abs=1e-6)


def test_every_method_has_its_labels_shuffled_in_its_own_way(tmp_path):
    """Networks of one row read alike: with the same permutations, their spread would lack the shuffling's."""
    path = make_manifest(tmp_path, ("ours-0", "ours-1", "plain"), prompts=4)
    found, again = (evaluate(measured(path)).controls for _ in range(2))
    first, second = (found[f"ours-{n}, labels shuffled"] for n in (0, 1))
    assert not np.allclose(first["V slope"], second["V slope"])
    for name, values in first.items():
        np.testing.assert_array_equal(values, again["ours-0, labels shuffled"][name])


@pytest.mark.slow
def test_methods_are_compared_prompt_by_prompt_and_with_always_0(tmp_path):
    found = evaluate(measured(make_manifest(tmp_path, ("ours", "plain"), prompts=8)))
    tests = {(figure, a, b): (test, corrected) for figure, a, b, test, corrected in found.tests}
    test, corrected = tests["V-Error", "ours", "plain"]
    assert test.difference == pytest.approx(-1.8, abs=0.02) and test.effect == -1
    assert test.p == pytest.approx(2 / 2**8) and corrected >= test.p
    assert ("V-Error", "ours", "always 0") in tests
    assert tests["V-Error", "plain", "always 0"][1] == 1


def test_too_few_prompts_are_said_so(tmp_path):
    found = evaluate(measured(make_manifest(tmp_path, ("ours", "plain"), prompts=2)))
    assert any("Only 2 prompts: too few for intervals and tests" in note for note in found.notes)
    assert all(test.p is None for _, _, _, test, _ in found.tests)
    assert np.isnan(found.estimates["ours"]["V-Error"].low)
    assert re.search(r"\| ours +\| +0\.0", markdown(found))


@pytest.mark.slow
def test_a_method_with_too_few_prompts_is_named_and_the_others_are_tested(tmp_path):
    images = read_manifest(make_manifest(tmp_path, ("ours", "theirs", "plain"), prompts=8))
    fewer = [i for i in images if i.method != "plain" or i.prompt == images[0].prompt]
    with keeping(tmp_path / "manifest.jsonl") as kept:
        found = evaluate(score(fewer, Measures([colour_reader()], RED), kept))
    [few] = [note for note in found.notes if "too few" in note]
    assert few.startswith("Only 1 prompt of plain: too few for its intervals and for tests with it, which need 6")
    tests = {(figure, a, b): test for figure, a, b, test, _ in found.tests}
    assert tests["V-Error", "ours", "theirs"].p == 1
    assert np.isfinite(found.estimates["ours"]["V-Error"].low)


def test_missing_plain_pictures_are_said_so(tmp_path):
    notes = evaluate(measured(make_manifest(tmp_path))).notes
    assert any("trainer.generate" in note and "'plain'" in note for note in notes)
    found = measured(make_manifest(tmp_path, ("ours", "plain"), prompts=2))
    fewer = evaluate(subset(found, range(len(found.images) - 1)))
    assert "plain has no image of 1 prompts that the other methods have." in fewer.notes


def test_neighbours_on_the_plane():
    found = neighbours(GRID, (LEVELS, LEVELS))
    assert len(found) == 40 and {axis for _, _, axis in found} == {0, 1}
    line = ([0.0, 1.0, 3.0], [0.0])
    assert neighbours([(0.0, 0.0), (3.0, 0.0), (1.0, 0.0)], line) == [(0, 2, 0), (2, 1, 0)]
    assert neighbours([(0.0, 0.0), (3.0, 0.0)], line) == []  # what lies between them is missing
    assert neighbours([(0.0, 0.0), (1.0, 1.0)], ([0.0, 1.0], [0.0, 1.0])) == []


@pytest.mark.slow
def test_a_missing_point_does_not_make_neighbours_of_those_around_it(tmp_path):
    path = make_manifest(tmp_path, ("ours", "plain"), prompts=8)
    whole = evaluate(measured(path))
    missing = {(-1.5, -3.0), (1.5, -1.5), (0.0, 0.0), (-1.5, 1.5), (0.0, 3.0)}
    images = read_manifest(path)
    first = images[0].prompt
    images = [i for i in images if i.prompt != first or (i.valence, i.arousal) not in missing]
    with keeping(path) as kept:
        found = evaluate(score(images, Measures([colour_reader()], RED), kept))
    assert found.methods["ours"]["LPIPS-V"][0] == whole.methods["ours"]["LPIPS-V"][0] == 60
    assert not any("Points are missing" in note for note in whole.notes)
    assert any("Points are missing for 1 of 8 prompts" in note for note in found.notes)


def test_levels_are_those_of_all_manifests_and_of_each_method(tmp_path):
    images = read_manifest(make_manifest(tmp_path, ("ours", "plain"), points=[(-3.0, 0.0), (3.0, 0.0)]))
    assert levels_of(images) == {"ours": ([-3, 3], [0]), "plain": ([0], [0])}
    with keeping(tmp_path / "manifest.jsonl") as kept:
        measures = Measures([colour_reader()], RED)
        assert len(score(images, measures, kept).pairs) == 2  # plain's point does not part them
        wider = {"ours": ([-3.0, 0.0, 3.0], [0.0]), "plain": ([0.0], [0.0])}
        assert len(score(images, measures, kept, wider).pairs) == 0


def test_a_part_of_the_scores_keeps_its_own_pairs(tmp_path):
    scores = measured(make_manifest(tmp_path))
    part = subset(scores, range(25, 50))
    assert part.images == scores.images[25:] and len(part.distances) == 40
    assert {part.images[row].prompt for row in part.pairs.ravel()} == {scores.images[25].prompt}
    np.testing.assert_array_equal(part.distances, scores.distances[40:])


# ---- bad input -------------------------------------------------------------------------------------


def test_methods_that_were_asked_for_other_images_are_refused(tmp_path):
    images = read_manifest(make_manifest(tmp_path, ("ours", "theirs", "plain")))
    assert len(matching(images, "plain", common=False)) == len(images)
    fewer = [image for image in images if not (image.method == "theirs" and image.valence == 3)]
    with pytest.raises(DataError, match=r"have different images:\n.*theirs lacks 10 images .*at 3, -3") as error:
        matching(fewer, "plain", common=False)
    assert "--common to compare the 40 that all have" in str(error.value)
    assert len(matching(fewer, "plain", common=True)) == 2 * 40 + 2
    with pytest.raises(DataError, match="ours has two images of the same prompt"):
        matching([*images, images[0]], "plain", common=False)


def test_unreadable_images_are_named_and_the_others_kept(tmp_path):
    path = make_manifest(tmp_path)
    (tmp_path / "ours-0--3--3.png").write_bytes(b"\x89PNG no")
    calls = []
    found = measured(path, calls=calls)
    assert len(found.problems) == 1 and "ours-0--3--3.png cannot be read as an image" in found.problems[0]
    assert np.isnan(found.columns["valence"]).sum() == 1
    assert evaluate(found).estimates["ours"]["V-Error"].mean == pytest.approx(0, abs=0.02)


@pytest.mark.slow
def test_a_point_that_one_method_lacks_is_left_out_of_all_or_refused(tmp_path, miniature, capsys):
    path = make_manifest(tmp_path, ("ours", "rewriting", "plain"), prompts=6)
    out, picture = tmp_path / "out", tmp_path / "ours-3-0-0.png"
    command = [str(path), "--miniature", str(miniature), "--out", str(out), "--skip-bad", "--shown", "0"]
    whole = picture.read_bytes()
    for remove in (lambda: picture.write_bytes(whole[:50]), picture.unlink):
        remove()
        assert main(command) == 1
        said = capsys.readouterr().err
        assert "ours lacks 1 image that others have" in said and "seed 7 at 0, 0" in said
        assert "--common to compare the 149 that all have" in said
        assert main([*command, "--common"]) == 0
        found = json.loads((out / "results.json").read_text())
        assert any("ours-3-0-0.png" in problem for problem in found["problems"])
        assert "Points are missing for 1 of 6 prompts" in str(found["notes"])
        levels = {row: found["calibration"][row]["valence"]["asked"] for row in ("ours", "rewriting")}
        assert levels["ours"] == levels["rewriting"]
        # Both methods' pictures are the same, so over the same points their figures are, too.
        assert found["per_prompt"]["ours"] == found["per_prompt"]["rewriting"]


def test_a_method_of_which_nothing_was_read_is_named(tmp_path):
    scores = measured(make_manifest(tmp_path, ("ours", "theirs"), prompts=6))
    scores.columns["valence"][150:] = np.nan
    found = evaluate(scores)
    assert "No image of theirs is left, so it has no row." in found.notes and list(found.methods) == ["ours"]


def test_without_one_reading_there_is_no_report(tmp_path):
    found = measured(make_manifest(tmp_path))
    found.columns["valence"][:] = np.nan
    with pytest.raises(DataError, match="None of the 50 images was read"):
        evaluate(found)


def test_a_method_cannot_have_the_name_of_a_control():
    for name in ("always 0", "ours, labels shuffled", "ours, labels negated"):
        with pytest.raises(DataError, match=f"named '{name}'.*another name"):
            matching([Image(Path("a.png"), "a", 0, 0, 0, name, "1")], "plain", common=False)


def test_plain_pictures_of_other_prompts_are_left_out(tmp_path):
    images = read_manifest(make_manifest(tmp_path, ("ours", "plain"), prompts=3))
    fewer = [image for image in images if image.method == "plain" or image.prompt == images[0].prompt]
    assert [fewer[row].method for row in matching(fewer, "plain", common=False)].count("plain") == 1


def test_other_sizes_have_no_distance(tmp_path):
    path = make_manifest(tmp_path, prompts=1)
    Pillow.new("RGB", (20, 16)).save(tmp_path / "ours-0--3--3.png")
    found = measured(path)
    assert sum("different sizes (20x16 and 16x16)" in problem for problem in found.problems) == 2
    assert np.isnan(found.distances).sum() == 2


# ---- resuming --------------------------------------------------------------------------------------


def test_nothing_is_measured_twice(tmp_path):
    path, calls = make_manifest(tmp_path), []
    first = measured(path, calls=calls)
    again = measured(path, calls=calls)
    assert sum(calls) == 50
    np.testing.assert_array_equal(first.columns["valence"], again.columns["valence"])
    np.testing.assert_array_equal(first.distances, again.distances)
    Pillow.new("RGB", (16, 16), (1, 2, 3)).save(tmp_path / "ours-1-0-0.png")
    changed = measured(path, calls=calls)
    assert sum(calls) == 51
    assert changed.columns["valence"].min() < -3.1


def test_an_interrupted_run_keeps_what_it_measured(tmp_path):
    path, calls = make_manifest(tmp_path, prompts=4), []

    def run(pictures, prompts):
        calls.append(len(pictures))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return np.zeros((len(pictures), 2))

    with pytest.raises(KeyboardInterrupt), keeping(path) as kept:
        score(read_manifest(path), Measures([Measure("x", ("valence", "arousal"), run)]), kept)
    file = tmp_path / "manifest.measured.jsonl"
    file.write_bytes(file.read_bytes()[:-9])  # and the last line was cut off
    with keeping(path) as kept:
        score(read_manifest(path), Measures([Measure("x", ("valence", "arousal"), run)]), kept)
    assert sum(calls[3:]) == 51


def test_two_runs_do_not_write_into_each_other(tmp_path):
    path = make_manifest(tmp_path)
    with keeping(path), pytest.raises(DataError, match="evaluated by another run"), keeping(path):
        pass


# ---- the command -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def miniature(tmp_path_factory):
    """A run's folder with untrained readers."""
    return make_readers(tmp_path_factory.mktemp("miniature"))


@pytest.mark.slow
def test_the_miniature_needs_no_hub(tmp_path, miniature, capsys, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    path = make_manifest(tmp_path, ("ours", "theirs", "plain"), prompts=6)
    out = tmp_path / "out"
    assert main([str(path), "--miniature", str(miniature), "--out", str(out), "--device", "cpu"]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"\| always 0 +\| +1\.800 \| +1\.800 \| +0\.000", printed)
    assert "| ours, labels shuffled" in printed
    tables = [[line for line in table.splitlines() if line[:1] == "|"] for table in printed.split("\n\n")[:2]]
    assert "V-Error" in tables[0][0] and "content" in tables[1][0] and "always 0" not in str(tables[1])
    assert all(len({len(line) for line in table}) == 1 for table in tables)  # aligned
    page = " ".join((out / "report.html").read_text().split())
    assert page.count("<img ") == 3 * (25 + 25 + 1)
    assert not re.search(r"(?:src|href)=\"(?!data:)|@import|url\(", page)
    assert "without LPIPS" in page and "always says 0: on these points its V-Error is 1.800" in page
    assert "<th>ours − always 0</th>" in page and "of 3 comparisons below p = 0.05" in page
    for figure in ("V-Error", "A slope", "content", "LPIPS-Continuous"):
        assert f'<div class="panel"><h3>{figure}<small>' in page
    assert len((out / "images.csv").read_text().splitlines()) == 1 + 6 * (25 + 25 + 1)
    found = json.loads((out / "results.json").read_text())
    assert found["table"]["plain"]["V-Error"]["prompts"] == 6
    assert "the miniature" in found["made_by"]["valence and arousal"]


def test_problems_end_the_command_unless_they_are_skipped(tmp_path, miniature, capsys):
    make_manifest(tmp_path)
    (tmp_path / "ours-0--3--3.png").write_bytes(b"")
    out = tmp_path / "out"
    arguments = [str(tmp_path), "--miniature", str(miniature), "--out", str(out)]  # the manifest's folder
    assert main(arguments) == 1
    said = capsys.readouterr().err
    assert "1 problem with images" in said and "Measurements are kept" in said
    assert not list(out.iterdir())
    assert main([*arguments, "--skip-bad"]) == 0
    assert "1 problem<" in (out / "report.html").read_text()
    (tmp_path / "ours-1-3-3.png").unlink()
    assert main(arguments) == 1
    said = capsys.readouterr().err
    assert "ours-1-3-3.png" in said and "leave it out with --skip-bad" in said


def test_what_cannot_be_used_is_said_in_a_line(tmp_path, capsys):
    path = make_manifest(tmp_path, prompts=1, points=[(0.0, 0.0)])
    for arguments, said in (
        ([], "one of --reader, --chat-url and --miniature"),
        (["--miniature", "nowhere"], "nowhere holds no readers"),
        (["--reader", "none.safetensors"], "none.safetensors"),
        (["--reader", "none.safetensors", "--device", "quux"], "--device is 'quux': expected auto, cpu"),
        (["--shown", "-1", "--workers", "0"], "--workers 0: expected 1 or more"),
        (["--out", "/dev/null"], "--out /dev/null: expected a folder that can be written"),
        (["--chat-url", "ftp://x", "--chat-model", "m"], "base url"),
        (["--chat-url", "http://x/v1", "--chat-model", "m", "--key-from", "NO_KEY"], "export NO_KEY=..."),
    ):
        assert main([str(path), "--out", str(tmp_path / "out"), *arguments]) == 1
        error = capsys.readouterr().err
        assert error.startswith("error: ") and said in error and "Traceback" not in error


def test_a_full_disk_is_said_with_the_file(tmp_path, monkeypatch):
    def full(path, write):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("trainer.evaluation.report.write_text", full)
    message = r"report\.html could not be written \(No space left.*Measurements are kept: free some space"
    with pytest.raises(DataError, match=message):
        write(tmp_path, "", {})
