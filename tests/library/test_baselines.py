"""The baselines' networks: what they give, that they begin as a change of nothing, and their files."""

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from emoticrafter.research.baselines import (
    METHODS,
    CrossAttention,
    CrossAttentionConfig,
    EncoderConfig,
    TextualInversion,
    TextualInversionConfig,
    TimeEmbedding,
    TimeEmbeddingConfig,
    baseline_training,
    is_baseline,
    load_baseline,
    mark_places,
    save_baseline,
    save_words,
    scaled,
)

ENCODER = EncoderConfig(tokens=2, width=8, hidden=6)
LAYERS = {"mid_block.attentions.0.transformer_blocks.0": 12, "up_blocks.0.attentions.0.transformer_blocks.1": 6}


def make(method: str, rough: bool = True):
    """A small baseline with weights of no meaning, or as it begins."""
    torch.manual_seed(0)
    baseline = {
        "cross-attention": lambda: CrossAttention(CrossAttentionConfig(LAYERS, 10, ENCODER)),
        "time-embedding": lambda: TimeEmbedding(TimeEmbeddingConfig(16, ENCODER)),
        "textual-inversion": lambda: TextualInversion(TextualInversionConfig((5, 7), encoder=ENCODER)),
    }[method]()
    if rough:
        with torch.no_grad():
            for weight in baseline.parameters():
                weight.normal_()
    return baseline.eval()


def flat(effect) -> list[torch.Tensor]:
    if isinstance(effect, torch.Tensor):
        return [effect]
    parts = effect.values() if isinstance(effect, dict) else [effect]
    return [tensor for part in parts for tensor in part]


SHAPES = {
    "cross-attention": [(3, 4, 12), (3, 4, 12), (3, 4, 6), (3, 4, 6)],
    "time-embedding": [(3, 16)],
    "textual-inversion": [(3, 4, 5), (3, 4, 7)],
}


@pytest.mark.parametrize("method", METHODS)
def test_each_point_has_an_effect_of_its_own(method):
    baseline = make(method)
    found = flat(baseline(torch.tensor([-3.0, 0.5, 3.0]), torch.tensor([1.0, 1.0, 1.0])))
    assert [tuple(part.shape) for part in found] == SHAPES[method]
    assert all((part[0] - part[1]).abs().max() > 1e-3 for part in found)
    arousal = flat(baseline(torch.tensor([-3.0]), torch.tensor([2.0])))
    assert all((part[0] - other[0]).abs().max() > 1e-3 for part, other in zip(found, arousal, strict=True))


@pytest.mark.parametrize("method", METHODS)
def test_it_begins_as_a_change_of_nothing_and_refuses_values_outside_the_plane(method):
    for part in flat(make(method, rough=False)(2.0, -1.0)):
        assert torch.equal(part, torch.zeros_like(part))
    with pytest.raises(ValueError, match=r"arousal is 3\.5: expected a number from -3 to 3"):
        make(method)(1.0, 3.5)


def test_strength_scales_the_attention_and_the_vector_alone():
    effect = make("cross-attention")(1.0, 1.0)
    for (keys, values), (new_keys, new_values) in zip(effect.values(), scaled(effect, 0.5).values(), strict=True):
        assert torch.equal(keys, new_keys) and torch.equal(0.5 * values, new_values)
    vector = make("time-embedding")(1.0, 1.0)
    assert torch.equal(scaled(vector, 2.0), 2 * vector)


def test_the_template_takes_any_prompt():
    baseline = make("textual-inversion")
    assert baseline.prompt("a {emotion} * dog") == "a {emotion} * dog, * * * *"
    config = TextualInversionConfig((5, 7), "{prompt} in a {emotion} mood", ENCODER)
    assert TextualInversion(config).prompt("a dog") == "a dog in a * * * * mood"


def test_a_template_without_its_places_is_refused():
    for template in ("{prompt}", "{emotion}, {prompt}", "{prompt} {emotion} {emotion}", "{prompt} * {emotion}"):
        with pytest.raises(ValueError, match=r"expected \{prompt\} and after it \{emotion\}"):
            TextualInversionConfig((5, 7), template, ENCODER)


def test_the_last_marks_are_the_learned_words():
    assert mark_places([1, 9, 5, 9, 9, 2], mark=9, count=2) == [3, 4]
    with pytest.raises(ValueError, match="has 1 places for learned words: expected 2"):
        mark_places([1, 9, 2], mark=9, count=2)


# --- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_a_saved_baseline_is_read_back_with_what_it_says_of_itself(method, tmp_path):
    baseline, path = make(method), tmp_path / "network.safetensors"
    save_baseline(baseline, path, {"steps": 3})
    read = load_baseline(path)
    assert read.config == baseline.config and not read.training
    for part, other in zip(flat(baseline(1.0, -2.0)), flat(read(1.0, -2.0)), strict=True):
        assert torch.equal(part, other)
    assert is_baseline(path) and baseline_training(path) == {"steps": 3}


def damaged(path, tensors=None, **metadata):
    with safe_open(path, "pt") as file:
        said = file.metadata()
    kept = {name: tensor for name, tensor in (load_file(path) | (tensors or {})).items() if tensor is not None}
    save_file(kept, path, said | metadata)


HUGE = json.dumps({"time_width": 10**9, "encoder": {"tokens": 1, "width": 8, "hidden": 8}})
CASES = (  # changed tensors, changed metadata, the error; test_weights has more of what all files share
    ({}, {"format": "pt"}, "is a safetensors file, but not a baseline"),
    ({}, {"version": "2"}, "it has version 2 and this release reads up to 1: update"),
    ({}, {"method": "wishing"}, "its method is 'wishing': expected one of cross-attention"),
    ({}, {"config": "{}"}, "The metadata of network.safetensors cannot be used"),
    ({}, {"config": HUGE}, "sizes are whole numbers from 1 to 65,536"),
    ({"projection.weight": None}, {}, "1 missing (projection.weight)"),
    ({"projection.weight": torch.full((16, 32), torch.nan)}, {}, "holds NaN or infinite numbers"),
)


def test_a_bad_file_is_named_with_what_is_wrong(tmp_path):
    path = tmp_path / "network.safetensors"
    for tensors, metadata, message in CASES:
        save_baseline(make("time-embedding"), path)
        damaged(path, tensors, **metadata)
        with pytest.raises(ValueError) as error:
            load_baseline(path)
        assert message in str(error.value)


def test_a_cut_file_is_told_from_one_that_is_not_there(tmp_path):
    path = tmp_path / "network.safetensors"
    save_baseline(make("time-embedding"), path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match="cut short"):
        load_baseline(path)
    with pytest.raises(FileNotFoundError, match="There is no file"):
        load_baseline(tmp_path / "other.safetensors")


def test_the_words_of_a_point_are_an_embedding_of_sdxl(tmp_path):
    baseline, path = make("textual-inversion"), tmp_path / "calm.safetensors"
    save_words(baseline, 2.0, -3.0, path)
    clip_l, clip_g = baseline(2.0, -3.0)
    kept = load_file(path)
    assert torch.equal(kept["clip_l"], clip_l[0]) and torch.equal(kept["clip_g"], clip_g[0])


def test_a_config_of_other_types_is_refused(tmp_path):
    path, encoder = tmp_path / "network.safetensors", {"tokens": 1, "width": 8, "hidden": 8}
    odd = (
        ("cross-attention", {"layers": [], "text_width": 8}, "its layers is []"),
        ("cross-attention", {"layers": {"keys": 8}, "text_width": 8}, "its layers is a dict of 1"),
        ("cross-attention", {"layers": {"a.b": {}}, "text_width": 8}, "sizes are whole numbers"),
        ("textual-inversion", {"text_widths": [8]}, "expected two widths"),
        ("textual-inversion", {"text_widths": 8}, "expected two widths"),
        ("textual-inversion", {"text_widths": [8, 8], "template": {}}, "its template is a dict of 0"),
        ("time-embedding", {"time_width": True}, "sizes are whole numbers"),
        ("time-embedding", {"time_width": "\ud800"}, "sizes are whole numbers"),
    )
    for method, config, message in odd:
        save_baseline(make(method), path)
        damaged(path, config=json.dumps({"encoder": encoder, **config}))
        with pytest.raises(ValueError) as error:
            load_baseline(path)
        assert message in str(error.value) and str(error.value).isprintable()
