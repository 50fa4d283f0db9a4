"""What docs/guide.md says of graphs and no other test holds, in a real server."""

import io
import re

import numpy as np
from PIL import Image

from scripts import help_graphs
from scripts.comfyui import ROOT
from tests.comfyui.graphs import SIZE, Graph, pictures

SAMPLING = {
    "seed": 7,
    "steps": 4,
    "cfg": 5.0,
    "sampler_name": "euler",
    "scheduler": "normal",
    "denoise": 1.0,
}
GUIDE = (ROOT / "docs" / "guide.md").read_text("utf-8")
FROM_COMFYUI = {"Shift"}
"""What is bold in the guide and no input or output."""


def sampled(graph: Graph, positive: list, latent: list, **changed) -> list:
    model, _, vae = graph.checkpoint()
    inputs = {"model": model, "positive": positive, "negative": graph.text("", "nothing")}
    samples = graph.add("KSampler", **inputs, latent_image=latent, **SAMPLING | changed)
    return graph.add("VAEDecode", samples=samples, vae=vae)


def save(graph: Graph, images: list, name: str) -> None:
    graph.add("SaveImage", name, images=images, filename_prefix="guide")


def pixels(file: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(file)).convert("RGB"), dtype=float)


def difference(one: np.ndarray, other: np.ndarray) -> float:
    """Mean difference of the levels, 0 to 255."""
    return float(np.abs(one - other).mean())


def test_every_input_and_output_it_names_is_there(server):
    """Bold words belong to a node that the same section names; nodes are named as the interface names them."""
    by_name: dict[str, set[str]] = {}
    for info in server.object_info().values():
        inputs = {name for group in info["input"].values() for name in group}
        name = re.sub(r"\W|prompt", "", (info["display_name"] or info["name"]).lower())
        by_name.setdefault(name, set()).update(inputs, info["output_name"])
    for section in re.split(r"^## ", GUIDE, flags=re.MULTILINE)[1:]:
        text = " ".join(section.split())
        nodes = set(re.findall(r"(?<!\*)\*([A-Z][^*]+)\*(?!\*)", text)) | {"Emotional Conditioning"}
        keys = {re.sub(r"\W|prompt", "", node.lower()) for node in nodes}
        assert keys <= by_name.keys(), section.splitlines()[0]
        known = set.union(*(by_name[key] for key in keys)) | FROM_COMFYUI
        named = set(re.findall(r"\*\*([^*]+)\*\*", text))
        assert named <= known, section.splitlines()[0]


def test_a_later_start_stays_nearer_to_the_plain_picture(server):
    graph = Graph()
    text = graph.text()
    graph.picture(text, "plain", steps=4)
    graph.picture(graph.emotional(text, valence=0.0, arousal=0.0), "neutral", steps=4)
    for start in (0.0, 0.2, 0.4):
        graph.picture(graph.emotional(text, start_percent=start), f"start {start}", steps=4)
    shown = {name: pixels(files[0]) for name, files in pictures(server.queue(graph)).items()}
    away = {name: difference(picture, shown["plain"]) for name, picture in shown.items()}
    assert away["neutral"] > 0
    assert away["start 0.0"] > away["start 0.2"] > away["start 0.4"] > 0


def test_an_earlier_end_samples_the_emotion_first_and_stays_nearer_to_the_plain_picture(server):
    graph = Graph()
    text = graph.text()
    emotional = graph.emotional(text)
    graph.picture(text, "plain", steps=4)
    for end in (1.0, 0.6, 0.3):
        graph.picture(graph.emotional(text, end_percent=end), f"end {end}", steps=4)
    first = graph.add("ConditioningSetTimestepRange", conditioning=emotional, start=0.0, end=0.599)
    then = graph.add("ConditioningSetTimestepRange", conditioning=text, start=0.599, end=1.0)
    by_hand = graph.add("ConditioningCombine", conditioning_1=first, conditioning_2=then)
    graph.picture(by_hand, "by hand", steps=4)
    files = {name: file for name, [file] in pictures(server.queue(graph)).items()}
    assert files["end 0.6"] == files["by hand"]
    away = {name: difference(pixels(file), pixels(files["plain"])) for name, file in files.items()}
    assert away["end 1.0"] > away["end 0.6"] > away["end 0.3"] > 0


def test_the_miniature_gives_all_four_and_draws_without_a_download(server):
    """Its weights are the project's own files; the pictures have the size of the templates' latents."""
    assert server.object_info()["EmotiCrafterMiniature"]["output"] == [
        "MODEL",
        "CLIP",
        "VAE",
        "EMOTION_NETWORK",
    ]
    assert {path.stem for path in (ROOT / "miniature").glob("*.safetensors")} >= {
        "unet",
        "text_encoders",
        "vae",
        "emotion_network",
    }
    graph = help_graphs.Graph()
    images = graph.drawn(graph.emotional(help_graphs.HOUSE, **help_graphs.JOY), steps=1)
    graph.add("SaveImage", "house", images=images, filename_prefix="guide")
    [file] = pictures(server.queue(graph))["house"]
    assert pixels(file).shape == (128, 128, 3)


def test_one_picture_is_seen_in_many_moods(server):
    """By the miniature: of three moods each is another picture, and each is nearer to the one that it began from."""
    graph = help_graphs.Graph()
    source = graph.drawn(graph.text(help_graphs.HOUSE), steps=4)
    latent = graph.add("VAEEncode", pixels=source, vae=graph.part(2))
    values = {"columns": 3, "rows": 1, "arousal_min": 0.0, "arousal_max": 0.0, "network": graph.part(3)}
    grid = graph.grid(**values, latent=latent)
    emotion = {"conditioning": graph.text(help_graphs.HOUSE), "emotion": [grid, 0], "strength": 1.0}
    positive = graph.add("EmotiCrafterInjection", **emotion)
    save(graph, source, "source")
    for denoise in (0.5, 1.0):
        images = graph.drawn(positive, latent_image=[grid, 5], steps=4, denoise=denoise, seed=8)
        save(graph, images, f"denoise {denoise}")
    files = pictures(server.queue(graph))
    [began] = map(pixels, files["source"])
    assert len(set(files["denoise 0.5"])) == 3
    for kept, anew in zip(files["denoise 0.5"], files["denoise 1.0"], strict=True):
        assert difference(pixels(kept), began) < difference(pixels(anew), began)


def animated(graph: Graph, **changed) -> list:
    """The graph of the guide's loop; gives its decoded pictures."""
    [keyframes] = re.findall(r"```\n(0% .*?)\n```", GUIDE, re.DOTALL)
    latent = graph.add("EmptyLatentImage", width=SIZE, height=SIZE, batch_size=1)
    values = {"keyframes": keyframes, "frames": 16, "easing": "smooth", "closed": True}
    path = graph.add("EmotiCrafterPath", "path", network=graph.network(), latent=latent, **values)[0]
    emotion = {"conditioning": graph.text(), "emotion": [path, 0], "strength": 1.0}
    return sampled(graph, graph.add("EmotiCrafterInjection", **emotion), [path, 5], steps=1, **changed)


def test_the_loop_becomes_an_animation(server):
    graph = Graph()
    animation = {"fps": 6.0, "lossless": True, "quality": 80, "method": "default"}
    graph.add("SaveAnimatedWEBP", "loop", images=animated(graph), filename_prefix="guide", **animation)
    [file] = pictures(server.queue(graph))["loop"]
    loop = Image.open(io.BytesIO(file))
    assert (loop.n_frames, loop.size) == (16, (SIZE, SIZE))


def test_ancestral_and_sde_samplers_give_each_picture_noise_of_its_own(server):
    """The reason why it flickers: frames of one emotion differ."""
    graph = Graph()
    latent = graph.add("EmptyLatentImage", width=SIZE, height=SIZE, batch_size=1)
    values = {"keyframes": "0 calm\n1 calm", "frames": 2, "easing": "linear", "closed": False}
    path = graph.add("EmotiCrafterPath", "path", network=graph.network(), latent=latent, **values)[0]
    emotion = {"conditioning": graph.text(), "emotion": [path, 0], "strength": 1.0}
    positive = graph.add("EmotiCrafterInjection", **emotion)
    for sampler in ("euler", "euler_ancestral", "dpmpp_sde"):
        save(graph, sampled(graph, positive, [path, 5], sampler_name=sampler), sampler)
    files = pictures(server.queue(graph))
    apart = {name: difference(*map(pixels, each)) for name, each in files.items()}
    assert apart["euler"] < 0.5 < 2 < min(apart["euler_ancestral"], apart["dpmpp_sde"])
