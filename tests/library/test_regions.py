"""Emotion per mask: what each place of the picture gets, summed up as ComfyUI's sampler does."""

import pytest
import torch
import torch.nn.functional as F

from emoticrafter import EmotionNetwork, NetworkConfig
from emoticrafter.conditioning import inject_emotion
from emoticrafter.encoders import CLIP_WINDOW as WINDOW
from emoticrafter.regions import read_mask, regional_emotion, soften

WIDTH = 128
SIDE = 32


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return EmotionNetwork(NetworkConfig(feature_width=WIDTH, width=64, depth=1))


@pytest.fixture
def joy(network):
    return network.encode(2.5, 1.5)


@pytest.fixture
def gloom(network):
    return network.encode(-2.0, -1.0)


def entry(seed=0, batch=1, **extra):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(batch, WINDOW, WIDTH, generator=generator)
    return [features, {"pooled_output": torch.randn(batch, 32, generator=generator), **extra}]


def box(top, left, bottom, right, side=SIDE):
    mask = torch.zeros(1, side, side)
    mask[:, top:bottom, left:right] = 1
    return mask


LEFT, RIGHT = box(0, 0, SIDE, 16), box(0, 16, SIDE, SIDE)
ALL, NONE = box(0, 0, SIDE, SIDE), box(0, 0, 0, 0)


def emotional(network, plain, emotion, strength=1.0):
    return inject_emotion([plain], network, emotion, strength)[0][0]


def weights(conditioning, latent=SIDE):
    """The weight of every entry at every place of a latent picture [B, latent, latent], as the sampler has it."""
    result = []
    for _, extra in conditioning:
        mask = extra.get("mask", torch.ones(1, latent, latent))
        if mask.shape[1:] != (latent, latent):
            mask = F.interpolate(mask[:, None], (latent, latent), mode="bilinear")[:, 0]
        result.append(mask * extra.get("mask_strength", 1.0) * extra.get("strength", 1.0))
    return result


def shares(conditioning, candidates, latent=SIDE):
    """How much each of some features has of the picture, [len(candidates), B, latent, latent]; they sum to 1."""
    found = [0] * len(candidates)
    for (features, _), weight in zip(conditioning, weights(conditioning, latent), strict=True):
        [place] = [k for k, known in enumerate(candidates) if torch.equal(known, features)]
        found[place] = found[place] + weight
    total = sum(found)
    return torch.stack([share / total for share in torch.broadcast_tensors(*map(torch.as_tensor, found))])


# ---- one region ------------------------------------------------------------------------------------


def test_inside_is_the_emotional_prompt_and_outside_the_plain_one(network, joy):
    plain = entry()
    result = regional_emotion([plain], network, joy, LEFT, strength=1.5)
    assert len(result) == 2 and result[0][0] is plain[0]
    outside, inside = shares(result, [plain[0], emotional(network, plain, joy, 1.5)])
    assert torch.equal(inside, LEFT)
    assert torch.equal(outside, RIGHT)


def test_a_grey_mask_mixes(network, joy):
    plain = entry()
    result = regional_emotion([plain], network, joy, 0.25 * ALL)
    mixed = shares(result, [plain[0], emotional(network, plain, joy)])
    assert torch.equal(mixed, torch.stack([0.75 * ALL, 0.25 * ALL]))


def test_a_mask_over_everything_is_emotional_conditioning(network, joy):
    plain = entry(control=object(), area=(4, 4, 0, 0))
    [(features, extra)] = regional_emotion([plain], network, joy, ALL)
    assert torch.equal(features, emotional(network, plain, joy))
    assert "mask" not in extra
    assert all(extra[key] is plain[1][key] for key in plain[1])


@pytest.mark.parametrize(
    ("mask", "strength"), [(NONE, 1.0), (LEFT, 0.0), (0.001 * ALL, 1.0), (torch.zeros(64, 64), 3.0)]
)
def test_without_strength_or_mask_the_prompt_passes_untouched(network, joy, mask, strength):
    conditioning = [entry(), [None, {}]]
    assert regional_emotion(conditioning, network, joy, mask, strength) is conditioning


def test_nothing_is_changed_in_place_and_everything_an_entry_carries_survives(network, joy):
    plain = entry(control=object(), hooks=object(), start_percent=0.2, unheard_of=[1], mask=LEFT.clone())
    before, keys = plain[0].clone(), dict(plain[1])
    region = box(0, 0, 16, SIDE)
    result = regional_emotion([plain], network, joy, region)
    assert torch.equal(plain[0], before)
    assert plain[1].keys() == keys.keys()
    assert all(plain[1][key] is keys[key] for key in keys)
    assert torch.equal(plain[1]["mask"], LEFT)
    assert torch.equal(region, box(0, 0, 16, SIDE))
    for _, extra in result:
        assert all(extra[key] is keys[key] for key in keys if key != "mask")


# ---- on areas and masks ----------------------------------------------------------------------------


def test_on_a_masked_prompt_the_two_masks_are_multiplied_and_its_weight_stays(network, joy):
    plain = entry(mask=0.5 * LEFT, mask_strength=3.0, strength=0.5)
    top = box(0, 0, 16, SIDE)
    result = regional_emotion([plain], network, joy, top)
    outer, inner = weights(result)
    torch.testing.assert_close(outer + inner, weights([plain])[0], rtol=0, atol=0)
    assert torch.equal(inner > 0, (LEFT * top) > 0)


@pytest.mark.parametrize(("own", "region"), [(24, 100), (100, 24), (30, 30)])
def test_masks_of_any_two_sizes_leave_the_weight_as_it_was(network, joy, own, region):
    generator = torch.Generator().manual_seed(1)
    plain = entry(mask=torch.rand(1, own, own + 5, generator=generator))
    result = regional_emotion([plain], network, joy, torch.rand(region, region, generator=generator))
    before = F.interpolate(plain[1]["mask"][:, None], (16, 16), mode="bilinear")[:, 0]
    # Bilinear twice is not quite bilinear once.
    atol = 0.2 if own < region else 1e-6
    torch.testing.assert_close(sum(weights(result, 16)), before, rtol=0, atol=atol)


def test_prompts_that_a_region_does_not_touch_stay_as_they_are(network, joy):
    left, right = entry(0, mask=LEFT), entry(1, mask=RIGHT)
    result = regional_emotion([left, right], network, joy, RIGHT)
    assert [features is left[0] for features, _ in result] == [True, False]
    assert result[0][1]["mask"] is left[1]["mask"]
    assert result[1][1]["mask"] is right[1]["mask"]
    assert torch.equal(result[1][0], emotional(network, right, joy))


def test_a_prompt_with_an_area_keeps_it_on_both_parts(network, joy):
    plain = entry(area=("percentage", 0.5, 1.0, 0.0, 0.0), strength=0.7)
    result = regional_emotion([plain], network, joy, LEFT)
    assert [extra["area"] for _, extra in result] == [plain[1]["area"]] * 2
    assert sum(weights(result)).eq(0.7).all()


def test_both_parts_of_a_prompt_cropped_to_its_mask_keep_the_crop(network, joy):
    plain = entry(mask=box(4, 4, 28, 28), set_area_to_bounds=True)
    result = regional_emotion([plain], network, joy, LEFT)
    for _, extra in result:
        assert torch.equal(extra["mask"] != 0, plain[1]["mask"] != 0)
    outside, _ = shares(result, [plain[0], emotional(network, plain, joy)])
    assert outside[0, 10, 20] == pytest.approx(1, abs=1e-5)
    assert outside[0, 10, 10] == pytest.approx(0, abs=1e-5)


def test_a_strength_of_a_mask_that_is_not_there_does_not_begin_to_count(network, joy):
    plain = entry(mask_strength=0.1, set_area_to_bounds=True)
    result = regional_emotion([plain], network, joy, LEFT)
    assert torch.equal(sum(weights(result)), ALL)
    assert not any(extra["set_area_to_bounds"] for _, extra in result)


def test_a_default_entry_passes_because_comfyui_ignores_its_mask(network, joy):
    covered, default = entry(0, mask=LEFT), entry(1, default=True)
    result = regional_emotion([covered, default], network, joy, ALL)
    assert len(result) == 2
    assert [features is default[0] for features, _ in result] == [True, False]
    assert "mask" not in result[0][1]


def test_an_entry_without_features_passes(network, joy):
    result = regional_emotion([[None, {"a": 1}], entry()], network, joy, LEFT)
    assert result[0] == [None, {"a": 1}]
    assert len(result) == 3


# ---- several regions -------------------------------------------------------------------------------


def test_left_joyful_right_gloomy_the_rest_plain(network, joy, gloom):
    plain = entry()
    left, right = box(0, 0, 16, 16), box(0, 16, 16, SIDE)
    result = regional_emotion(regional_emotion([plain], network, joy, left), network, gloom, right)
    assert len(result) == 3
    candidates = [plain[0], emotional(network, plain, joy), emotional(network, plain, gloom)]
    rest, joyful, gloomy = shares(result, candidates)
    assert torch.equal(joyful, left)
    assert torch.equal(gloomy, right)
    assert torch.equal(rest, box(16, 0, SIDE, SIDE))


def test_a_later_region_covers_an_earlier_one_and_each_costs_one_entry(network, joy, gloom):
    plain = entry(control=object(), mask_strength=1.0)
    masks = [soften(mask, 0.5) for mask in (LEFT, box(8, 8, 24, 24), RIGHT)]
    moods = [joy, gloom, network.encode(0.0, 3.0)]
    result = [plain]
    for mask, mood in zip(masks, moods, strict=True):
        result = regional_emotion(result, network, mood, mask)
    assert len(result) == 4
    candidates = [plain[0], *(emotional(network, plain, mood) for mood in moods)]
    first, second, third = masks
    expected = [
        (1 - first) * (1 - second) * (1 - third),
        first * (1 - second) * (1 - third),
        second * (1 - third),
        third,
    ]
    torch.testing.assert_close(shares(result, candidates), torch.stack(expected), rtol=0, atol=1e-6)


def test_a_region_goes_on_top_of_a_mood_that_was_given_to_all(network, joy, gloom):
    everywhere = inject_emotion(regional_emotion([entry()], network, joy, LEFT), network, gloom)
    result = regional_emotion(everywhere, network, joy, ALL)
    for (before, _), (after, _) in zip(everywhere, result, strict=True):
        assert torch.equal(after, inject_emotion([[before, entry()[1]]], network, joy)[0][0])


def test_entries_with_settings_of_their_own_are_not_joined(network, joy, gloom):
    first = regional_emotion([entry()], network, joy, LEFT)
    for _, extra in first:
        extra["control"] = object()
    assert len(regional_emotion(first, network, gloom, 0.5 * ALL)) == 4


# ---- batches ---------------------------------------------------------------------------------------


def test_a_batch_of_masks_goes_with_a_batch_of_prompts(network, joy):
    plain = entry(batch=2)
    masks = torch.cat([LEFT, RIGHT])
    result = regional_emotion([plain], network, joy, masks)
    assert torch.equal(result[1][1]["mask"], masks)
    assert torch.equal(result[0][1]["mask"], 1 - masks)


def test_one_mask_goes_with_a_batch_and_a_batch_of_masks_with_one_prompt(network, joy):
    assert len(regional_emotion([entry(batch=3)], network, joy, LEFT)) == 2
    [_, (_, extra)] = regional_emotion([entry(mask=LEFT)], network, joy, torch.cat([LEFT, 0.5 * ALL, RIGHT]))
    assert extra["mask"].shape == (3, SIDE, SIDE)


def test_batches_that_do_not_go_together_are_refused_with_both_numbers(network, joy):
    three = LEFT.repeat(3, 1, 1)
    with pytest.raises(ValueError, match="3 masks does not fit the batch of 2 prompts in entry 1"):
        regional_emotion([entry(), entry(batch=2)], network, joy, three)
    with pytest.raises(ValueError, match=r"3 masks does not fit the 2 masks on entry 0 .*: expected 1 or 2"):
        regional_emotion([entry(mask=LEFT.repeat(2, 1, 1))], network, joy, three)


# ---- masks -----------------------------------------------------------------------------------------


def test_what_is_not_a_mask_or_has_holes_is_refused(network, joy):
    told = r"The mask is not a mask: expected .*\(height, width\).* Connect a MASK"
    for shape in ((5,), (1, 1, 8, 8), (8, 8, 3, 1), (0, 8, 8), (1, 0, 8)):
        with pytest.raises(ValueError, match=told):
            regional_emotion([entry()], network, joy, torch.zeros(shape))
    with pytest.raises(ValueError, match=r"The mask is not a mask: .* got NoneType"):
        read_mask(None, "The mask")
    for hole in (float("nan"), float("inf")):
        mask = LEFT.clone()
        mask[0, 3, 3] = hole
        with pytest.raises(ValueError, match="The mask holds NaN or infinite numbers: check the node"):
            regional_emotion([entry()], network, joy, mask)
        with pytest.raises(ValueError, match="The mask on entry 1 of the conditioning holds NaN"):
            regional_emotion([entry(), entry(mask=mask)], network, joy, LEFT)


def test_a_mask_of_any_kind_of_number_is_read_from_0_to_1():
    for dtype in (torch.bool, torch.uint8, torch.float16):
        assert torch.equal(read_mask(LEFT[0].to(dtype), "The mask"), LEFT)
    assert torch.equal(read_mask(LEFT * 3 - 1, "The mask"), LEFT)


def test_the_entry_at_fault_is_named(network, joy):
    with pytest.raises(ValueError, match="Entry 1 of the conditioning is 64 wide"):
        regional_emotion([entry(), [torch.zeros(1, WINDOW, 64), {}]], network, joy, LEFT)


def test_a_feather_makes_the_change_as_wide_as_it_says_and_keeps_its_middle():
    soft = soften(LEFT, 0.25)[0]  # 8 of 32 columns
    assert torch.equal(soft, soft[:1].expand(SIDE, -1))
    assert (soft[0, :-1] >= soft[0, 1:]).all()
    changing = (soft[0] > 0) & (soft[0] < 1)
    assert changing.nonzero().flatten().tolist() == list(range(12, 20))
    assert soft[0, 15] + soft[0, 16] == pytest.approx(1)


def test_a_feather_is_the_mean_over_the_square_round_every_place():
    mask = torch.rand(2, SIDE, 3 * SIDE, generator=torch.Generator().manual_seed(0))
    mask[:, :, SIDE:] = 0
    padded = F.pad(mask, (4, 4, 4, 4), mode="replicate")
    expected = F.avg_pool2d(padded, 9, stride=1)
    torch.testing.assert_close(soften(mask, 0.25), expected, rtol=0, atol=1e-6)
    assert (soften(mask, 0.25)[:, :, SIDE + 4 :] == 0).all()


def test_a_feather_leaves_nothing_and_everything_alone_and_is_refused_out_of_range():
    for mask in (NONE, ALL):
        torch.testing.assert_close(soften(mask, 1.0), mask, rtol=0, atol=1e-6)
    assert soften(LEFT, 0.0) is LEFT
    for feather in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match=r"feather is .*: expected a part of the picture, from 0 to 1"):
            soften(LEFT, feather)
