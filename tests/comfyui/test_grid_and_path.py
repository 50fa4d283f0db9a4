"""Emotion Grid and Emotion Path in a real server: batches, lists, and what does not fit together."""

import io

import numpy as np
import pytest
from PIL import Image

from scripts.server import PromptError
from tests.comfyui.graphs import SIZE, Graph, pictures, report

EMOTION, VALENCES, AROUSALS, POINTS, COUNT, LATENTS = range(6)
ROW = {"columns": 3, "rows": 1, "valence_min": -3.0, "valence_max": 3.0, "arousal_min": 2.0, "arousal_max": 2.0}
ROUNDING = 3  # of 255: a batch is computed in another order than its pictures one by one


def grid(graph: Graph, **values) -> str:
    """Emotion Grid with a network, unless told otherwise; gives its node id."""
    inputs = ROW | {"network": graph.network()} | values
    given = {name: value for name, value in inputs.items() if value is not None}
    return graph.add("EmotiCrafterGrid", "grid", **given)[0]


def path(graph: Graph, keyframes: str, **values) -> str:
    inputs = {"frames": 4, "easing": "linear", "closed": False} | values
    return graph.add("EmotiCrafterPath", "path", keyframes=keyframes, **inputs)[0]


def probe(graph: Graph, node: str, slot: int, name: str) -> None:
    graph.add("ProbeValue", name, value=[node, slot])


def latent(graph: Graph, batch: int | list = 1) -> list:
    return graph.add("EmptyLatentImage", width=SIZE, height=SIZE, batch_size=batch)


def injected(graph: Graph, node: str) -> list:
    return graph.add(
        "EmotiCrafterInjection", "injection", conditioning=graph.text(), emotion=[node, EMOTION], strength=1.0
    )


def shown(graph: Graph, positive: list, latents: list, name: str) -> None:
    model, _, vae = graph.checkpoint()
    settings = {"seed": 7, "steps": 2, "cfg": 5.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0}
    samples = graph.add(
        "KSampler",
        model=model,
        positive=positive,
        negative=graph.text("blurry", "blurry"),
        latent_image=latents,
        **settings,
    )
    image = graph.add("VAEDecode", samples=samples, vae=vae)
    graph.add("SaveImage", name, images=image, filename_prefix="grid")


def pixels(files: list[bytes]) -> np.ndarray:
    return np.stack([np.asarray(Image.open(io.BytesIO(file)), dtype=int) for file in files])


# ---- batches and lists -----------------------------------------------------------------------------


def test_each_picture_of_a_batch_is_the_one_of_its_point_alone(server):
    graph = Graph()
    one = latent(graph)
    node = grid(graph, latent=one)
    shown(graph, injected(graph, node), [node, LATENTS], "batch")
    values = {"valence": [node, VALENCES], "arousal": [node, AROUSALS]}
    shown(graph, graph.emotional(graph.text(), **values), one, "list")
    for index, valence in enumerate((-3.0, 0.0, 3.0)):
        shown(graph, graph.emotional(graph.text(), valence=valence, arousal=2.0), one, f"alone {index}")
    files = pictures(server.queue(graph))
    batch = pixels(files["batch"])
    alone = pixels([files[f"alone {index}"][0] for index in range(3)])
    assert [*files["list"]] == [files[f"alone {index}"][0] for index in range(3)]
    assert np.abs(batch - alone).max() <= ROUNDING
    for first, second in ((0, 1), (1, 2), (0, 2)):
        assert np.abs(batch[first] - batch[second]).max() > 4 * ROUNDING


def test_count_makes_the_batch_that_fits(server):
    graph = Graph()
    node = grid(graph)
    shown(graph, injected(graph, node), latent(graph, [node, COUNT]), "shown")
    assert len(set(pictures(server.queue(graph))["shown"])) == 3


def test_of_a_batch_that_does_not_fit_comfyui_drops_or_repeats(server):
    """What the help page tells: the reason for the latent input."""
    graph = Graph()
    emotion = injected(graph, grid(graph))
    for batch in (2, 3, 4):
        shown(graph, emotion, latent(graph, batch), f"{batch}")
    first = graph.emotional(graph.text(), valence=-3.0, arousal=2.0)
    shown(graph, first, latent(graph, 4), "all first")
    files = {name: pixels(each) for name, each in pictures(server.queue(graph)).items()}
    assert np.abs(files["2"] - files["3"][:2]).max() <= ROUNDING
    assert np.abs(files["4"][:3] - files["3"]).max() <= ROUNDING
    assert np.abs(files["4"][3] - files["all first"][3]).max() <= ROUNDING


def test_a_five_by_five_grid_runs_the_network_once_as_a_batch(server):
    graph = Graph()
    watched = graph.add("ProbeRuns", network=graph.network())
    node = grid(graph, columns=5, rows=5, arousal_min=-3.0, arousal_max=3.0, network=watched)
    positive = injected(graph, node)
    graph.report(positive, "conditioning")
    graph.add("ProbeRunsReport", "runs", after=positive)
    probe(graph, node, COUNT, "count")
    result = server.queue(graph)
    assert report(result, "runs") == [{"encoded": [25], "injected": [25]}]
    assert report(result, "conditioning")[0]["shape"] == [25, 77, 2048]
    assert report(result, "count") == [25]


def test_lists_and_points_hold_the_same_in_the_same_order(server):
    graph = Graph()
    node = grid(graph, columns=2, rows=2, arousal_min=-1.0, arousal_max=1.0, network=None)
    for slot, name in ((VALENCES, "valences"), (AROUSALS, "arousals"), (POINTS, "points")):
        probe(graph, node, slot, name)
    result = server.queue(graph)
    assert report(result, "valences") == [-3.0, 3.0, -3.0, 3.0]
    assert report(result, "arousals") == [1.0, 1.0, -1.0, -1.0]
    assert report(result, "points") == [[[-3.0, 3.0, -3.0, 3.0], [1.0, 1.0, -1.0, -1.0], 2]]


def test_a_path_goes_from_keyframe_to_keyframe_and_back(server):
    def frames(**values):
        graph = Graph()
        probe(graph, path(graph, "0% -2 0\n50% 2 0", **values), VALENCES, "valences")
        return report(server.queue(graph), "valences")

    assert frames(closed=True) == [-2.0, 0.0, 2.0, 0.0]
    assert frames(frames=5) == [-2.0, 0.0, 2.0, 2.0, 2.0]


def test_keyframes_may_name_own_emotions_and_an_edit_counts(server):
    own = server.models / "emoticrafter" / "emotions.json"
    graph = Graph()
    probe(graph, path(graph, "0 homesick\n2 calm (Russell)"), VALENCES, "valences")
    try:
        own.write_text('{"homesick": [-1.31, 0]}')
        assert report(server.queue(graph), "valences") == [-1.31, 0.19, 1.69, 1.69]
        assert server.queue(graph).executed == []
        own.write_text('{"homesick": [-0.31, 0.5]}')
        assert report(server.queue(graph), "valences") == [-0.31, 0.69, 1.69, 1.69]
        own.write_text('{"homesick": [-31, 0.5]}')
        with pytest.raises(PromptError) as caught:
            server.queue(graph)
        assert 'line 1: there is no emotion "homesick"' in str(caught.value)
        assert '! emotions.json, line 1: "homesick" is [-31, 0.5]: expected numbers from -3 to 3' in str(caught.value)
    finally:
        own.unlink()


# ---- what does not fit together --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("network", "Emotion Grid gives no emotion, because nothing is connected to its network input."),
        ("latent", "Emotion Grid gives no latents, because nothing is connected to its latent input."),
    ],
)
def test_what_is_not_connected_stops_only_what_hangs_on_it(server, missing, message):
    graph = Graph()
    inputs = {"network": graph.network(), "latent": latent(graph)} | {missing: None}
    node = grid(graph, **inputs)
    shown(graph, injected(graph, node), [node, LATENTS], "blocked")
    graph.add("ProbeValue", "lists", value=[node, VALENCES])
    seen = []
    with pytest.raises(PromptError) as caught:
        server.queue(graph, on_message=lambda kind, data: seen.append((kind, data)))
    assert message in str(caught.value)
    ran = {data["node"]: data["output"] for kind, data in seen if kind == "executed"}
    assert ran["lists"] == {"report": [-3.0, 0.0, 3.0]}
    assert "blocked" not in ran


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"valence_min": 1.0, "valence_max": -1.0}, "valence_min is 1 and valence_max is -1: expected the lower"),
        ({"arousal_max": float("nan")}, "arousal_max is nan: expected a number from -3 to 3."),
    ],
)
def test_a_range_that_falls_is_refused_by_the_grid(server, values, message):
    graph = Graph()
    probe(graph, grid(graph, network=None, **values), COUNT, "count")
    with pytest.raises(PromptError) as caught:
        server.queue(graph)
    assert caught.value.node_id == "grid"
    assert message in str(caught.value)


@pytest.mark.parametrize("batch", [2, 5])
def test_a_batch_of_latents_that_does_not_fit_is_refused_by_the_grid(server, batch):
    graph = Graph()
    probe(graph, grid(graph, network=None, latent=latent(graph, batch)), COUNT, "count")
    with pytest.raises(PromptError, match=f"The latent holds {batch} images, but there are 3 points") as caught:
        server.queue(graph)
    assert caught.value.node_id == "grid"


def test_keyframes_that_cannot_be_used_are_told_by_line_on_the_node(server):
    graph = Graph()
    probe(graph, path(graph, "0 calm\n3 exited\n2 sad\n1 calm"), COUNT, "count")
    with pytest.raises(PromptError) as caught:
        server.queue(graph)
    assert caught.value.node_id == "path"
    assert 'line 2: there is no emotion "exited": expected a named one; similar: excited' in str(caught.value)
    assert "line 4: frame 1 does not come after frame 2 of line 3" in str(caught.value)


def test_half_an_emoji_in_an_error_does_not_end_the_queue(server):
    for keyframes, told in (("0 \ud83d\n1 sad", r'no emotion "\ud83d"'), ("0 exited\n1 sad", '"exited"')):
        graph = Graph()
        probe(graph, path(graph, keyframes), COUNT, "count")
        with pytest.raises(PromptError) as caught:
            server.queue(graph, seconds=60)
        assert told in str(caught.value)
