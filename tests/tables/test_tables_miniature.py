"""The miniature's own table: what a perfect, a lazy and a weak row get, and how rows are shown."""

from pathlib import Path

import numpy as np
import pytest

from trainer.evaluation.manifest import Image
from trainer.evaluation.scoring import Scores, grouped, neighbours
from trainer.painters.plan import grid
from trainer.tables.miniature import figures, follow, nulls, table

POINTS = np.array(grid())
LEVELS = sorted(set(POINTS[:, 0].tolist()))


def scores(valence, arousal, content=1.0) -> Scores:
    """Two prompts with two seeds, read as these values at every point; neighbours are 0.5 and 0.25 apart."""
    images = [
        Image(Path("x"), f"a cat {prompt}", *point, seed, "method", f"{prompt}-{seed}-{point}")
        for prompt in range(2)
        for seed in range(2)
        for point in POINTS.tolist()
    ]
    whole = np.ones((4, len(POINTS)))
    columns = {"valence": whole * valence, "arousal": whole * arousal, "content": whole * content}
    pairs = np.array(
        [
            (rows[first], rows[second], axis)
            for rows in grouped(images)
            for first, second, axis in neighbours(grid(), (LEVELS, LEVELS))
        ]
    )
    distances = np.where(pairs[:, 2] == 0, 0.5, 0.25)
    flat = {name: values.ravel() for name, values in columns.items()}
    return Scores(images, flat, pairs[:, :2], pairs[:, 2], distances, [])


def test_a_perfect_row():
    apart = np.linspace(0, 1e-3, len(POINTS))  # no two pictures read alike
    found = figures(scores(POINTS[:, 0] + apart, POINTS[:, 1] + apart))
    for axis in ("valence", "arousal"):
        assert found[f"{axis} tau-c"] == pytest.approx(1.0, abs=0.02)
        assert found[f"{axis} tau-b"] == pytest.approx(0.894, abs=0.02)
        assert found[f"{axis} slope"] == pytest.approx(1.0, abs=1e-3)
        assert found[f"{axis} error"] == pytest.approx(0.0, abs=1e-3)
        assert found[f"{axis} jump"] == pytest.approx(1.5, abs=1e-2)
    assert found["subject right"] == 1.0
    assert (found["valence distance"], found["arousal distance"]) == (0.5, 0.25)


def test_axes_are_told_apart():
    found = figures(scores(POINTS[:, 0], 0 * POINTS[:, 1]))
    assert found["valence jump"] == pytest.approx(1.5) and found["arousal jump"] == 0
    assert found["arousal slope"] == 0 and found["arousal error"] == pytest.approx(1.8)


def test_always_zero_and_a_weak_effect():
    assert follow(POINTS, 0 * POINTS)["valence error"] == pytest.approx(1.8)
    weak = follow(POINTS, 0.3 * POINTS)
    assert weak["valence slope"] == pytest.approx(0.3) and weak["valence tau-c"] == pytest.approx(1.0)


def test_one_picture_stands_for_all_points():
    image = Image(Path("x"), "a cat", 0.0, 0.0, 0, "plain", "x")
    columns = {name: np.array([0.5]) for name in ("valence", "arousal", "content")}
    nothing = np.zeros((0, 2), int)
    found = figures(Scores([image], columns, nothing, nothing[:, 0], nothing[:, 0], []))
    assert found["valence error"] == pytest.approx(np.abs(0.5 - POINTS[:, 0]).mean())
    assert "valence jump" not in found


def test_nulls_are_the_same_pictures_with_other_labels():
    rows = nulls("default-0", scores(POINTS[:, 0], 0.5 * POINTS[:, 1]))
    shuffled, negated = rows["default-0, labels shuffled"], rows["default-0, labels negated"]
    assert abs(shuffled["valence slope"]) < 0.15 and shuffled["valence error"] > 1.9
    assert (negated["valence slope"], negated["arousal slope"]) == pytest.approx((-1, -0.5))
    assert negated["valence error"] == pytest.approx(3.6) and "subject right" not in negated
    lines = table({"default-0": figures(scores(0.0, 0.0)), **rows}).splitlines()
    assert [line.split(" |")[0] for line in lines[2:]] == [
        "| default",
        "| default-0, labels shuffled",
        "| default-0, labels negated",
    ]


def test_the_second_readers_errors_stand_beside_the_first():
    found = scores(POINTS[:, 0], POINTS[:, 1])
    found.columns |= {"valence 2": found.columns["valence"] / 2, "arousal 2": found.columns["arousal"] + 0.25}
    row = figures(found)
    assert row["valence error"] == pytest.approx(0) and row["valence error 2"] == pytest.approx(0.9)
    assert row["arousal error 2"] == pytest.approx(0.25)
    assert "V-Error 2" in table({"default-0": row}) and "V-Error 2" not in table({"default-0": follow(POINTS, POINTS)})


def test_wrong_subjects_are_counted():
    content = np.ones((4, len(POINTS)))
    content[0] = 0
    assert figures(scores(0.0, 0.0, content))["subject right"] == pytest.approx(3 / 4)


def test_the_table_takes_seeds_together():
    row = figures(scores(POINTS[:, 0], POINTS[:, 1]))
    text = table({"default-0": row, "default-1": row | {"valence slope": 0.8}, "always 0": {}})
    assert "| default (2 seeds) |" in text and "0.90 ± 0.14" in text and "100.0 ± 0.0 %" in text
    assert text.splitlines()[-1].startswith("| always 0 | – | –")
