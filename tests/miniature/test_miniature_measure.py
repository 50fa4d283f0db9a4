"""The figures: what a perfect, a lazy and a steep row get, and how the table is kept in a document."""

from types import SimpleNamespace

import numpy as np
import pytest

from trainer.miniature.measure import GRID, READ, agreement, figures
from trainer.miniature.table import table, write_table
from trainer.world.scene import SUBJECTS, all_scenes

SCENES = all_scenes("held-out")[:3]
BENCH = SimpleNamespace(scenes=SCENES, asked=lambda row: (row % 3, row // 3))
SUBJECT_NUMBERS = np.array([SUBJECTS.index(scene.subject) for scene in SCENES])


def reading(valence, arousal):
    """Six rows (three prompts, two seeds) that read these values at every point."""
    read = np.full((6, len(GRID), len(READ)), np.nan, np.float32)
    read[:, :, 0], read[:, :, 1] = valence, arousal
    read[:, :, 2] = np.tile(SUBJECT_NUMBERS, 2)[:, None]
    read[:, :20, 4] = 0.25
    read[:, :, 3] = np.where(np.arange(25) % 5 < 4, 0.5, np.nan)
    return read


def test_a_perfect_row():
    apart = np.linspace(0, 1e-3, len(GRID))  # no two pictures read alike
    found = figures(BENCH, reading(GRID[:, 0] + apart, GRID[:, 1] + apart))
    for axis in ("valence", "arousal"):
        assert found[f"{axis} tau-c"] == pytest.approx(1.0, abs=0.02)
        assert found[f"{axis} tau-b"] == pytest.approx(0.894, abs=0.02)
        assert found[f"{axis} slope"] == pytest.approx(1.0, abs=1e-3)
        assert found[f"{axis} error"] == pytest.approx(0.0, abs=1e-3)
        assert found[f"{axis} jump"] == pytest.approx(1.5, abs=1e-2)
    assert found["subject right"] == 1.0
    assert (found["valence distance"], found["arousal distance"]) == (0.5, 0.25)


def test_axes_are_told_apart():
    found = figures(BENCH, reading(GRID[:, 0], 0 * GRID[:, 1]))
    assert found["valence jump"] == pytest.approx(1.5) and found["arousal jump"] == 0
    assert found["arousal slope"] == 0 and found["arousal error"] == pytest.approx(1.8)


def test_always_zero_scores_what_the_grid_says():
    assert agreement(GRID[:, 0], 0 * GRID[:, 0])["error"] == pytest.approx(1.8)


def test_a_weak_effect_has_a_small_slope_and_a_high_tau():
    found = agreement(GRID[:, 0], 0.3 * GRID[:, 0])
    assert found["slope"] == pytest.approx(0.3) and found["tau-c"] == pytest.approx(1.0)


def test_one_picture_stands_for_all_points():
    found = figures(BENCH, reading(0.5, 0.5)[:, :1])
    assert found["valence error"] == pytest.approx(np.abs(0.5 - GRID[:, 0]).mean())
    assert "valence jump" not in found


def test_wrong_subjects_are_counted():
    read = reading(0, 0)
    read[0, :, 2] = (read[0, :, 2] + 1) % len(SUBJECTS)
    assert figures(BENCH, read)["subject right"] == pytest.approx(5 / 6)


def test_the_table_takes_seeds_together_and_stays_between_its_marks(tmp_path):
    row = figures(BENCH, reading(GRID[:, 0], GRID[:, 1]))
    text = table({"default-0": row, "default-1": row | {"valence slope": 0.8}, "always 0": {}})
    assert "| default (2 seeds) |" in text and "0.90 ± 0.14" in text and "100.0 ± 0.0 %" in text
    assert text.splitlines()[-1].startswith("| always 0 | – | –")
    path = tmp_path / "miniature.md"
    path.write_text("# Title\n\nBefore.\n\n<!-- measured: begin -->\nold\n<!-- measured: end -->\n\nAfter.\n")
    for _ in range(2):
        write_table(path, text)
    kept = path.read_text()
    assert kept.startswith("# Title\n\nBefore.\n") and kept.endswith("\nAfter.\n")
    assert "old" not in kept and kept.count("| always 0 |") == 1
