"""A run against its nulls: a network that learned the emotion beats them, and one that did not is told so."""

import json
import shutil
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.conftest import PlaneEncoders
from trainer.data.pairs import hold_out, load_table, save_table
from trainer.features.writing import write_features
from trainer.report import main
from trainer.runs.loader import Loader, read_data
from trainer.runs.nulls import ASKED, EVERYWHERE, MEAN, NULLS, SHUFFLED, ZERO, Nulls, measure_nulls, region_of
from trainer.runs.settings import Settings
from trainer.train import main as train

SCALE = 1.5


class Knows:
    """A network that adds the directions of the tests' features, each times a gain, and nothing of the scene."""

    def __init__(self, valence: float = 1.0, arousal: float = 1.0, leak: float = 0.0):
        self.gains = torch.tensor([[valence, leak], [0.0, arousal]])
        self.directions = 0.5 * torch.randn(2, 77, 32, generator=torch.Generator().manual_seed(999))

    def encode(self, valence, arousal):
        return torch.stack([valence, arousal], dim=1).float()

    def residual(self, neutral, emotion, mask=None):
        return SCALE * torch.einsum("bk,kj,jtd->btd", emotion, self.gains, self.directions)


class Constant(Knows):
    """One that learned that emotional prompts differ, but not how it depends on the emotion."""

    def residual(self, neutral, emotion, mask=None):
        return torch.full_like(neutral, 0.01)


class Strength(Knows):
    """One that learned how strong an emotion is, but not its sign."""

    def encode(self, valence, arousal):
        return super().encode(valence.abs(), arousal.abs())


@pytest.fixture(scope="module")
def measured(data_folder):
    read = read_data(Settings(data=data_folder, preserve_rank=4), torch.device("cpu"))
    loader = Loader(read, torch.device("cpu"), pool=False)
    yield lambda network: measure_nulls(network, read, loader, SCALE)
    loader.close()


def test_a_network_that_knows_the_emotion_beats_every_null(measured):
    found = measured(Knows())
    assert all(found.beats(name) for name in NULLS) and not found.verdict
    assert found.mean(ASKED) < 1e-3 < found.mean(MEAN) < found.mean(ZERO) * 1.5
    assert found.mean("labels negated") == pytest.approx(4 * found.mean(ZERO), rel=0.01)  # twice as far off
    assert found.as_json()["regions"][EVERYWHERE]["pairs"] == 8


def test_what_does_not_depend_on_the_emotion_is_told_so(measured):
    said = measured(Constant()).verdict
    assert said.startswith("DOES NOT BEAT ITS NULL.")
    for name in NULLS:
        assert name in said


def test_strength_without_a_sign_is_told_by_the_negated_labels(measured):
    found = measured(Strength())
    assert found.errors[ASKED].tolist() == found.errors["labels negated"].tolist()
    assert "with the opposite emotion" in found.verdict and "sign of valence" in found.verdict


def test_an_axis_that_was_not_learned_is_named(measured):
    said = measured(Knows(arousal=0.0)).verdict
    assert "sign of arousal" in said and "sign of valence" not in said


def test_a_leak_is_seen_where_it_goes(measured):
    (v_to_v, v_to_a), (a_to_v, a_to_a) = measured(Knows(leak=0.5)).leak["network"]
    assert (v_to_v, a_to_a) == pytest.approx((1, 1), abs=0.02)
    assert v_to_a == pytest.approx(0.5, abs=0.02) and a_to_v == pytest.approx(0, abs=0.02)
    assert np.allclose(measured(Knows()).leak["held-out pairs"], np.eye(2), atol=0.02)


def test_no_pair_is_asked_its_own_labels_when_they_are_shuffled(measured):
    found = measured(Knows())
    assert (found.errors[SHUFFLED] > found.errors[ASKED]).mean() > 0.7  # some pairs share a point


def test_regions_of_the_plane():
    assert region_of(1.0, -1.0) == "middle"
    assert region_of(0.0, 1.1) == "V ≥ 0, A ≥ 0" and region_of(-0.5, -3) == "V < 0, A < 0"


def nulls(prompts, regions=None, **gains) -> Nulls:
    """Pairs with errors of 1 as asked, and so much more by each null."""
    errors = {ASKED: np.ones(len(prompts))}
    errors |= {name: 1 + np.asarray(gains.get(name.replace(" ", "_"), 1.0)) * np.ones(len(prompts)) for name in NULLS}
    return Nulls("validation", errors, np.array(regions or ["middle"] * len(prompts)), np.array(prompts), {})


def test_a_gain_must_be_clear_of_its_spread_over_prompts():
    uneven = np.array([3.0, -1, 3, -1, 3, -1])
    assert nulls(range(6), zero_residual=uneven).beats(ZERO) is False
    assert nulls(range(6), zero_residual=2 + uneven).beats(ZERO) is True
    assert nulls([0, 0, 1, 1, 2, 2]).beats(ZERO) is None, "three prompts, however many pairs"
    assert "too few validation prompts to tell" in nulls(range(4)).verdict


def test_a_region_that_is_lost_is_named():
    away = ["V < 0, A < 0"] * 30
    found = nulls(range(36), ["middle"] * 6 + away, zero_residual=[-0.5] * 6 + [3.0] * 30)
    assert found.verdict == "Beats its nulls over the whole plane, but not in middle: zero residual."


def test_test_pairs_are_measured_where_there_are_any(data_folder, tmp_path):
    table = hold_out(load_table(data_folder), 0.3)
    save_table(table, tmp_path / "pairs.jsonl")
    write_features(table, PlaneEncoders(), tmp_path / "features", progress=False)
    read = read_data(Settings(data=tmp_path, preserve_rank=4), torch.device("cpu"))
    with closing(Loader(read, torch.device("cpu"), pool=False)) as loader:
        found = measure_nulls(Constant(), read, loader, SCALE)
    assert found.split == "test" and len(found.prompts) == len(table.indexes("test")) != len(read.validation)
    assert found.verdict.startswith("DOES NOT BEAT ITS NULL. Test error")


# ---- the command -----------------------------------------------------------------------------------

SMALL = "--width 64 --depth 1 --emotion-tokens 2 --emotion-hidden 16 --batch 8 --steps 2 --lr 1e-6 --log-every 1"


@pytest.fixture(scope="module")
def untrained(data_folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "run"
    assert train([*SMALL.split(), "--data", str(data_folder), "--out", str(out)]) == 0
    return out


@pytest.mark.slow
def test_the_reports_first_line_says_what_a_network_has_not_learned(untrained, capsys):
    capsys.readouterr()
    assert main([str(untrained)]) == 0
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert first.startswith("DOES NOT BEAT ITS NULL.") and "report.html" in second
    page = (untrained / "report.html").read_text()
    assert page.index("<h1>") < page.index("DOES NOT BEAT ITS NULL") < page.index("<dl>")
    assert "V ≥ 0, A &lt; 0" in page and "along arousal" in page
    told = json.loads((untrained / "report" / "nulls.json").read_text())
    assert first == told["verdict"]
    card = (untrained / "README.md").read_text()
    assert card.startswith("---\nlicense:") and "## Against its nulls\n\nDOES NOT BEAT ITS NULL." in card
    assert "| as asked |" in card and "| network: per unit of valence |" in card
    # The same pairs, weights and labels as the run's own validation.
    [*_, last] = map(json.loads, (untrained / "metrics.jsonl").read_text().splitlines())
    assert told["regions"]["everywhere"]["errors"][ASKED] == pytest.approx(last["loss"], rel=1e-4)


@pytest.mark.slow
def test_a_report_without_features_says_that_nothing_was_compared(untrained, data_folder, tmp_path, capsys):
    pairs = Path(shutil.copy(data_folder / "pairs.jsonl", tmp_path))
    capsys.readouterr()
    assert main([str(untrained), "--data", str(pairs.parent)]) == 0
    assert capsys.readouterr().out.startswith("Not compared with its nulls, for which the features are needed")
