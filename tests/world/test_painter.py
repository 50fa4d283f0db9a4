from itertools import pairwise

import numpy as np
import pytest

from trainer.miniature.__main__ import main
from trainer.world.painter import PAINT, paint
from trainer.world.scene import SETTINGS, SUBJECTS, TIMES, Scene, sample_scenes

LUMA = np.array([0.299, 0.587, 0.114])
STEPS = np.round(np.arange(-3, 3.01, 0.2), 1)


def mixed_scenes():
    """Every subject once, over all settings and times."""
    return [Scene(s, SETTINGS[i % 6], TIMES[i % 4]) for i, s in enumerate(SUBJECTS)]


def difference(a, b):
    return np.abs(a.astype(np.float32) - b).mean()


def test_a_picture_is_rgb_of_the_asked_size():
    picture = paint(Scene("cat", "snow", "dawn"), 1.0, -1.0, seed=7)
    assert picture.shape == (128, 128, 3)
    assert picture.dtype == np.uint8
    assert picture.flags.c_contiguous
    assert paint(Scene("cat", "snow", "dawn"), 1.0, -1.0, seed=7, size=96).shape == (96, 96, 3)


def test_the_same_seed_paints_the_same_picture_and_another_seed_another():
    scene = Scene("house", "meadow", "sunset")
    assert np.array_equal(paint(scene, 2, -1, seed=5), paint(scene, 2, -1, seed=5))
    assert difference(paint(scene, 2, -1, seed=5), paint(scene, 2, -1, seed=6)) > 5


@pytest.mark.slow
def test_every_subject_and_setting_can_be_painted_at_the_corners():
    assert set(PAINT) == set(SUBJECTS)
    corners = [(-3, -3), (-3, 3), (3, -3), (3, 3)]
    scenes = [Scene(s, p, TIMES[(i + j) % 4]) for i, s in enumerate(SUBJECTS) for j, p in enumerate(SETTINGS)]
    for i, scene in enumerate(scenes):
        assert paint(scene, *corners[(i + i // 4) % 4], seed=i).std() > 8, scene


@pytest.mark.slow
def test_small_steps_change_a_little_and_always_something():
    """A third of the axis for each subject, the three thirds in turn."""
    for i, scene in enumerate(mixed_scenes()):
        other = (-2.0, 0.0, 2.0)[(i // 3) % 3]
        third = STEPS[10 * (i % 3) : 10 * (i % 3) + 11]
        for pairs in ([(x, other) for x in third], [(other, x) for x in third]):
            row = [paint(scene, *pair, seed=i) for pair in pairs]
            moves = [difference(a, b) for a, b in pairwise(row)]
            assert max(moves) < 16, (scene, pairs, moves)
            assert min(moves) > 0.2, (scene, pairs, moves)


@pytest.mark.slow
def test_there_is_no_jump_anywhere():
    """A tenth of a step moves the picture by about a tenth; what flips at once would not shrink."""
    for i, scene in enumerate(mixed_scenes()):
        for x in (-1.3, -0.01, 2.9):
            for near, far in (((x, 0.7), (x + 0.02, 0.7)), ((0.7, x), (0.7, x + 0.02))):
                moved = difference(paint(scene, *near, seed=i), paint(scene, *far, seed=i))
                assert moved < 2.0, (scene, near)


def looks(valence, arousal):
    """Mean brightness, warmth (red less blue), contrast and saturation over mixed scenes."""
    rows = []
    for i, scene in enumerate(mixed_scenes()):
        picture = paint(scene, valence, arousal, seed=i).astype(np.float64)
        grey = picture @ LUMA
        saturation = (picture.max(2) - picture.min(2)).mean()
        rows.append((grey.mean(), (picture[..., 0] - picture[..., 2]).mean(), grey.std(), saturation))
    return np.mean(rows, axis=0)


@pytest.mark.slow
def test_valence_raises_light_and_warmth_and_arousal_contrast_and_saturation():
    axis = (-3, -1.5, 0, 1.5, 3)
    brightness, warmth, _, _ = np.array([looks(v, 0) for v in axis]).T
    assert (np.diff(brightness) > 4).all(), brightness
    assert (np.diff(warmth) > 4).all(), warmth
    same, _, contrast, saturation = np.array([looks(0, a) for a in axis]).T
    assert (np.diff(contrast) > 1).all(), contrast
    assert (np.diff(saturation) > 1).all(), saturation
    assert abs(same[-1] - same[0]) < 0.3 * (brightness[-1] - brightness[0]), "arousal leaves brightness alone"


def shape_of(picture):
    """A small grey picture without mean and scale."""
    grey = (picture @ LUMA)[:128].reshape(32, 4, 32, 4).mean((1, 3))
    return ((grey - grey.mean()) / grey.std()).ravel()


@pytest.mark.slow
def test_content_stays_when_the_emotion_changes():
    plain = {s: shape_of(paint(Scene(s, "meadow", "day"), 0, 0, seed=1)) for s in SUBJECTS}
    for subject in SUBJECTS:
        for valence, arousal in ((-1, -1.5), (-1, 1.0), (1.5, -1.5), (1.5, 1.0)):
            got = shape_of(paint(Scene(subject, "meadow", "day"), valence, arousal, seed=1))
            assert max(plain, key=lambda s: plain[s] @ got) == subject, (subject, valence, arousal)


def test_bad_values_are_refused():
    for values, message in (
        ({"valence": 3.1}, r"valence must be in \[-3, 3\], got 3.1"),
        ({"arousal": float("nan")}, r"arousal must be in \[-3, 3\], got nan"),
        ({"seed": -1}, "seed must be 0 or more, got -1"),
        ({"size": 8}, "size must be at least 32 pixels, got 8"),
    ):
        with pytest.raises(ValueError, match=message):
            paint(sample_scenes(1, 0)[0], **{"valence": 0, "arousal": 0, "seed": 0, **values})


def test_the_command_writes_a_contact_sheet(tmp_path, capsys):
    command = ["paint", "--out", str(tmp_path / "sheets"), "--steps", "2", "--size", "64"]
    assert main([*command, "--subject", "boat", "--setting", "beach", "--time", "day"]) == 0
    assert [p.name for p in (tmp_path / "sheets").iterdir()] == ["boat-beach-day-0.png"]
    assert (tmp_path / "sheets/boat-beach-day-0.png").read_bytes().startswith(b"\x89PNG")
    assert "V -3 A +3:" in capsys.readouterr().out
