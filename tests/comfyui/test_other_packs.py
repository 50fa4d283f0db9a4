"""Beside other packs: scheduled CLIPs, keys and values in turn, prompts inside hooks, nodes that misread entries."""

import pytest

from scripts.stand_ins import LORA_NAME
from tests.comfyui.graphs import Graph, pictures, report

# ---- a CLIP under scheduled hooks --------------------------------------------------------------------


def scheduled(graph: Graph) -> list:
    """A CLIP with a LoRA whose strength goes from 0 to 1 in the middle of the sampling."""
    hooks = graph.add("CreateHookLora", lora_name=LORA_NAME, strength_model=0.0, strength_clip=3.0)
    first = graph.add("CreateHookKeyframe", strength_mult=0.0, start_percent=0.0)
    keyframes = graph.add("CreateHookKeyframe", strength_mult=1.0, start_percent=0.5, prev_hook_kf=first)
    hooks = graph.add("SetHookKeyframes", hooks=hooks, hook_kf=keyframes)
    return graph.add(
        "SetClipHooks", "scheduled", clip=graph.clip(), apply_to_conds=True, schedule_clip=True, hooks=hooks
    )


def test_protected_words_do_not_depend_on_what_a_scheduled_clip_sampled_before(server):
    def drawn(words: str):
        graph = Graph()
        clip = scheduled(graph)
        text = graph.add("CLIPTextEncode", clip=clip, text="a quiet house by the sea")
        emotional = graph.emotional(text, "emotional", protected_words=words, clip=clip)
        graph.report(emotional, "report")
        graph.picture(emotional, "shown", steps=4)
        result = server.queue(graph)
        return report(result, "report"), pictures(result)["shown"]

    server.free()
    first = drawn("people")
    drawn("sea")  # with the CLIP that sampling has left at its last keyframe
    assert drawn("people") == first


# ---- keys and values in turn, as NegPip makes them ---------------------------------------------------


def test_interleaved_keys_take_the_emotion_and_values_the_same_with_their_sign(server):
    graph = Graph()
    text = graph.text()
    graph.report(graph.emotional(text), "expected")
    turned = graph.add("OddConditioning", conditioning=text, kind="interleaved", number=3)
    emotional = graph.emotional(turned, "emotional")
    graph.report(graph.add("OddConditioning", conditioning=emotional, kind="keys", number=0), "keys")
    again = graph.add("OddConditioning", conditioning=graph.emotional(text), kind="interleaved", number=3)
    graph.report(again, "expected whole")
    graph.report(emotional, "whole")
    result = server.queue(graph)
    assert report(result, "whole")[0]["shape"] == [1, 154, 2048]
    assert report(result, "keys") == report(result, "expected")
    assert report(result, "whole") == report(result, "expected whole")


def test_words_are_protected_through_a_clip_that_interleaves(server):
    graph = Graph()
    text = graph.text()
    graph.report(graph.emotional(text, "plain", protected_words="people", clip=graph.clip()), "expected")
    clip = graph.add("ProbeInterleavingCLIP", clip=graph.clip())
    turned = graph.add("CLIPTextEncode", clip=clip, text="a quiet house by the sea")
    emotional = graph.emotional(turned, "emotional", protected_words="people", clip=clip)
    graph.report(graph.add("OddConditioning", conditioning=emotional, kind="keys", number=0), "keys")
    result = server.queue(graph)
    [expected], [found] = report(result, "expected"), report(result, "keys")
    assert found["sum"] == pytest.approx(expected["sum"], abs=0.05)


# ---- what is told ------------------------------------------------------------------------------------


def told(server, graph: Graph, name: str, node: list) -> str:
    """What running a graph, with a report on `node`, adds to the log."""
    graph.report(node, name)
    before = len(server.log())
    server.queue(graph)
    return server.log()[before:]


def test_prompts_inside_a_hook_are_named_once_as_what_stays_without_the_emotion(server):
    graph = Graph()
    coupled = graph.add("ProbeCouple", conditioning=graph.text(), part=graph.text("a storm"))
    assert "CoupleHook, that holds prompts of its own" not in told(
        server, graph, "off", graph.emotional(coupled, strength=0.0)
    )
    assert "Entry 0 of the conditioning has a hook, CoupleHook, that holds prompts of its own" in told(
        server, graph, "on", graph.emotional(coupled)
    )
    assert "CoupleHook" not in told(server, graph, "once more", graph.emotional(coupled, valence=-1.0))


def test_an_emotion_that_reaches_nothing_is_told(server):
    graph = Graph()
    empty = graph.add("OddConditioning", conditioning=graph.text(), kind="no features", number=0)
    told(server, graph, "shown", graph.emotional(empty))
    assert "No entry of the conditioning has text" in server.log()  # told once a server, perhaps to an earlier test


def test_a_node_after_a_start_that_misreads_its_entries_is_named(server):
    graph = Graph()
    text = graph.text()
    ranged = graph.add("ConditioningSetTimestepRange", conditioning=text, start=0.0, end=0.9)
    log = told(server, graph, "right order", graph.emotional(ranged, start_percent=0.2))
    assert "follow each other" not in log
    emotional = graph.emotional(text, start_percent=0.2)
    area = graph.add(
        "ConditioningSetMask",
        conditioning=emotional,
        mask=graph.add("SolidMask", value=1.0, width=64, height=64),
        strength=1.0,
        set_cond_area="default",
    )
    late = graph.add("ConditioningSetTimestepRange", conditioning=area, start=0.0, end=0.9)
    log = told(server, graph, "wrong order", late)
    assert "Put ConditioningSetTimestepRange before Emotional Conditioning" in log
    fine = graph.emotional(text, start_percent=0.3)
    joined = graph.add("ConditioningConcat", conditioning_to=fine, conditioning_from=text)
    assert "ConditioningConcat" not in told(server, graph, "joined to", joined)
    first = graph.emotional(text, start_percent=0.4)
    joined = graph.add("ConditioningConcat", conditioning_to=text, conditioning_from=first)
    assert "ConditioningConcat after it reads the first" in told(server, graph, "joined from", joined)
