"""Text encoders other than SDXL's: any length, masks, room for more tokens, and a file that knows its encoder."""

import math

import pytest
import torch

from emoticrafter import EmotionNetwork, NetworkConfig, load_network, save_network
from emoticrafter.conditioning import doubts, inject_emotion
from emoticrafter.encoders import FAMILIES, EncoderFacts, common_ends, find_family, make_room, room_numbers
from emoticrafter.fingerprint import DOUBTFUL, SURE, likeness, looks_like
from emoticrafter.regions import regional_emotion
from emoticrafter.weights.files import read_safetensors, save_tensors

WIDTH = 64
MASK = torch.tensor([[0, 0, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 1, 1]])


class TextEncoder:
    """Features as an encoder's: channels of their own mean and size, and a first token that is always the same."""

    def __init__(self, seed, width=WIDTH):
        generator = torch.Generator().manual_seed(seed)
        draw = lambda: torch.randn(width, generator=generator)  # noqa: E731
        self.mean, self.scale, self.first = draw(), draw().mul(0.5).exp(), 5 * draw()

    def __call__(self, tokens=12, batch=1, seed=0, shift=0.0):
        noise = torch.randn(batch, tokens, len(self.mean), generator=torch.Generator().manual_seed(seed))
        features = (self.mean + self.scale * noise) * (1 + shift)
        features[:, 0] = self.first
        return features

    def facts(self, family="Z-Image", **more):
        return EncoderFacts(family, self.mean, self.scale, **more)


def network(encoder=None, seed=0, **config):
    torch.manual_seed(seed)
    sizes = {"feature_width": WIDTH, "width": 64, "depth": 1, "positions": 16, "window": None}
    built = EmotionNetwork(NetworkConfig(**{**sizes, **config}), encoder)
    return built.requires_grad_(False)


def steered(entry, built, **settings):
    [result] = inject_emotion([entry], built, built.encode(2.0, -1.0), **settings)
    return result


# ---- lengths and masks -------------------------------------------------------------------------------


def test_a_prompt_of_any_length_takes_an_emotion_without_a_pooled_vector():
    built = network()
    for tokens in (1, 5, 16, 17, 40, 100):
        features = TextEncoder(1)(tokens)
        moved, extra = steered([features, {"pooled_output": None}], built)
        assert moved.shape == features.shape
        assert (moved != features).any(-1).all()
        assert extra == {"pooled_output": None}
        [same, _] = steered([features, {}], built, strength=0)
        assert torch.equal(same, features)


def test_pieces_of_a_long_prompt_join_without_a_seam():
    built = network(positions=16)
    features = TextEncoder(1)(1).expand(1, 64, -1).contiguous()  # the same token everywhere
    residual = built.residual(features, built.encode(2.0, -1.0))[0]
    steps = (residual[1:] - residual[:-1]).norm(dim=-1)
    inside = (built.residual(features[:, :16], built.encode(2.0, -1.0))[0].diff(dim=0)).norm(dim=-1)
    assert steps.max() < 1.5 * inside.max()


@pytest.mark.parametrize("settings", [{}, {"gains": (0.5, 1.5)}])
@pytest.mark.parametrize("positions", [7, 4])
def test_masked_tokens_are_neither_read_nor_changed(settings, positions):
    built = network(positions=positions)
    features, mask = TextEncoder(1)(7, batch=3), MASK.bool()
    moved, extra = steered([features, {"attention_mask": MASK}], built, **settings)
    assert extra["attention_mask"] is MASK
    assert torch.equal(moved[~mask], features[~mask])
    assert (moved != features).any(-1)[mask].all()
    for nothing in (7.0, math.nan):
        other = features.masked_fill(~mask.unsqueeze(-1), nothing)
        again, _ = steered([other, {"attention_mask": MASK}], built, **settings)
        assert torch.equal(again[mask], moved[mask])


def test_padding_changes_nothing_whichever_side_it_is_on():
    built, features = network(), TextEncoder(1)(5)
    alone, _ = steered([features, {}], built)
    blank = torch.zeros(1, 2, WIDTH)
    for padded, mask, place in (
        (torch.cat([features, blank], 1), [1] * 5 + [0] * 2, slice(0, 5)),
        (torch.cat([blank, features], 1), [0] * 2 + [1] * 5, slice(2, 7)),
    ):
        moved, _ = steered([padded, {"attention_mask": torch.tensor([mask])}], built)
        torch.testing.assert_close(moved[:, place], alone, rtol=0, atol=1e-5)


def test_a_mask_goes_with_many_emotions_and_keeps_its_rows():
    built, mask = network(), MASK[:1]
    emotions = built.encode(torch.tensor([-2.0, 0.0, 2.0]), 1.0)
    features = TextEncoder(1)(7)
    [[moved, extra]] = inject_emotion([[features, {"attention_mask": mask}]], built, emotions)
    assert len(moved) == 3
    assert extra["attention_mask"] is mask  # ComfyUI repeats it, and counts tokens by its sum
    for row, value in enumerate((-2.0, 0.0, 2.0)):
        [[alone, _]] = inject_emotion([[features, {"attention_mask": mask}]], built, built.encode(value, 1.0))
        torch.testing.assert_close(moved[row : row + 1], alone, rtol=0, atol=1e-5)


def test_a_mask_that_does_not_fit_is_refused():
    for mask in (torch.ones(1, 6), torch.ones(2, 7), torch.ones(7)):
        with pytest.raises(
            ValueError, match=r"Entry 0 .* attention mask of shape .* expected one number for each token"
        ):
            steered([TextEncoder(1)(7), {"attention_mask": mask}], network())


def test_token_ids_in_place_of_features_are_refused_in_words():
    ids = torch.tensor([[1, 2, 3]])
    with pytest.raises(ValueError, match=r"holds token ids .* so nothing can be added"):
        steered([ids.unsqueeze(-1).float(), {"text_input_ids": ids}], network())


# ---- room for more tokens ----------------------------------------------------------------------------


def test_room_comes_before_the_tail_and_out_of_the_padding_first():
    numbers = torch.arange(1.0, 8.0).view(1, 7, 1)
    for mask, count, tail, expected, grown in (
        (None, 2, 2, [1, 2, 3, 4, 5, 5, 5, 6, 7], None),
        (None, 1, 0, [1, 2, 3, 4, 5, 6, 7, 7], None),
        ([1] * 5 + [0] * 2, 2, 1, [1, 2, 3, 4, 4, 4, 5], [1] * 7),
        ([1] * 5 + [0] * 2, 3, 1, [1, 2, 3, 4, 4, 4, 4, 5], [1] * 8),
        ([1] * 5 + [0] * 2, 1, 1, [1, 2, 3, 4, 4, 5, 6], [1] * 6 + [0]),
        ([0] * 2 + [1] * 5, 2, 3, [1, 2, 3, 4, 4, 4, 5, 6, 7], [0] * 2 + [1] * 7),
    ):
        masked = None if mask is None else torch.tensor([mask]).bool()
        features, after = make_room(numbers, masked, count, tail)
        assert features.flatten().tolist() == expected
        assert (after if grown is None else after.int().tolist()) == (None if grown is None else [grown])
        within = room_numbers(features, after, count, tail).flatten()
        assert within[within > 0].tolist() == list(range(1, count + 1))
        assert len(set(features.flatten()[within > 0].tolist())) == 1


def test_added_tokens_lengthen_the_features_and_the_mask_and_leave_the_rest():
    encoder = TextEncoder(1)
    built = network(encoder.facts(tail=3), added_tokens=4)
    kept = object()
    for batch, mask in ((1, torch.ones(1, 9, dtype=torch.int64)), (2, torch.ones(2, 9)), (1, None)):
        extra = {"guidance": 3.5, "kept": kept} | ({} if mask is None else {"attention_mask": mask})
        moved, after = steered([encoder(9, batch), extra], built)
        assert moved.shape == (batch, 13, WIDTH)
        assert after.keys() == extra.keys()
        assert after["kept"] is kept
        if mask is not None:
            assert after["attention_mask"].dtype == mask.dtype
            assert after["attention_mask"].sum() == mask.sum() + 4 * batch
        same, unchanged = steered([encoder(9, batch), extra], built, strength=0)
        assert torch.equal(same, encoder(9, batch))
        assert unchanged == extra


def test_each_part_of_the_steps_has_a_mask_of_its_own_length():
    encoder = TextEncoder(1)
    built = network(encoder.facts(), added_tokens=4)
    entry = [encoder(9), {"attention_mask": torch.ones(1, 9)}]
    parts = inject_emotion([entry], built, built.encode(1.0, 1.0), steps=(0.2, 0.8))
    assert [features.shape[1] for features, _ in parts] == [9, 13, 9]
    assert all(extra["attention_mask"].shape == features.shape[:2] for features, extra in parts)


def test_a_region_over_another_begins_at_the_plain_prompt_and_its_mask():
    encoder = TextEncoder(1)
    built = network(encoder.facts(), added_tokens=4)
    conditioning = [[encoder(9), {"attention_mask": torch.ones(1, 9)}]]
    left, right = torch.zeros(2, 1, 8, 8)
    left[..., :4], right[..., 3:6] = 1, 1
    for value, mask in ((2.0, left), (-2.0, right)):
        conditioning = regional_emotion(conditioning, built, built.encode(value, 0.0), mask)
    assert sorted(features.shape[1] for features, _ in conditioning) == [9, 13, 13]
    assert all(extra["attention_mask"].shape == features.shape[:2] for features, extra in conditioning)


def test_head_and_tail_are_what_all_prompts_share():
    assert common_ends([[1, 5, 6, 8, 9], [1, 7, 8, 9], [1, 2, 2, 2, 8, 9]]) == (1, 2)
    assert common_ends([[5], [6]]) == (0, 0)


# ---- normalisation and files -------------------------------------------------------------------------


def test_a_normalising_network_is_the_same_for_features_of_another_scale():
    encoder = TextEncoder(1)
    large = EncoderFacts("Z-Image", 100 * encoder.mean, 100 * encoder.scale)
    one, other = network(encoder.facts(), normalise=True), network(large, normalise=True)
    features, emotion = encoder(9), one.encode(1.0, 2.0)
    larger = other.residual(100 * features, emotion) / 100
    torch.testing.assert_close(larger, one.residual(features, emotion), rtol=0, atol=1e-4)
    with pytest.raises(ValueError, match=r"needs their mean and scale, \[64\]: nothing is known of its encoder"):
        network(normalise=True)


def test_a_file_knows_its_encoder_and_a_network_without_one_is_saved_as_before(tmp_path):
    encoder = TextEncoder(1)
    facts = encoder.facts(head=3, tail=5, first=encoder.first)
    before = network(facts, normalise=True, added_tokens=2)
    save_network(before, tmp_path / "net.safetensors")
    after = load_network(tmp_path / "net.safetensors", dtype=torch.float16).float()
    assert after.config == before.config
    assert (after.encoder.family, after.encoder.head, after.encoder.tail) == ("Z-Image", 3, 5)
    for name in ("mean", "scale", "first"):
        assert torch.equal(getattr(after.encoder, name), getattr(facts, name))
    features, emotion = encoder(9), before.encode(1.0, 2.0)
    torch.testing.assert_close(after.residual(features, emotion), before.residual(features, emotion), rtol=0, atol=0.1)
    save_network(network(), tmp_path / "old.safetensors")
    assert load_network(tmp_path / "old.safetensors").encoder is None


def test_a_files_statistics_that_cannot_be_computed_with_are_refused(tmp_path):
    path = tmp_path / "net.safetensors"
    save_network(network(TextEncoder(1).facts(), normalise=True), path)
    metadata, tensors = read_safetensors(path)
    for dtype in (torch.float8_e4m3fn, torch.int64, torch.complex64):
        save_tensors(path, tensors | {"encoder.mean": tensors["encoder.mean"].to(dtype)}, metadata)
        with pytest.raises(ValueError, match=r"encoder.mean in net.safetensors holds"):
            load_network(path)


# ---- whose text it is --------------------------------------------------------------------------------


def test_another_encoder_of_the_same_width_is_refused_and_both_are_named():
    flux, wan = TextEncoder(1), TextEncoder(2)
    built = network(flux.facts("Flux.1"))
    features = wan(512)
    features[:, 20:] = 0  # as UMT5's padding
    with pytest.raises(ValueError, match=r"Entry 0 .* fitted to Flux.1 \(T5-XXL\).*looks like Wan \(UMT5-XXL\)"):
        steered([features, {"pooled_output": None}], built)
    plain, _ = steered([features, {"pooled_output": None}], built, strength=0)
    assert torch.equal(plain, features)
    own = flux(256)
    assert steered([own, {"pooled_output": torch.zeros(1, 8)}], built)[0].shape == own.shape


def test_prompts_of_the_same_encoder_pass_and_others_do_not():
    encoder = TextEncoder(1)
    facts = encoder.facts(head=1, tail=0, first=encoder.first)
    for tokens in (1, 4, 12, 100):
        for features in (encoder(tokens, seed=5), encoder(tokens, shift=0.4), 3 * encoder(tokens)):
            assert likeness(features, None, facts, None) > SURE
            assert likeness(features.half(), torch.ones(1, tokens).bool(), facts, None) > SURE
    numbers = [likeness(TextEncoder(seed)(12), None, facts, None) for seed in range(2, 30)]
    assert max(numbers) < SURE
    assert sum(number < DOUBTFUL for number in numbers) >= 26


def test_what_says_nothing_of_its_encoder_passes():
    encoder = TextEncoder(1)
    built = network(encoder.facts(tail=2, head=1))
    for features in (torch.zeros(1, 9, WIDTH), TextEncoder(2)(5)):  # emptied, and two tokens
        assert steered([features, {}], built)[0].shape == features.shape
    alike = network(EncoderFacts("Z-Image", torch.zeros(WIDTH), torch.ones(WIDTH)))
    assert steered([TextEncoder(2)(9), {}], alike)[0].shape == (1, 9, WIDTH)


def test_a_doubt_is_told_and_does_not_stop_the_queue():
    t5 = TextEncoder(1)
    built = network(t5.facts("Flux.1"))
    entry = [t5(9), {"pooled_output": None}]
    [told] = doubts([entry], built)
    assert "fitted to Flux.1 (T5-XXL), and the encoder of Entry 0" in told
    assert "Chroma (T5-XXL)" in told
    assert doubts([[t5(256), {"pooled_output": torch.zeros(1, 8)}]], built) == []
    steered(entry, built)


def test_an_entry_is_known_by_its_shape_and_what_is_beside_it():
    def names(tokens, width, extra, blank=None):
        features = torch.ones(1, tokens, width)
        if blank is not None:
            features[:, blank[0], blank[1]] = 0
        return [family.name for family in looks_like(features, extra)]

    pooled = {"pooled_output": torch.zeros(1, 8)}
    assert names(77, 2048, pooled) == ["SDXL"]
    assert names(256, 4096, pooled) == ["Flux.1"]
    assert names(512, 4096, {}, (slice(20, None), slice(None))) == ["Wan"]
    assert names(154, 4096, pooled, (slice(0, 77), slice(2048, None))) == ["Stable Diffusion 3"]
    assert "Chroma" in names(20, 4096, {"pooled_output": None})
    assert names(128, 4096, pooled | {"conditioning_llama3": 0}) == ["HiDream-I1"]
    assert names(20, 2560, {"attention_mask": torch.ones(1, 20)}) == ["Z-Image"]
    assert names(20, 30720, {}) == ["Krea 2"]


def test_families_have_one_name_each_and_an_unknown_encoder_has_none():
    assert len({family.name for family in FAMILIES}) == len(FAMILIES)
    assert find_family(object()) is None
