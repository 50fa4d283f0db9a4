"""The readers: what they are shown, what is kept from them, and the distance between pictures."""

import numpy as np
import pytest
import torch

from emoticrafter.fit.loop import step_random
from emoticrafter.research.readers import CONTENT, Reader, distance, load_reader
from trainer.core.device import Machine
from trainer.miniature.dataset import make_plan, paint_set
from trainer.miniature.readers import KINDS, Sight, split_scores, train_reader, vary
from trainer.miniature.recipe import TINY
from trainer.world.scene import SETTINGS, SUBJECTS, TIMES

RECIPE = TINY


@pytest.fixture(scope="module")
def sight(tmp_path_factory):
    plan = make_plan("readers", 40, RECIPE, "all")
    painted = paint_set(plan, tmp_path_factory.mktemp("sight") / "painted.npy", 32, processes=1)
    return Sight(plan, painted, 255 - painted[::2])


@pytest.fixture(scope="module")
def reader():
    torch.manual_seed(0)
    return Reader((32, 32, 32, 32), 2).eval().requires_grad_(False)


def test_held_out_pictures_are_never_learned_from(sight):
    held_out = {tuple(row) for row in sight.held_out(returned=False)[1].tolist()}
    learned = {tuple(row) for step in range(20) for row in sight.batch(16, step_random(0, step))[1].tolist()}
    assert len(held_out) == 2 and len(learned) > 30
    assert not held_out & learned


def test_held_out_pictures_come_painted_and_returned(sight):
    painted, returned = (sight.held_out(flag)[0] for flag in (False, True))
    torch.testing.assert_close(painted, 1 - returned)


def test_the_library_knows_what_the_content_reader_scores():
    assert (len(SUBJECTS), len(SETTINGS), len(TIMES)) == CONTENT and sum(CONTENT) == KINDS["content"]


def test_variations_keep_size_and_range():
    for seed in range(10):
        pictures = torch.rand(2, 3, 32, 32)
        varied = vary(pictures, np.random.default_rng(seed))
        assert varied.shape == pictures.shape and varied.min() >= 0 and varied.max() <= 1
        assert abs(varied.mean() - pictures.mean()) < 0.05


def test_distance_is_zero_for_equal_pictures_and_grows(reader):
    picture = torch.rand(3, 3, 64, 64)
    noise = torch.randn(3, 3, 64, 64)
    near, far = (distance(reader, picture, (picture + k * noise).clamp(0, 1)) for k in (0.02, 0.3))
    assert (distance(reader, picture, picture) == 0).all()
    assert (near > 0).all() and (far > 3 * near).all()


def test_any_picture_size_is_read(reader):
    assert reader(torch.rand(2, 3, 128, 128)).shape == (2, 2)
    assert [part.shape[1] for part in split_scores(torch.zeros(2, KINDS["content"]))] == [14, 6, 4]


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_trained_reader_says_its_held_out_figures(sight, tmp_path, kind):
    machine = Machine(torch.device("cpu"))
    path = tmp_path / f"{kind}.safetensors"
    trained = train_reader(kind, RECIPE, sight, path, tmp_path / "training", machine)
    again, config = load_reader(path)
    assert config["kind"] == kind
    assert {name.split(":")[0] for name in config["held_out"]} == {"painted", "returned"}
    picture = torch.rand(1, 3, 64, 64)
    assert torch.equal(trained(picture), again(picture))
