"""Every claim of docs/guide.md is a test: which one holds it, and those that no other file has."""

import json
import re
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from emoticrafter.emotions import EMOTIONS, MIKELS, PLUTCHIK, RUSSELL
from emoticrafter.path import path_points, read_keyframes
from emoticrafter.protection import remove_directions

ROOT = Path(__file__).resolve().parent.parent
GUIDE = " ".join((ROOT / "docs" / "guide.md").read_text("utf-8").split())

# By file and test: what the guide says, in its words. The test fails where it is no longer so.
HELD_BY = {
    "comfyui/browser/test_blueprint.py": {
        "test_its_inside_makes_pictures_that_follow_the_emotion": ("a blueprint, “Emotional Prompt”",),
    },
    "test_conditioning.py": {
        "test_a_gain_of_zero_is_the_emotion_with_that_value_at_zero": ("0 is as if that value were 0",),
        "test_a_gain_goes_on_past_the_end_of_the_slider_and_leaves_the_other_axis": (
            "it goes on past the end of the slider",
        ),
        "test_the_residual_leaves_protected_directions_alone_at_every_token": (
            "is taken out of what the emotion adds, at every token",
        ),
        "test_the_text_of_another_model_is_refused_by_name": ("reads another text and takes no emotion",),
    },
    "test_emotions.py": {
        "test_every_label_is_its_own_and_names_its_source": ("each with the source that says where it lies",),
        "test_a_mistake_costs_its_own_entry_and_is_told_with_its_line": (
            "costs its own entry alone, and is told with its line",
        ),
    },
    "test_guide.py": {
        "test_there_are_as_many_emotions_as_it_says": ("It knows 48 emotions",),
        "test_the_sources_disagree_about_sadness": ("sad is calm for Russell, and stirred in FindingEmo",),
        "test_the_first_graph_is_that_of_the_templates": (
            "*Load Checkpoint*, and *CLIP Text Encode*",
            "*Load Emotion Network*, to **network** of *Emotional Conditioning*; the prompt to its **conditioning**",
            "the result to *KSampler*, **positive**; *VAE Decode*, *Save Image*",
            "*Load Miniature* stands for both loaders, and *Upscale Image By* makes its small picture large",
        ),
        "test_with_every_protected_word_the_emotion_loses_a_little": (
            "With every word the emotion loses a little",
        ),
    },
    "test_latents.py": {
        "test_one_latent_is_repeated_with_the_same_noise_for_all": (
            "every picture starts from the same noise",
        ),
    },
    "test_network.py": {
        "test_strength_scales_the_residual": ("above 1 the mood is exaggerated",),
    },
    "test_path.py": {
        "test_a_line_is_a_position_and_an_emotion_or_two_numbers": (
            "in frames or percent, and an emotion, by name or as two numbers",
        ),
        "test_a_closed_path_doubles_no_frame": (
            "flows from its last frame into its first, and doubles none",
        ),
        "test_the_easings_are_what_their_names_say": ("linear goes at an even pace",),
        "test_between_two_keyframes_each_axis_goes_one_way": ("None overshoots",),
    },
    "test_regions.py": {
        "test_outside_the_mask_nothing_but_the_very_same_features_counts": (
            "the text is the plain one, to the bit",
        ),
        "test_a_later_region_covers_an_earlier_one_and_each_costs_one_entry": (
            "where two masks overlap, the later mood counts",
        ),
        "test_without_strength_or_mask_the_prompt_passes_untouched": (
            "Strength 0, or an empty mask, gives the prompt back untouched",
        ),
        "test_a_feather_makes_the_change_as_wide_as_it_says_and_keeps_its_middle": (
            "as a part of the mask's shorter side",
        ),
    },
    "test_rewriting.py": {
        "test_without_any_configuration_it_says_how_to_set_it_up": (
            "Until a server is named, nothing is sent anywhere",
        ),
        "test_the_key_does_not_follow_a_redirect": ("not even after a redirect elsewhere",),
        "test_the_same_question_is_asked_once_and_any_other_again": (
            "The same inputs give the same text again without asking",
        ),
    },
    "test_va.py": {
        "test_intensity_one_leaves_a_point_and_zero_is_neutral": ("**intensity** 0 is neutral, 1 as named",),
        "test_at_the_edge_the_kind_of_emotion_stays": ("in the same direction, as far as the plane goes",),
        "test_a_blend_lies_between_both": ("0 is the first alone, 1 the second alone, 0.5 halfway",),
        "test_a_grid_reads_like_a_chart": ("valence rises to the right, arousal upwards",),
        "test_steps_of_a_fifth_are_round_numbers": ("a grid of 31 columns and 1 row",),
    },
    "comfyui/test_bad_input.py": {
        "test_a_value_out_of_range_is_refused_before_anything_runs": ("the mood is exaggerated, up to 3",),
    },
    "comfyui/browser/test_pad.py": {
        "test_without_the_script_the_node_has_its_two_sliders": ("the two values are ordinary numbers",),
        "test_shift_snaps_to_named_emotions_and_says_their_names": (
            "**Shift** while dragging snaps to named emotions",
        ),
        "test_a_double_click_goes_back_to_the_middle": ("a double click goes back to 0, 0",),
    },
    "comfyui/test_conditioning_keys.py": {
        "test_all_that_an_entry_carries_survives_and_the_prompt_itself_stays_as_it_was": (
            "what other nodes wrote onto the prompt stay there",
        ),
    },
    "comfyui/test_emotional_settings.py": {
        "test_at_every_step_exactly_one_of_the_two_prompts_applies": (
            "At every step exactly one of the two prompts counts",
        ),
        "test_neutral_settings_change_nothing": ("as they stand at first, both change nothing",),
        "test_a_setting_that_cannot_be_is_refused_on_the_node": (
            "connect the CLIP of your prompt to **clip**",
        ),
        "test_words_are_protected_by_what_comfyuis_clip_says_of_them": ("This is a promise about the text",),
    },
    "comfyui/test_grid_and_path.py": {
        "test_a_five_by_five_grid_runs_the_network_once_as_a_batch": (
            "The network runs once for all 25 points",
        ),
        "test_each_picture_of_a_batch_is_the_one_of_its_point_alone": (
            "give its latent to **latent** of *Emotion Grid*",
            "Everything behind runs once per point",
        ),
        "test_a_batch_of_latents_that_does_not_fit_is_refused_by_the_grid": (
            "neither 1 nor the number of points is refused",
        ),
        "test_of_a_batch_that_does_not_fit_comfyui_drops_or_repeats": (
            "ComfyUI itself would drop or repeat emotions",
        ),
        "test_keyframes_that_cannot_be_used_are_told_by_line_on_the_node": (
            "are told by line before anything is drawn",
        ),
        "test_count_makes_the_batch_that_fits": ("with **count** as their number",),
    },
    "comfyui/test_guide.py": {
        "test_a_later_start_stays_nearer_to_the_plain_picture": (
            "0, 0 on the pad is a neutral mood; it is not the plain prompt",
            "the composition stays nearer to the plain picture",
        ),
        "test_the_loop_becomes_an_animation": ("the decoded pictures to *Save Animated WEBP*",),
        "test_an_ancestral_sampler_gives_each_picture_noise_of_its_own": (
            "ancestral and SDE samplers flicker",
        ),
    },
    "comfyui/test_nodes.py": {
        "test_each_value_moves_the_picture_and_the_same_values_give_the_same_bytes": (
            "the same seed give the same picture, to the byte",
        ),
        "test_moving_a_value_runs_our_node_and_what_follows_it_alone": (
            "Moving the point runs *Emotional Conditioning*, the sampler and what follows",
        ),
        "test_strength_zero_gives_the_very_same_picture_as_no_node": ("0 is exactly the plain prompt",),
        "test_the_negative_prompt_works_the_same_way": (
            "works in the same way. Try the opposite point there",
        ),
        "test_an_emotion_serves_many_prompts": ("any number of *Emotion Injection* nodes add it",),
        "test_the_three_node_form_equals_the_one_node_form": (
            "give what *Emotional Conditioning* gives, bit for bit",
        ),
        "test_valence_arousal_passes_each_value_on": ("*Valence-Arousal* shares the two numbers",),
    },
    "comfyui/test_preset.py": {
        "test_a_linked_preset_is_the_point_itself": ("connect its outputs to the inputs of the same name",),
        "test_own_emotions_are_listed_with_what_is_wrong_among_them": ("stand first in the list",),
    },
    "comfyui/test_read_emotion.py": {
        "test_asked_and_achieved_are_seen_together": (
            "*Emotion Grid Image* lays the pictures out",
            "*Emotion Map* draws them beside what was asked for",
        ),
        "test_heads_read_through_the_connected_vision_model": (
            "a file of heads in `models/emoticrafter_readers`",
        ),
        "test_a_path_is_laid_out_as_a_strip_of_the_size_asked_for": (
            "shows the way at once, without a model",
        ),
    },
    "comfyui/test_regional.py": {
        "test_two_moods_in_one_picture_each_in_its_place": ("leaves the prompt as it is elsewhere",),
    },
    "comfyui/test_rewrite.py": {
        "test_the_rewritten_prompt_is_encoded_and_asked_for_once": (
            "has a language model write the mood into the prompt",
        ),
    },
    "comfyui/test_workflows.py": {
        "test_img2img_keeps_the_picture_and_changes_its_mood": ("the emotion paints it anew",),
        "test_inpainting_leaves_the_other_half_as_it_was": ("only inside the mask",),
        "test_lora_and_controlnet_take_part": ("ControlNets and LoRAs work as always",),
    },
}
ADVICE = ("A reader errs, too: look at the order of many pictures.",)
"""Points of lists that tell what to do and promise nothing, so that no test could hold them."""
CLAIMS = [
    (claim, file, name)
    for file, tests in HELD_BY.items()
    for name, claims in tests.items()
    for claim in claims
]


def sections() -> dict[str, str]:
    """The guide's sections by their headings."""
    text = (ROOT / "docs" / "guide.md").read_text("utf-8")
    parts = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


# ---- each claim has its test -----------------------------------------------------------------------


@pytest.mark.parametrize(("claim", "file", "name"), CLAIMS)
def test_a_claim_is_in_the_guide_and_its_test_is_there(claim, file, name):
    assert claim in GUIDE
    assert re.search(rf"^def {name}\(", (ROOT / "tests" / file).read_text("utf-8"), re.MULTILINE)


def test_every_point_of_a_list_holds_a_claim_or_is_advice():
    assert all(advice in GUIDE for advice in ADVICE)
    for heading, text in sections().items():
        for item in re.findall(r"^- (.+(?:\n  .+)*)", text, re.MULTILINE):
            said = " ".join(item.split())
            assert said in ADVICE or any(claim in said for claim, _, _ in CLAIMS), f"{heading}: {said}"


@pytest.mark.parametrize("heading", [name for name in sections() if name[0].isdigit()])
def test_every_section_makes_claims_and_names_nodes(heading):
    text = " ".join(sections()[heading].split())
    assert any(claim in text for claim, _, _ in CLAIMS)
    assert (
        re.search(r"\*[A-Z][\w -]+\*", text) or "**protected_words**" in text or "**start_percent**" in text
    )


def test_the_sections_are_counted():
    numbers = [int(name.split(".")[0]) for name in sections() if name[0].isdigit()]
    assert numbers == list(range(1, len(numbers) + 1))


def test_the_templates_it_names_are_shipped():
    shipped = {path.stem for path in (ROOT / "workflows").glob("*.json")}
    named = set(re.findall(r"`([a-z0-9]+(?:_[a-z0-9]+)+)`", GUIDE))
    assert named and named <= shipped


# ---- what no other test says -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "checkpoint", "network", "before_saving"),
    [
        ("emotional_text_to_image", "CheckpointLoaderSimple", "EmotiCrafterLoader", "VAEDecode"),
        ("pad_to_picture_miniature", "EmotiCrafterMiniature", "EmotiCrafterMiniature", "ImageScaleBy"),
    ],
)
def test_the_first_graph_is_that_of_the_templates(template, checkpoint, network, before_saving):
    assert f"`{template}`" in sections()["1. A first picture"]
    workflow = json.loads((ROOT / "workflows" / f"{template}.json").read_text("utf-8"))
    nodes = {node["id"]: node for node in workflow["nodes"]}
    links = {
        (nodes[source]["type"], nodes[target]["type"], nodes[target]["inputs"][slot]["name"])
        for _, source, _, target, slot, _ in workflow["links"]
    }
    assert links >= {
        (checkpoint, "CLIPTextEncode", "clip"),
        (checkpoint, "KSampler", "model"),
        (network, "EmotiCrafterConditioning", "network"),
        ("CLIPTextEncode", "EmotiCrafterConditioning", "conditioning"),
        ("EmotiCrafterConditioning", "KSampler", "positive"),
        ("KSampler", "VAEDecode", "samples"),
        (before_saving, "SaveImage", "images"),
    }


def test_there_are_as_many_emotions_as_it_says():
    assert "It knows 48 emotions" in GUIDE and len(EMOTIONS) == 48
    assert "16 of Russell's circumplex, Plutchik's 24 words and Mikels' eight categories" in GUIDE
    assert (len(RUSSELL), len(PLUTCHIK), len(MIKELS)) == (16, 24, 8)


def test_the_sources_disagree_about_sadness():
    assert RUSSELL["sad"].arousal < -0.4
    assert PLUTCHIK["sadness"].arousal > 0.4


def test_with_every_protected_word_the_emotion_loses_a_little():
    generator = torch.Generator().manual_seed(0)
    residual = torch.randn(77, 64, generator=generator)
    basis = torch.linalg.qr(torch.randn(64, 5, generator=generator)).Q.T
    left = [remove_directions(residual, basis[:count]).norm() for count in range(6)]
    assert left[0] == residual.norm()
    assert all(later < earlier for earlier, later in pairwise(left))
    assert left[-1] > 0.9 * left[0]


def test_its_keyframes_make_a_loop():
    [text] = re.findall(r"```\n(0% .*?)```", (ROOT / "docs" / "guide.md").read_text("utf-8"), re.DOTALL)
    frames = path_points(read_keyframes(text, 16, EMOTIONS, True), 16, "smooth", True)
    assert len(set(frames)) == 16
    assert frames[0] == RUSSELL["calm"]
