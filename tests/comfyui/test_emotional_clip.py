"""Emotional CLIP in a real server: its encoding is that of Emotional Conditioning behind the plain CLIP."""

import re

import pytest

from scripts.server import PromptError
from scripts.stand_ins import LORA_NAME
from tests.comfyui.graphs import PROMPT, Graph, pictures, report
from tests.comfyui.test_other_packs import scheduled, told

LONG = " ".join(f"bird {number}" for number in range(60))
WEIGHTED = "a (quiet:1.4) house by the [sea], (embers:0.3)"
GLOOM = {"valence": -2.0, "arousal": -1.0}


def encoded(graph: Graph, clip: list, text: str = PROMPT) -> list:
    return graph.add("CLIPTextEncode", clip=clip, text=text)


def probed(graph: Graph, clip: list, way: str, text: str = PROMPT) -> list:
    """The text, encoded as other packs do (see probe_nodes)."""
    return graph.add("ProbeEncode", clip=clip, text=text, way=way)


def with_lora(graph: Graph, clip: list) -> list:
    model, _, _ = graph.checkpoint()
    node, _ = graph.add(
        "LoraLoader", model=model, clip=clip, lora_name=LORA_NAME, strength_model=1.0, strength_clip=2.0
    )
    return [node, 1]


def with_clip_skip(graph: Graph, clip: list) -> list:
    return graph.add("CLIPSetLastLayer", clip=clip, stop_at_clip_layer=-3)


def with_hooks(graph: Graph, clip: list) -> list:
    return graph.add("SetClipHooks", clip=clip, apply_to_conds=True, schedule_clip=True, hooks=hooks_of(graph))


def hooks_of(graph: Graph) -> list:
    scheduled(graph)
    return graph["scheduled"]["inputs"]["hooks"]


def with_key_value_turns(graph: Graph, clip: list) -> list:
    return graph.add("ProbeInterleavingCLIP", clip=clip)


CHANGES = {
    "nothing": lambda graph, clip: clip,
    "LoRA": with_lora,
    "clip skip": with_clip_skip,
    "hooks": with_hooks,
    "NegPip": with_key_value_turns,
    "LoRA, hooks and clip skip": lambda graph, clip: with_clip_skip(graph, with_hooks(graph, with_lora(graph, clip))),
}
SETTINGS = {
    "gains": {"valence_gain": 1.7, "arousal_gain": 0.2},
    "half": {"strength": 0.5},
    "words": {"protected_words": "people, sea"},
    "zero": {"pooled": "zero"},
    "start": {"start_percent": 0.25, "end_percent": 0.75},
    "composition": {"composition": 0.5},
}

# ---- the same as Emotional Conditioning --------------------------------------------------------------


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_is_done_to_the_clip_before_or_after_it_equals_emotional_conditioning(server, change):
    graph = Graph()
    changed = CHANGES[change](graph, graph.clip())
    before = graph.emotional_clip(changed)
    after = CHANGES[change](graph, graph.emotional_clip(graph.clip()))
    for text in (PROMPT, LONG, WEIGHTED):
        plain = encoded(graph, changed, text)
        graph.report(plain, f"{text} plain")
        graph.report(graph.emotional(plain), f"{text} expected")
        graph.report(encoded(graph, before, text), f"{text} before")
        graph.report(encoded(graph, after, text), f"{text} after")
    result = server.queue(graph)
    for text in (PROMPT, LONG, WEIGHTED):
        expected = report(result, f"{text} expected")
        assert expected != report(result, f"{text} plain")
        assert report(result, f"{text} before") == expected
        assert report(result, f"{text} after") == expected


def test_every_setting_does_what_it_does_on_emotional_conditioning(server):
    graph = Graph()
    clip = with_lora(graph, graph.clip())
    plain = encoded(graph, clip)
    storm = {"pooled": "from pooled_prompt", "pooled_prompt": encoded(graph, clip, "a storm")}
    for name, values in {**SETTINGS, "storm": storm}.items():
        own_clip = {"clip": clip} if name == "words" else {}
        graph.report(graph.emotional(plain, **values, **own_clip), f"{name} expected")
        graph.report(encoded(graph, graph.emotional_clip(clip, **values)), name)
        late = with_lora(graph, graph.emotional_clip(graph.clip(), **values))
        graph.report(encoded(graph, late), f"{name} before the LoRA")
    result = server.queue(graph)
    for name in (*SETTINGS, "storm"):
        assert report(result, name) == report(result, f"{name} expected"), name
        assert report(result, f"{name} before the LoRA") == report(result, f"{name} expected"), name
    assert len(report(result, "start")) == 3 and len(report(result, "composition")) == 2


def test_two_of_them_in_a_row_equal_two_emotional_conditionings_in_a_row(server):
    graph = Graph()
    joy, gloom = {"protected_words": "people"}, {**GLOOM, "protected_words": "sea"}
    clip = graph.clip()
    one = graph.emotional(encoded(graph, clip), clip=clip, **joy)
    graph.report(one, "one")
    graph.report(graph.emotional(one, clip=clip, **gloom), "expected")
    both = with_clip_skip(graph, graph.emotional_clip(graph.emotional_clip(clip, **joy), **gloom))
    graph.report(encoded(graph, graph.add("CLIPSetLastLayer", clip=both, stop_at_clip_layer=-2)), "both")
    result = server.queue(graph)
    assert report(result, "both") == report(result, "expected") != report(result, "one")


WAYS = ("encode", "features", "pooled", "unprojected", "dict", "scheduled", "clone", "copy", "whole", "parts")


@pytest.mark.parametrize("way", WAYS)
def test_nodes_that_encode_themselves_get_the_emotion(server, way):
    graph = Graph()
    clip = graph.clip()
    graph.report(probed(graph, clip, way), "plain")
    graph.report(graph.emotional(encoded(graph, clip)), "expected")
    graph.report(probed(graph, graph.emotional_clip(clip), way), "found")
    result = server.queue(graph)
    [plain], [expected], [found] = (report(result, name) for name in ("plain", "expected", "found"))
    assert found["sha256"] == expected["sha256"] != plain["sha256"]
    assert found["extra"] == plain["extra"]


@pytest.mark.parametrize("way", ["whole", "parts"])
def test_nodes_that_go_past_the_clip_get_the_emotion_too(server, way):
    """Before and after a LoRA, behind NegPip, of two emotions, with weights and in several windows."""
    graph = Graph()
    clip = graph.clip()
    lora, turned = with_lora(graph, clip), with_key_value_turns(graph, clip)
    made = {
        "after": (lora, graph.emotional_clip(lora), graph.emotional),
        "before": (lora, with_lora(graph, graph.emotional_clip(clip)), graph.emotional),
        "turned": (turned, graph.emotional_clip(turned), graph.emotional),
        "two": (
            clip,
            graph.emotional_clip(graph.emotional_clip(clip), **GLOOM),
            lambda plain: graph.emotional(graph.emotional(plain), **GLOOM),
        ),
        "zero": (
            clip,
            graph.emotional_clip(clip, pooled="zero", valence_gain=1.5, protected_words="sea"),
            lambda plain: graph.emotional(plain, pooled="zero", valence_gain=1.5, protected_words="sea", clip=clip),
        ),
    }
    texts = (PROMPT, f"{LONG} {WEIGHTED}")
    for name, (plain, emotional, expected) in made.items():
        for text in texts:
            graph.report(expected(encoded(graph, plain, text)), f"{name} {text} expected")
            graph.report(probed(graph, emotional, way, text), f"{name} {text}")
    result = server.queue(graph)
    for name in made:
        for text in texts:
            assert report(result, f"{name} {text}") == report(result, f"{name} {text} expected"), (name, text)


def test_an_embedding_that_only_one_encoder_shows_is_told(server):
    graph = Graph()
    clip = graph.clip()
    graph.report(probed(graph, clip, "embedding"), "plain")
    log = told(server, graph, "emotional", probed(graph, graph.emotional_clip(clip), "embedding"))
    result = server.queue(graph)
    assert report(result, "emotional") == report(result, "plain")
    assert "with an embedding in the prompt: that prompt stays without the emotion" in log


def test_prompts_that_a_node_joins_or_puts_into_a_hook_get_the_emotion_each(server):
    graph = Graph()
    clip = graph.clip()
    emotional = graph.emotional_clip(clip)
    two = "a quiet house by the sea BREAK a storm"
    graph.report(graph.emotional(probed(graph, clip, "joined", two)), "joined expected")
    graph.report(probed(graph, emotional, "joined", two), "joined")
    graph.report(probed(graph, emotional, "couple"), "couple")
    graph.report(graph.emotional(encoded(graph, clip, "a storm")), "storm")
    result = server.queue(graph)
    assert report(result, "joined") == report(result, "joined expected")
    [couple], [storm] = report(result, "couple"), report(result, "storm")
    assert storm["sha256"] in couple["extra"]["part"]


# ---- the plain CLIP stays plain ----------------------------------------------------------------------


def test_at_strength_0_it_is_the_plain_clip(server):
    graph = Graph()
    clip = graph.clip()
    off = graph.emotional_clip(
        clip, strength=0.0, protected_words="people", pooled="from pooled_prompt", start_percent=0.5
    )
    for way in ("dict", "clone", "scheduled", "parts"):
        graph.report(probed(graph, clip, way), f"{way} plain")
        graph.report(probed(graph, off, way), f"{way} off")
    graph.picture(encoded(graph, clip), "plain")
    graph.picture(encoded(graph, off), "off")
    result = server.queue(graph)
    for way in ("dict", "clone", "scheduled", "parts"):
        assert report(result, f"{way} off") == report(result, f"{way} plain")
    assert pictures(result)["off"] == pictures(result)["plain"]


@pytest.mark.parametrize("way", ["scheduled", "whole", "parts"])
@pytest.mark.parametrize("change", ["nothing", "LoRA", "hooks", "NegPip"])
def test_the_clip_that_it_was_given_encodes_as_before(server, change, way):
    graph = Graph()
    clip = CHANGES[change](graph, graph.clip())
    first = probed(graph, clip, way)
    graph.report(first, "before")
    later = graph.add("ProbeClipAfter", clip=clip, after=first)
    emotional = probed(graph, graph.emotional_clip(later), way)
    graph.report(emotional, "emotional")
    graph.report(probed(graph, graph.add("ProbeClipAfter", clip=clip, after=emotional), way), "after")
    result = server.queue(graph)
    assert report(result, "after") == report(result, "before") != report(result, "emotional")


def test_protected_words_are_those_of_the_plain_clip_and_a_second_emotion_adds_up(server):
    graph = Graph()
    clip = graph.clip()
    plain, emotional = encoded(graph, clip), graph.emotional_clip(clip, **GLOOM)
    graph.report(graph.emotional(plain, protected_words="people", clip=clip), "expected")
    graph.report(graph.emotional(plain, protected_words="people", clip=emotional), "found")
    graph.report(graph.emotional(graph.emotional(plain, **GLOOM)), "two expected")
    graph.report(graph.emotional(encoded(graph, emotional)), "two")
    result = server.queue(graph)
    assert report(result, "found") == report(result, "expected")
    assert report(result, "two") == report(result, "two expected")


# ---- what cannot be ----------------------------------------------------------------------------------


def test_a_clip_of_another_family_is_refused_in_the_words_of_emotional_conditioning(server):
    messages = []
    for kind in ("emotional", "emotional_clip"):
        graph = Graph()
        clip = graph.add("ProbeNarrowCLIP", clip=graph.clip())
        link = graph.emotional(encoded(graph, clip), "here") if kind == "emotional" else None
        link = link or encoded(graph, graph.emotional_clip(clip, "here"))
        graph.report(link, "report")
        with pytest.raises(PromptError) as caught:
            server.queue(graph)
        assert caught.value.node_id == "here"
        messages.append(
            re.search(r"Entry 0 of the conditioning is 1280 wide.*such a checkpoint\.", str(caught.value))[0]
        )
    assert messages[0] == messages[1]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"pooled": "from pooled_prompt"}, "connected to pooled_prompt: connect a CLIP Text Encode"),
        ({"start_percent": 0.7, "end_percent": 0.2}, "the start not after the end"),
        ({"composition": 1.0, "end_percent": 0.2}, "composition 1 begins the emotion at 1.00 of the denoising, after"),
        ({"protected_words": "stone " * 80}, "expected 1 to 75 tokens in one window"),
        ({"valence": 3.5}, "Value 3.5 bigger than max of 3.0: valence"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_on_the_node(server, values, message):
    graph = Graph()
    graph.report(encoded(graph, graph.emotional_clip(graph.clip(), "emotional", **values)), "report")
    with pytest.raises(PromptError) as caught:
        server.queue(graph)
    assert message in str(caught.value)
    assert "emotional" in (caught.value.node_id, *(caught.value.node_errors or {}))


@pytest.mark.parametrize("way", ["pooled", "whole", "parts"])
def test_a_start_is_refused_where_a_prompt_can_be_but_one_entry(server, way):
    graph = Graph()
    emotional = graph.emotional_clip(graph.clip(), start_percent=0.5)
    graph["asks"] = {"class_type": "ProbeEncode", "inputs": {"clip": emotional, "text": PROMPT, "way": way}}
    graph.report(["asks", 0], "report")
    with pytest.raises(PromptError, match="Emotional CLIP make 2 entries that follow each other") as caught:
        server.queue(graph)
    assert caught.value.node_id == "asks"


def test_a_node_after_a_start_that_misreads_its_entries_is_named(server):
    graph = Graph()
    emotional = encoded(graph, graph.emotional_clip(graph.clip(), start_percent=0.2))
    joined = graph.add("ConditioningConcat", conditioning_to=graph.text(), conditioning_from=emotional)
    log = told(server, graph, "joined", joined)
    assert "Emotional CLIP with composition, start_percent or end_percent gives entries that follow each other" in log
    assert "ConditioningConcat after it reads the first of them alone" in log


def test_moving_the_point_encodes_the_prompt_and_no_more(server):
    """What the node tries at once is kept with the CLIP."""
    graph = Graph()
    counted = graph.add("ProbeCountingCLIP", clip=graph.clip())
    counts = []
    for number, valence in enumerate([1.0, 2.0, 3.0]):
        emotional = graph.emotional_clip(counted, valence=valence)
        graph.add("ProbeCount", f"count {number}", after=encoded(graph, emotional))
        counts += report(server.queue(graph), f"count {number}")
    assert counts == [2, 3, 4]
