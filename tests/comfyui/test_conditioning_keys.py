"""Conditioning as stock nodes and other packs make it: all they put there survives, and pictures come out."""

from collections.abc import Callable

import pytest

from scripts.stand_ins import LORA_NAME
from tests.comfyui.graphs import SIZE, Graph, pictures, report

# ---- ways to make a conditioning -------------------------------------------------------------------


def area(graph: Graph, text: list) -> list:
    return graph.add("ConditioningSetArea", conditioning=text, width=64, height=96, x=32, y=16, strength=0.7)


def area_in_percent(graph: Graph, text: list) -> list:
    values = {"width": 0.5, "height": 0.5, "x": 0.25, "y": 0.5, "strength": 0.7}
    return graph.add("ConditioningSetAreaPercentage", conditioning=text, **values)


def mask(graph: Graph, text: list) -> list:
    solid = graph.add("SolidMask", value=0.8, width=SIZE, height=SIZE)
    values = {"strength": 0.9, "set_cond_area": "mask bounds"}
    return graph.add("ConditioningSetMask", conditioning=text, mask=solid, **values)


def timestep_range(graph: Graph, text: list) -> list:
    return graph.add("ConditioningSetTimestepRange", conditioning=text, start=0.0, end=0.6)


def controlnet(graph: Graph, text: list) -> list:
    model = graph.add("TinySDXLControlNet")
    picture = graph.add("EmptyImage", width=SIZE, height=SIZE, batch_size=1, color=0x4080C0)
    values = {"strength": 0.8, "start_percent": 0.0, "end_percent": 1.0}
    inputs = {"positive": text, "negative": text, "control_net": model, "image": picture}
    return graph.add("ControlNetApplyAdvanced", **inputs, **values)


def model_hooks(graph: Graph, text: list) -> list:
    return graph.add("ConditioningSetProperties", cond_NEW=text, hooks=hooks(graph), **COND)


def hooks(graph: Graph) -> list:
    """A LoRA whose strength changes over the steps."""
    early = graph.add("CreateHookKeyframe", strength_mult=1.0, start_percent=0.0)
    both = graph.add("CreateHookKeyframe", strength_mult=0.3, start_percent=0.5, prev_hook_kf=early)
    lora = graph.add("CreateHookLora", lora_name=LORA_NAME, strength_model=1.0, strength_clip=1.0)
    return graph.add("SetHookKeyframes", hooks=lora, hook_kf=both)


COND = {"strength": 1.0, "set_cond_area": "default"}


def clip_hooks(graph: Graph, text: list) -> list:
    values = {"apply_to_conds": True, "schedule_clip": True}
    clip = graph.add("SetClipHooks", clip=graph.clip(), hooks=hooks(graph), **values)
    return graph.add("CLIPTextEncode", clip=clip, text="a house in the snow")


def combined(graph: Graph, text: list) -> list:
    second = area(graph, graph.text("a boat on a lake"))
    return graph.add("ConditioningCombine", conditioning_1=text, conditioning_2=second)


def with_default(graph: Graph, text: list) -> list:
    covered, default = area(graph, text), graph.text("a boat on a lake")
    return graph.add("ConditioningSetDefaultCombine", cond=covered, cond_DEFAULT=default)


def concatenated(graph: Graph, text: list) -> list:
    boat = graph.text("a boat on a lake")
    return graph.add("ConditioningConcat", conditioning_to=text, conditioning_from=boat)


def averaged(graph: Graph, text: list) -> list:
    inputs = {"conditioning_to": text, "conditioning_from": graph.text("a boat on a lake")}
    return graph.add("ConditioningAverage", **inputs, conditioning_to_strength=0.6)


def zeroed(graph: Graph, text: list) -> list:
    return graph.add("ConditioningZeroOut", conditioning=text)


def sdxl_text(graph: Graph, text: list) -> list:
    sizes = {"width": 512, "height": 768, "crop_w": 8, "crop_h": 16, "target_width": 640, "target_height": 960}
    return graph.add("CLIPTextEncodeSDXL", clip=graph.clip(), text_g="a house", text_l="by the sea", **sizes)


def every_key(graph: Graph, text: list) -> list:
    return graph.add("OddConditioning", conditioning=text, kind="every key", number=0)


def chained(graph: Graph, text: list) -> list:
    return model_hooks(graph, timestep_range(graph, mask(graph, area(graph, controlnet(graph, text)))))


SETTINGS = [area, area_in_percent, mask, timestep_range, controlnet, model_hooks, chained]
"""What leaves the features as they are: the emotion may be added before or after it."""
SOURCES = [*SETTINGS, clip_hooks, combined, with_default, concatenated, averaged, zeroed, sdxl_text]


def named(functions: list[Callable]):
    return pytest.mark.parametrize("make", functions, ids=lambda function: function.__name__)


# ---- what survives ---------------------------------------------------------------------------------


@named([*SOURCES, every_key])
def test_all_that_an_entry_carries_survives_and_the_prompt_itself_stays_as_it_was(server, make):
    graph = Graph()
    plain = make(graph, graph.text())
    emotional = graph.emotional(plain)
    graph.report(plain, "before")
    graph.report(emotional, "emotional")
    graph.report(plain, "beside", after=graph.emotional(emotional, valence=-3.0))
    result = server.queue(graph)
    before, after = report(result, "before"), report(result, "emotional")
    assert report(result, "beside") == before
    assert [entry["extra"] for entry in after] == [entry["extra"] for entry in before]
    for old, new in zip(before, after, strict=True):
        assert new["sha256"] != old["sha256"]
        assert all(new[key] == old[key] for key in ("shape", "dtype", "device"))


def test_the_keys_that_these_graphs_set_are_really_there(server):
    graph = Graph()
    graph.report(chained(graph, graph.text()), "chained")
    graph.report(every_key(graph, graph.text()), "every key")
    result = server.queue(graph)
    [chain], [every] = report(result, "chained"), report(result, "every key")
    assert chain["extra"].keys() >= {"area", "mask", "start_percent", "control", "hooks", "pooled_output"}
    assert every["extra"].keys() >= {"gligen", "unclip_conditioning", "attention_mask", "cross_attn_controlnet"}


def test_an_entry_without_features_passes(server):
    graph = Graph()
    empty = graph.add("OddConditioning", conditioning=graph.text(), kind="no features", number=0)
    graph.report(empty, "before")
    graph.report(graph.emotional(empty), "after")
    result = server.queue(graph)
    assert report(result, "after") == report(result, "before")
    assert report(result, "after")[0]["shape"] is None


@pytest.mark.parametrize(("kind", "dtype"), [("half", "torch.float16"), ("bfloat16", "torch.bfloat16")])
def test_features_keep_their_dtype_whatever_the_network_computes_in(server, kind, dtype):
    graph = Graph()
    text = graph.add("OddConditioning", conditioning=graph.text(), kind=kind, number=0)
    for name in ("auto", "float32", "float16", "bfloat16"):
        graph.report(graph.emotional(text, network=graph.network(dtype=name)), name)
    result = server.queue(graph)
    for name in ("auto", "float32", "float16", "bfloat16"):
        [entry] = report(result, name)
        assert (entry["dtype"], entry["device"], entry["shape"]) == (dtype, "cpu", [1, 77, 2048])


# ---- pictures --------------------------------------------------------------------------------------


@named(SOURCES)
def test_a_picture_follows_the_emotion_and_strength_zero_is_the_plain_one(server, make):
    graph = Graph()
    plain = make(graph, graph.text())
    graph.picture(plain, "plain")
    graph.picture(graph.emotional(plain, strength=0.0), "zero")
    graph.picture(graph.emotional(plain), "emotional")
    if make in SETTINGS:
        graph.picture(make(graph, graph.emotional(graph.text())), "set later")
    shown = pictures(server.queue(graph))
    assert shown["zero"] == shown["plain"]
    assert shown["emotional"] != shown["plain"]
    assert shown.get("set later", shown["emotional"]) == shown["emotional"]


@named([combined, concatenated, averaged, zeroed])
def test_an_emotional_prompt_can_be_joined_with_a_plain_one(server, make):
    graph = Graph()
    plain = graph.text()
    graph.picture(make(graph, plain), "plain")
    graph.picture(make(graph, graph.emotional(plain)), "emotional")
    shown = pictures(server.queue(graph))
    assert (shown["emotional"] == shown["plain"]) == (make is zeroed)  # what is set to zero holds no emotion


def test_both_prompts_can_go_through_one_controlnet_and_one_hook(server):
    graph = Graph()
    texts = [graph.text(), graph.text("blurry", "blurry")]

    def paired(positive: list, negative: list) -> tuple[list, list]:
        model = graph.add("TinySDXLControlNet")
        image = graph.add("EmptyImage", width=SIZE, height=SIZE, batch_size=1, color=0x4080C0)
        values = {"control_net": model, "image": image, "strength": 1.0, "start_percent": 0.0, "end_percent": 1.0}
        [node, _] = graph.add("ControlNetApplyAdvanced", positive=positive, negative=negative, **values)
        inputs = {"positive_NEW": [node, 0], "negative_NEW": [node, 1], "hooks": hooks(graph)}
        [node, _] = graph.add("PairConditioningSetProperties", **inputs, **COND)
        return [node, 0], [node, 1]

    emotional = [graph.emotional(text) for text in texts]
    for name, (positive, negative) in {
        "plain": paired(*texts),
        "before": paired(*emotional),
        "after": tuple(graph.emotional(text) for text in paired(*texts)),
    }.items():
        graph.picture(positive, name, negative=negative)
    shown = pictures(server.queue(graph))
    assert shown["before"] == shown["after"] != shown["plain"]


@pytest.mark.parametrize(("words", "windows"), [(75, 1), (76, 2), (200, 3), (300, 4)])
def test_a_long_prompt_keeps_its_length(server, words, windows):
    graph = Graph()
    plain = graph.text(" ".join(["stone"] * words))
    emotional = graph.emotional(plain)
    for name, text in (("plain", plain), ("emotional", emotional)):
        graph.report(text, f"{name} report")
        graph.picture(text, name)
    result = server.queue(graph)
    [before], [after] = report(result, "plain report"), report(result, "emotional report")
    assert before["shape"] == after["shape"] == [1, 77 * windows, 2048]
    assert pictures(result)["emotional"] != pictures(result)["plain"]


def test_a_batch_of_prompts_gives_a_batch_of_pictures(server):
    graph = Graph()
    batch = graph.add("OddConditioning", conditioning=graph.text(), kind="batch", number=3)
    graph.picture(batch, "plain", batch=3)
    graph.picture(graph.emotional(batch, strength=0.0), "zero", batch=3)
    graph.picture(graph.emotional(batch), "emotional", batch=3)
    shown = pictures(server.queue(graph))
    assert shown["zero"] == shown["plain"]
    assert len(set(shown["emotional"])) == 3
    assert not set(shown["emotional"]) & set(shown["plain"])
