"""The nodes in a real server: what the interface is told of them, and what they do in a graph."""

import pytest

from tests.comfyui.graphs import Graph, pictures, report

VALENCE = ("valence", "FLOAT", {"default": 0.0, "min": -3.0, "max": 3.0, "step": 0.05})
AROUSAL = ("arousal", "FLOAT", {"default": 0.0, "min": -3.0, "max": 3.0, "step": 0.05})
STRENGTH = ("strength", "FLOAT", {"default": 1.0, "min": 0.0, "max": 3.0, "step": 0.05})
NETWORK = ("network", "EMOTION_NETWORK", {})
CONDITIONING = ("conditioning", "CONDITIONING", {})
CLIP = ("clip", "CLIP", {})


FINE = [
    *((f"{axis}_gain", "FLOAT", {"default": 1.0, "min": 0.0, "max": 2.0}) for axis in ("valence", "arousal")),
    ("start_percent", "FLOAT", {"default": 0.0, "min": 0.0, "max": 1.0}),
    ("end_percent", "FLOAT", {"default": 1.0, "min": 0.0, "max": 1.0}),
]
WORDS = ("protected_words", "STRING", {"default": ""})
POOLED = [
    ("pooled", "COMBO", {"default": "keep", "options": ["keep", "zero", "from pooled_prompt"]}),
    ("pooled_prompt", "CONDITIONING", {}),
]
COMPOSITION = ("composition", "FLOAT", {"default": 0.0, "min": 0.0, "max": 1.0})


def bound(name: str, default: float) -> tuple:
    return (name, "FLOAT", {"default": default, "min": -3.0, "max": 3.0, "step": 0.05})


def count(name: str, default: int, most: int) -> tuple:
    return (name, "INT", {"default": default, "min": 1, "max": most})


MANY = ["EMOTION", "FLOAT", "FLOAT", "EMOTION_POINTS", "INT", "LATENT"]

# Saved workflows hold ids, and widget values by their position: none of this may change after a release.
CONTRACTS = {
    "EmotiCrafterLoader": (
        "Load Emotion Network",
        [
            ("network_name", "COMBO", {}),
            ("dtype", "COMBO", {"default": "auto", "options": ["auto", "float32", "float16", "bfloat16"]}),
        ],
        ["EMOTION_NETWORK"],
    ),
    "EmotiCrafterVAEncoder": ("VA Encoder", [NETWORK, VALENCE, AROUSAL], ["EMOTION"]),
    "EmotiCrafterInjection": (
        "Emotion Injection",
        [CONDITIONING, ("emotion", "EMOTION", {}), STRENGTH],
        ["CONDITIONING"],
    ),
    "EmotiCrafterConditioning": (
        "Emotional Conditioning",
        [*(CONDITIONING, NETWORK, VALENCE, AROUSAL, STRENGTH), *(*FINE, WORDS, CLIP, *POOLED, COMPOSITION)],
        ["CONDITIONING"],
    ),
    "EmotiCrafterCLIP": (
        "Emotional CLIP",
        [CLIP, NETWORK, VALENCE, AROUSAL, STRENGTH, *FINE, WORDS, *POOLED, COMPOSITION],
        ["CLIP"],
    ),
    "EmotiCrafterValenceArousal": ("Valence-Arousal", [VALENCE, AROUSAL], ["FLOAT", "FLOAT"]),
    "EmotiCrafterRegional": (
        "Regional Emotion",
        [
            CONDITIONING,
            NETWORK,
            ("mask", "MASK", {}),
            VALENCE,
            AROUSAL,
            STRENGTH,
            ("feather", "FLOAT", {"default": 0.0, "min": 0.0, "max": 1.0, "step": 0.01}),
        ],
        ["CONDITIONING"],
    ),
    "EmotiCrafterRewrite": (
        "Rewrite Prompt for Emotion",
        [
            ("text", "STRING", {"default": "", "multiline": True}),
            VALENCE,
            AROUSAL,
            ("base_url", "STRING", {"default": ""}),
            ("model", "STRING", {"default": ""}),
            ("seed", "INT", {"default": 0, "min": 0, "max": 2**31 - 1, "control_after_generate": False}),
            ("timeout", "INT", {"default": 60, "min": 1, "max": 600}),
        ],
        ["STRING"],
    ),
    "EmotiCrafterPreset": (
        "Emotion Preset",
        [
            ("emotion", "COMBO", {"default": "happy (Russell)"}),
            ("intensity", "FLOAT", {"default": 1.0, "min": 0.0, "max": 3.0, "step": 0.05}),
            ("blend_with", "COMBO", {"default": "none"}),
            ("blend", "FLOAT", {"default": 0.5, "min": 0.0, "max": 1.0, "step": 0.05}),
        ],
        ["FLOAT", "FLOAT", "EMOTION_POINTS"],
    ),
    "EmotiCrafterGrid": (
        "Emotion Grid",
        [
            *(count("columns", 5, 31), count("rows", 5, 31)),
            *(bound("valence_min", -3.0), bound("valence_max", 3.0)),
            *(bound("arousal_min", -3.0), bound("arousal_max", 3.0)),
            *(NETWORK, ("latent", "LATENT", {})),
        ],
        MANY,
    ),
    "EmotiCrafterPath": (
        "Emotion Path",
        [
            ("keyframes", "STRING", {"default": "0% calm\n50% excited\n100% calm", "multiline": True}),
            count("frames", 16, 4096),
            ("easing", "COMBO", {"default": "linear"}),
            ("closed", "BOOLEAN", {"default": False}),
            *(NETWORK, ("latent", "LATENT", {})),
        ],
        MANY,
    ),
    "EmotiCrafterGridImage": (
        "Emotion Grid Image",
        [
            ("images", "IMAGE", {}),
            ("points", "EMOTION_POINTS", {}),
            ("title", "STRING", {"default": ""}),
            ("cell_size", "INT", {"default": 0, "min": 0, "max": 4096, "step": 8}),
            ("columns", "INT", {"default": 0, "min": 0, "max": 256}),
        ],
        ["IMAGE"],
    ),
    "EmotiCrafterReadEmotion": (
        "Read Emotion",
        [("images", "IMAGE", {}), ("reader", "COMBO", {}), ("clip_vision", "CLIP_VISION", {})],
        ["FLOAT", "FLOAT", "EMOTION_POINTS", "STRING"],
    ),
    "EmotiCrafterMap": (
        "Emotion Map",
        [
            ("size", "INT", {"default": 768, "min": 384, "max": 2048, "step": 8}),
            ("asked", "EMOTION_POINTS", {}),
            ("read", "EMOTION_POINTS", {}),
        ],
        ["IMAGE"],
    ),
    "EmotiCrafterMiniature": (
        "Load Miniature",
        [("plan", "COMBO", {"default": "SDXL"})],
        ["MODEL", "CLIP", "VAE", "EMOTION_NETWORK"],
    ),
    "EmotiCrafterBaseline": (
        "Emotion Baseline",
        [
            ("model", "MODEL", {}),
            ("baseline_name", "COMBO", {}),
            VALENCE,
            AROUSAL,
            STRENGTH,
            ("text", "STRING", {"default": "", "multiline": True}),
            ("clip", "CLIP", {}),
        ],
        ["MODEL", "CONDITIONING"],
    ),
}

BATCH = ["emotion", "valences", "arousals", "points", "count", "latents"]
OUTPUT_NAMES = {
    "EmotiCrafterLoader": ["EMOTION_NETWORK"],
    "EmotiCrafterVAEncoder": ["EMOTION"],
    "EmotiCrafterInjection": ["CONDITIONING"],
    "EmotiCrafterConditioning": ["CONDITIONING"],
    "EmotiCrafterCLIP": ["CLIP"],
    "EmotiCrafterValenceArousal": ["valence", "arousal"],
    "EmotiCrafterPreset": ["valence", "arousal", "points"],
    "EmotiCrafterGrid": BATCH,
    "EmotiCrafterPath": BATCH,
    "EmotiCrafterGridImage": ["image"],
    "EmotiCrafterReadEmotion": ["valences", "arousals", "points", "text"],
    "EmotiCrafterMap": ["image"],
    "EmotiCrafterRegional": ["CONDITIONING"],
    "EmotiCrafterRewrite": ["prompt"],
    "EmotiCrafterMiniature": ["MODEL", "CLIP", "VAE", "EMOTION_NETWORK"],
    "EmotiCrafterBaseline": ["model", "positive"],
}


# ---- what the interface is told --------------------------------------------------------------------


@pytest.mark.parametrize("node_id", CONTRACTS)
def test_a_node_keeps_its_id_inputs_and_outputs(server, node_id):
    name, inputs, outputs = CONTRACTS[node_id]
    info = server.object_info()[node_id]
    assert info["display_name"] == name
    assert info["output"] == outputs
    assert info["input"].keys() <= {"required", "optional", "hidden"}  # hidden: of nodes that show something
    described = {**info["input"]["required"], **info["input"].get("optional", {})}
    order = [*info["input_order"]["required"], *info["input_order"].get("optional", [])]
    assert order[: len(inputs)] == [input_name for input_name, _, _ in inputs]  # later ones are appended
    for input_name, kind, options in inputs:
        given_kind, given = described[input_name]
        assert given_kind == kind
        assert {key: given[key] for key in options} == options


def test_every_node_input_and_output_is_explained(server):
    ours = {key: info for key, info in server.object_info().items() if key.startswith("EmotiCrafter")}
    assert ours.keys() >= CONTRACTS.keys()
    for node_id, info in ours.items():
        assert len(info["description"]) > 20, node_id
        assert info["category"].split("/")[0] == "EmotiCrafter", node_id
        inputs = {**info["input"].get("required", {}), **info["input"].get("optional", {})}
        for name, (_, options) in inputs.items():
            assert options.get("tooltip"), f"{node_id}: {name} has no tooltip"
        assert len(info["output_tooltips"]) == len(info["output"])
        assert all(info["output_tooltips"]), node_id


def test_an_outputs_name_is_its_own_or_its_types_on_every_version(server):
    """Without a display name newer ComfyUIs show the output's id, and the translations of its type are lost."""
    shown = {node_id: server.object_info()[node_id]["output_name"] for node_id in CONTRACTS}
    assert shown == OUTPUT_NAMES


def test_a_mood_finds_the_nodes_where_comfyui_searches_in_other_words(server):
    ours = [info for name, info in server.object_info().items() if name.startswith("EmotiCrafter")]
    if "search_aliases" not in ours[0]:
        pytest.skip("this ComfyUI searches in names alone")
    for info in ours:
        assert {"mood", "emotion", "feeling", "valence", "affect"} <= set(info["search_aliases"])


# ---- what they do ----------------------------------------------------------------------------------


def test_strength_zero_gives_the_very_same_picture_as_no_node(server):
    graph = Graph()
    text, negative = graph.text(), graph.text("blurry", "blurry")
    graph.picture(text, "plain")
    graph.picture(graph.emotional(text, strength=0.0), "one node")
    emotion = graph.add("EmotiCrafterVAEncoder", network=graph.network(), valence=3.0, arousal=-3.0)
    injected = graph.add("EmotiCrafterInjection", conditioning=text, emotion=emotion, strength=0.0)
    graph.picture(injected, "two nodes")
    graph.picture(text, "negative", negative=graph.emotional(negative, strength=0.0))
    shown = pictures(server.queue(graph))
    assert len(shown) == 4
    assert {name for name, files in shown.items() if files != shown["plain"]} == set()


def test_each_value_moves_the_picture_and_the_same_values_give_the_same_bytes(server):
    def shown_for(**values):
        graph = Graph()
        graph.picture(graph.emotional(graph.text(), "emotional", **values), "shown")
        return pictures(server.queue(graph))["shown"][0]

    values = [
        {"valence": 0.0, "arousal": 0.0},
        {"valence": 0.05, "arousal": 0.0},
        {"valence": -3.0, "arousal": 0.0},
        {"valence": 0.0, "arousal": 3.0},
        {"valence": 0.0, "arousal": 0.0, "strength": 1.5},
    ]
    first = [shown_for(**one) for one in values]
    assert len(set(first)) == len(values)
    server.free()  # nothing of the first round is left in the cache
    assert [shown_for(**one) for one in values] == first


def test_the_three_node_form_equals_the_one_node_form(server):
    graph = Graph()
    text = graph.text()
    values = {"valence": -1.35, "arousal": 2.4}
    graph.report(graph.emotional(text, strength=1.25, **values), "one")
    emotion = graph.add("EmotiCrafterVAEncoder", network=graph.network(), **values)
    injected = graph.add("EmotiCrafterInjection", conditioning=text, emotion=emotion, strength=1.25)
    graph.report(injected, "three")
    graph.report(text, "plain")
    result = server.queue(graph)
    assert report(result, "one") == report(result, "three") != report(result, "plain")


def test_valence_arousal_passes_each_value_on(server):
    graph = Graph()
    text = graph.text()
    graph.report(graph.emotional(text, valence=-1.35, arousal=2.4), "own values")
    point, _ = graph.add("EmotiCrafterValenceArousal", "point", valence=-1.35, arousal=2.4)
    graph.report(graph.emotional(text, valence=[point, 0], arousal=[point, 1]), "linked")
    result = server.queue(graph)
    assert report(result, "linked") == report(result, "own values")


def test_an_emotion_serves_many_prompts(server):
    graph = Graph()
    emotion = graph.add("EmotiCrafterVAEncoder", "encoder", network=graph.network(), valence=2.0, arousal=1.5)
    for text in ("a dog", "a cat"):
        plain = graph.text(text)
        graph.report(graph.emotional(plain), f"{text}, alone")
        injected = graph.add("EmotiCrafterInjection", conditioning=plain, emotion=emotion, strength=1.0)
        graph.report(injected, f"{text}, shared")
    result = server.queue(graph)
    for text in ("a dog", "a cat"):
        assert report(result, f"{text}, alone") == report(result, f"{text}, shared")


def test_the_negative_prompt_works_the_same_way(server):
    graph = Graph()
    text, negative = graph.text(), graph.text("blurry", "blurry")
    sad = {"valence": -3.0, "arousal": 1.0}
    graph.picture(text, "plain")
    graph.picture(text, "negative", negative=graph.emotional(negative, **sad))
    graph.picture(graph.emotional(text), "both", negative=graph.emotional(negative, **sad))
    shown = pictures(server.queue(graph))
    assert len({files[0] for files in shown.values()}) == 3


# ---- what runs again -------------------------------------------------------------------------------


def shown(valence: float = 1.0, text: str = "a quiet house by the sea") -> Graph:
    graph = Graph()
    graph.picture(graph.emotional(graph.text(text, "text"), "emotional", valence=valence), "shown")
    return graph


def test_a_second_identical_queue_is_served_from_the_cache(server):
    graph = shown()
    first = server.queue(graph)
    second = server.queue(graph)
    assert second.executed == []
    assert set(second.cached) == set(graph)
    assert second.images == first.images


def test_moving_a_value_runs_our_node_and_what_follows_it_alone(server):
    server.queue(shown(valence=1.0))
    moved = server.queue(shown(valence=1.05))
    assert moved.executed == ["emotional", "shown sampler", "shown decode", "shown"]
    assert "checkpoint" in moved.cached


def test_another_prompt_does_not_load_the_network_again(server):
    graph = shown()
    server.queue(graph)
    loader = next(name for name in graph if name.startswith("network"))
    result = server.queue(shown(text="a storm"))
    assert loader in result.cached
    assert "text" in result.executed


def test_an_interrupted_prompt_leaves_everything_usable(server):
    graph = shown()
    expected = server.queue(graph).images
    long = Graph()
    long.picture(long.emotional(long.text("a storm")), "long", steps=10000)

    def interrupt(kind, data):
        if kind == "progress" and data["value"] >= 2:  # newer ComfyUIs leave messages out
            server.post("/interrupt", {})

    with pytest.raises(Exception, match="interrupted"):
        server.queue(long, on_message=interrupt)
    assert server.queue(graph).images == expected
