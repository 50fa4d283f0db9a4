"""Along the denoising steps: what start, end and the sampler do to the picture, in a real server."""

import io

import numpy as np
from PIL import Image

from emoticrafter.composition import start_that_keeps
from tests.comfyui.graphs import SIZE, Graph, pictures, report

SAMPLING = {"seed": 7, "steps": 4, "cfg": 5.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0}


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


def test_composition_begins_the_emotion_where_its_start_would_up_to_the_plain_picture(server):
    graph = Graph()
    text, start = graph.text(), start_that_keeps(0.5, "SDXL")
    alike = {
        "0": {"composition": 0.0},
        "nothing set": {},
        "0.5": {"composition": 0.5},
        "its start": {"start_percent": start},
        "0.5 and an earlier start": {"composition": 0.5, "start_percent": start / 2},
        "0.5 and a later start": {"composition": 0.5, "start_percent": start + 0.2},
        "the later start": {"start_percent": start + 0.2},
        "at strength 0": {"composition": 1.0, "end_percent": 0.1, "strength": 0.0},
    }
    for name, values in alike.items():
        graph.report(graph.emotional(text, **values), name)
    graph.report(text, "plain")
    graph.picture(text, "plain picture", steps=4)
    graph.picture(graph.emotional(text, composition=1.0), "picture at 1", steps=4)
    result = server.queue(graph)
    told, shown = {name: report(result, name) for name in (*alike, "plain")}, pictures(result)
    assert told["0"] == told["nothing set"] != told["0.5"] == told["its start"] == told["0.5 and an earlier start"]
    assert told["0.5 and a later start"] == told["the later start"] != told["its start"]
    assert told["at strength 0"] == told["plain"]
    assert shown["picture at 1"] == shown["plain picture"]


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
