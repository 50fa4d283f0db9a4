"""How much of the composition is kept, as a start: its ends, its order, and how it goes with other settings."""

from itertools import pairwise

import pytest
import torch

from emoticrafter.composition import STARTS, measured_family, start_that_keeps, steps_that_keep
from emoticrafter.encoders import FAMILIES, EncoderFacts


def facts(family: str) -> EncoderFacts:
    return EncoderFacts(family, torch.zeros(8), torch.ones(8))


def test_without_it_the_steps_stay_as_they_are():
    for family in (None, *FAMILIES):
        encoder = family and facts(family.name)
        for steps in ((0.0, 1.0), (0.3, 0.7), (0.0, 0.0), (0.7, 0.2)):
            assert steps_that_keep(0.0, steps, encoder) == steps


@pytest.mark.parametrize("family", STARTS)
def test_more_of_it_begins_the_emotion_later_up_to_never(family):
    starts = [start_that_keeps(number / 100, family) for number in range(101)]
    assert all(0 <= first < second <= 1 for first, second in pairwise(starts))
    assert (starts[0], starts[-1]) == (0.0, 1.0)
    for composition, start in STARTS[family]:
        assert start_that_keeps(composition, family) == pytest.approx(start)


def test_the_later_of_two_starts_counts():
    kept = start_that_keeps(0.5, "SDXL")
    assert steps_that_keep(0.5, (kept / 2, 1.0), None) == (kept, 1.0)
    assert steps_that_keep(0.5, (kept + 0.1, 1.0), None) == (kept + 0.1, 1.0)


def test_each_family_has_measured_starts():
    told = {family.name: measured_family(facts(family.name)) for family in FAMILIES}
    assert told["SDXL"] == told["Stable Diffusion 1.x"] == told["Stable Diffusion 2.x"] == "SDXL"
    assert told["Lumina 2"] == told["Z-Image"] == told["Flux.1"] == told["Stable Diffusion 3"] == "Lumina 2"
    assert measured_family(None) == "SDXL" and measured_family(facts("of tomorrow")) == "Lumina 2"


def test_what_cannot_be_is_told():
    with pytest.raises(ValueError, match=r"begins the emotion at 1.00 .* after its end at 0.2 .* raise end_percent"):
        steps_that_keep(1.0, (0.0, 0.2), None)
    for composition in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match=r"composition is .*: expected 0 .* to 1"):
            steps_that_keep(composition, (0.0, 1.0), None)
