from itertools import combinations
from operator import attrgetter

import pytest

from trainer.world.scene import SETTINGS, SUBJECTS, TIMES, Scene, all_scenes, sample_scenes


def test_the_world_is_as_large_as_promised():
    assert len(SUBJECTS) >= 12
    assert len(SETTINGS) >= 6
    assert len(all_scenes()) == len(SUBJECTS) * len(SETTINGS) * len(TIMES) == len(set(all_scenes()))


def test_held_out_scenes_are_disjoint_from_training():
    train, held_out = set(all_scenes("train")), set(all_scenes("held-out"))
    assert not train & held_out
    assert train | held_out == set(all_scenes())
    assert len(held_out) >= 40


def test_every_pair_of_properties_is_seen_in_training():
    train, held_out = all_scenes("train"), all_scenes("held-out")
    for pair in combinations(("subject", "setting", "time"), 2):
        assert len({attrgetter(*pair)(s) for s in all_scenes()} - {attrgetter(*pair)(s) for s in train}) == 0
    for name, known in (("subject", SUBJECTS), ("setting", SETTINGS), ("time", TIMES)):
        assert {getattr(s, name) for s in held_out} == set(known)


def test_samples_repeat_and_keep_to_their_split():
    drawn = sample_scenes(200, seed=3, split="held-out")
    assert drawn == sample_scenes(200, seed=3, split="held-out")
    assert drawn != sample_scenes(200, seed=4, split="held-out")
    assert all(scene.held_out for scene in drawn)
    assert not any(scene.held_out for scene in sample_scenes(200, seed=3))


def test_unknown_names_are_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"unknown subject 'dragon': use one of face, cat"):
        Scene("dragon", "meadow", "day")
    with pytest.raises(ValueError, match=r"unknown time 'noon'.*dawn"):
        Scene("cat", "meadow", "noon")
    with pytest.raises(ValueError, match=r"unknown split 'test'"):
        all_scenes("test")
