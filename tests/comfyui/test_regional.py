"""Regional Emotion in a real server: moods stay in their places, and everything else on a prompt still counts."""

import pytest
import torch
from safetensors.torch import load_file

from scripts.server import PromptError
from tests.comfyui.graphs import SIZE, Graph, pictures, report
from tests.comfyui.test_conditioning_keys import area, chained, combined, mask, with_default

JOY = {"valence": 2.5, "arousal": 1.5}
GLOOM = {"valence": -2.0, "arousal": -1.0}
LATENT = SIZE // 8


def box(graph: Graph, x: int, y: int, width: int, height: int) -> list:
    """A mask, white in a box."""
    black = graph.add("SolidMask", value=0.0, width=SIZE, height=SIZE)
    white = graph.add("SolidMask", value=1.0, width=width, height=height)
    return graph.add("MaskComposite", destination=black, source=white, x=x, y=y, operation="add")


def regional(graph: Graph, conditioning: list, mask: list, name: str | None = None, **values) -> list:
    inputs = {"network": graph.network(), "strength": 1.0, "feather": 0.0} | values
    return graph.add("EmotiCrafterRegional", name, conditioning=conditioning, mask=mask, **inputs)


def sampled(graph: Graph, positive: list, name: str, steps: int = 1) -> None:
    """A picture whose latent is saved too."""
    graph.picture(positive, name, steps=steps)
    graph.add("SaveLatent", f"{name} saved", samples=[f"{name} sampler", 0], filename_prefix=f"latents/{name}")


def latents(server, result) -> dict[str, torch.Tensor]:
    """Latents [1, 4, LATENT, LATENT] by the name of their picture."""
    files = {name: out["latents"][0] for name, out in result.outputs.items() if "latents" in out}
    return {
        name.removesuffix(" saved"): load_file(server.output / file["subfolder"] / file["filename"])["latent_tensor"]
        for name, file in files.items()
    }


def two_moods(graph: Graph, text: list) -> list:
    """Joyful on the left, gloomy at the top right, plain at the bottom right."""
    half = SIZE // 2
    joyful = regional(graph, text, box(graph, 0, 0, half, SIZE), **JOY)
    return regional(graph, joyful, box(graph, half, 0, half, half), **GLOOM)


PLACES = {
    "joyful": (slice(0, LATENT), slice(0, LATENT // 2)),
    "gloomy": (slice(0, LATENT // 2), slice(LATENT // 2, LATENT)),
    "plain": (slice(LATENT // 2, LATENT), slice(LATENT // 2, LATENT)),
}


def test_two_moods_in_one_picture_each_in_its_place(server):
    """One step, before the model's own sight across the picture carries a mood from place to place."""
    graph = Graph()
    text = graph.text()
    sampled(graph, text, "plain")
    sampled(graph, graph.emotional(text, **JOY), "joyful")
    sampled(graph, graph.emotional(text, **GLOOM), "gloomy")
    sampled(graph, two_moods(graph, text), "two moods")
    found = latents(server, server.queue(graph))
    for name, (rows, columns) in PLACES.items():
        place = found["two moods"][..., rows, columns]
        torch.testing.assert_close(place, found[name][..., rows, columns], rtol=0, atol=1e-4)
        for other in PLACES.keys() - {name}:
            assert (place - found[other][..., rows, columns]).abs().mean() > 0.01


def test_over_several_steps_the_picture_changes_inside_more_than_outside(server):
    graph = Graph()
    text = graph.text()
    sampled(graph, text, "plain", steps=4)
    sampled(graph, regional(graph, text, box(graph, 0, 0, SIZE // 2, SIZE), **JOY), "regional", steps=4)
    found = latents(server, server.queue(graph))
    change = (found["regional"] - found["plain"]).abs()[0].mean(0)  # [LATENT, LATENT]
    inside, outside = change[:, : LATENT // 2].mean(), change[:, LATENT // 2 :].mean()
    assert outside < 0.75 * inside


@pytest.mark.parametrize("make", [area, mask, chained, combined, with_default], ids=lambda make: make.__name__)
def test_on_top_of_other_conditioning_nodes(server, make):
    graph = Graph()
    plain = make(graph, graph.text())
    left = box(graph, 0, 0, SIZE // 2, SIZE)
    empty = graph.add("SolidMask", value=0.0, width=64, height=64)
    graph.picture(plain, "plain")
    graph.picture(regional(graph, plain, left, feather=0.2, **JOY), "regional")
    graph.picture(regional(graph, plain, left, strength=0.0, **JOY), "no strength")
    graph.picture(regional(graph, plain, empty, **JOY), "empty mask")
    graph.report(plain, "before")
    graph.report(regional(graph, plain, empty, "passing", **JOY), "after")
    result = server.queue(graph)
    shown = pictures(result)
    assert shown["no strength"] == shown["empty mask"] == shown["plain"] != shown["regional"]
    assert report(result, "after") == report(result, "before")
    assert "Regional Emotion: the mask covers nothing" in server.log()


def test_masks_that_do_not_go_with_the_prompts_are_refused_and_the_queue_goes_on(server):
    graph = Graph()
    batch = graph.add("OddConditioning", conditioning=graph.text(), kind="batch", number=2)
    image = graph.add("EmptyImage", width=64, height=64, batch_size=3, color=0xFFFFFF)
    masks = graph.add("ImageToMask", image=image, channel="red")
    graph.report(regional(graph, batch, masks, "regional", **JOY), "report")
    with pytest.raises(PromptError, match="A batch of 3 masks does not fit the batch of 2 prompts") as caught:
        server.queue(graph)
    assert caught.value.node_id == "regional"
    good = Graph()
    good.report(regional(good, good.text(), box(good, 0, 0, 64, 64), **JOY), "report")
    assert len(report(server.queue(good), "report")) == 2
