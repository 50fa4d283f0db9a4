"""What the nodes make: prompts for ComfyUI's server, drawn by the miniature."""

from __future__ import annotations

from collections.abc import Callable

SIZE = 128
SAMPLING = {"seed": 7, "steps": 20, "cfg": 3.0, "sampler_name": "euler", "scheduler": "simple", "denoise": 1.0}
HOUSE, BOAT, TREE = (
    "a house in a meadow at noon",
    "a sailing boat on the water at the beach at sunset",
    "a tree at the beach at noon",
)
JOY, GLOOM = {"valence": 2.5, "arousal": 1.5}, {"valence": -2.5, "arousal": -1.0}
KEYFRAMES = "0% calm\n33% happy\n66% excited"


class Graph(dict):
    """A prompt of the miniature, node by node; every method gives the link to what it added."""

    def add(self, class_type: str, name: str | None = None, slot: int = 0, **inputs) -> list:
        name = name or f"{len(self) + 1}"
        self[name] = {"class_type": class_type, "inputs": inputs}
        return [name, slot]

    def part(self, slot: int) -> list:
        """The miniature's MODEL (0), CLIP (1), VAE (2) or network (3)."""
        return self.add("EmotiCrafterMiniature", "miniature", slot)

    def text(self, text: str) -> list:
        return self.add("CLIPTextEncode", f"text {text}", clip=self.part(1), text=text)

    def emotional(self, text: str, **values) -> list:
        inputs = {"network": self.part(3), "valence": 0.0, "arousal": 0.0, "strength": 1.0}
        return self.add("EmotiCrafterConditioning", conditioning=self.text(text), **inputs | values)

    def latent(self) -> list:
        return self.add("EmptyLatentImage", "latent", width=SIZE, height=SIZE, batch_size=1)

    def drawn(self, positive: list, **changed) -> list:
        """A sampled and decoded picture, or as many as lists and batches bring."""
        inputs = {"model": self.part(0), "positive": positive, "negative": self.text("")}
        inputs |= {"latent_image": self.latent(), **SAMPLING, **changed}
        return self.add("VAEDecode", samples=self.add("KSampler", **inputs), vae=self.part(2))

    def grid(self, **values) -> str:
        inputs = {"columns": 5, "rows": 5, "valence_min": -3.0, "valence_max": 3.0}
        inputs |= {"arousal_min": -3.0, "arousal_max": 3.0}
        return self.add("EmotiCrafterGrid", **inputs | values)[0]

    def path(self, keyframes: str, frames: int, easing: str = "linear", closed: bool = False, **inputs) -> str:
        values = {"keyframes": keyframes, "frames": frames, "easing": easing, "closed": closed}
        return self.add("EmotiCrafterPath", **values | inputs)[0]

    def at_points(self, text: str, points: str, **changed) -> list:
        """A list of pictures, one for each point of a grid or path."""
        return self.drawn(self.emotional(text, valence=[points, 1], arousal=[points, 2]), **changed)

    def save(self, name: str, images: list) -> None:
        self.add("SaveImage", name, images=images, filename_prefix="help")

    def laid_out(self, name: str, images: list, points: str, title: str = "", columns: int = 0) -> None:
        values = {"title": title, "cell_size": 0, "columns": columns}
        figure = self.add("EmotiCrafterGridImage", images=images, points=[points, 3], **values)
        self.save(name, figure)

    def rows(self, name: str, prompts: dict[str, list]) -> None:
        """Pictures of several conditionings, to be joined with a label each."""
        for number, positive in enumerate(prompts.values()):
            self.save(f"{name} {number}", self.drawn(positive))


def chart(graph: Graph) -> None:
    points = graph.grid(columns=3, rows=3)
    graph.laid_out("chart", graph.at_points(TREE, points), points, TREE)


def grid(graph: Graph) -> None:
    """The 5 x 5 grid, and what is read from it."""
    points = graph.grid()
    images = graph.at_points(HOUSE, points)
    graph.laid_out("grid", images, points, HOUSE)
    reader = "miniature (only for its own pictures)"
    readings, _ = graph.add("EmotiCrafterReadEmotion", images=images, reader=reader)
    graph.save("map", graph.add("EmotiCrafterMap", size=512, asked=[points, 3], read=[readings, 2]))


def path(graph: Graph) -> None:
    """The loop of the help page, as a strip and as an animation."""
    keyframes = KEYFRAMES
    points = graph.path(keyframes, 16, "smooth", True, network=graph.part(3), latent=graph.latent())
    text = graph.text(BOAT)
    emotion = {"conditioning": text, "emotion": [points, 0], "strength": 1.0}
    images = graph.drawn(graph.add("EmotiCrafterInjection", **emotion), latent_image=[points, 5])
    graph.laid_out("path", images, points, columns=8)
    animation = {"fps": 6.0, "lossless": False, "quality": 80, "method": "default"}
    graph.add("SaveAnimatedWEBP", "loop", images=images, filename_prefix="help", **animation)


def route(graph: Graph) -> None:
    """The same loop as a path on the plane; needs no model."""
    points = graph.path(KEYFRAMES, 16, "smooth", True)
    graph.save("route", graph.add("EmotiCrafterMap", size=512, asked=[points, 3]))


def blend(graph: Graph) -> None:
    points = graph.path("0% calm\n100% excited", 5)
    graph.laid_out("blend", graph.at_points(HOUSE, points), points)


def another_mood(graph: Graph) -> None:
    """One picture in five moods, starting from itself."""
    source = graph.drawn(graph.text(HOUSE))
    latent = graph.add("VAEEncode", pixels=source, vae=graph.part(2))
    points = graph.grid(rows=1, arousal_min=0.0, arousal_max=0.0, latent=latent)
    changed = {"latent_image": latent, "denoise": 0.6}
    graph.laid_out("another_mood", graph.at_points(HOUSE, points, **changed), points)


def strengths(graph: Graph) -> dict[str, list]:
    distress = {"valence": -2.5, "arousal": 1.5}
    return {
        f"strength {number:g}": graph.emotional(BOAT, strength=number, **distress) for number in (0, 0.5, 1, 1.5, 2)
    }


def starts(graph: Graph) -> dict[str, list]:
    prompts = {"plain": graph.text(TREE)}
    for start in (0.6, 0.4, 0.2, 0.0):
        prompts[f"start {start:g}"] = graph.emotional(TREE, start_percent=start, **JOY)
    return prompts


def regions(graph: Graph) -> dict[str, list]:
    """Joyful on the left, gloomy on the right."""
    black = graph.add("SolidMask", value=0.0, width=SIZE, height=SIZE)
    white = graph.add("SolidMask", value=1.0, width=SIZE // 2, height=SIZE)
    positive = graph.text(BOAT)
    for x, mood in ((0, JOY), (SIZE // 2, GLOOM)):
        mask = graph.add("MaskComposite", destination=black, source=white, x=x, y=0, operation="add")
        inputs = {"network": graph.part(3), "strength": 1.0, "feather": 0.1, "mask": mask}
        positive = graph.add("EmotiCrafterRegional", conditioning=positive, **inputs | mood)
    return {
        "plain": graph.text(BOAT),
        "joyful": graph.emotional(BOAT, **JOY),
        "gloomy": graph.emotional(BOAT, **GLOOM),
        "left and right": positive,
    }


def subjects(graph: Graph) -> dict[str, list]:
    prompts = {
        "tree": TREE,
        "dog": "a dog in a meadow at sunset",
        "campfire": "a campfire in the snow at night",
        "lighthouse": "a lighthouse by the water at the beach at dawn",
        "balloon": "a hot air balloon at the beach at noon",
    }
    return {label: graph.text(text) for label, text in prompts.items()}


def measured(graph: Graph) -> None:
    """What Emotion Range shows where the emotion is exaggerated."""
    inputs = {name: value for name, value in SAMPLING.items() if name != "denoise"}
    inputs |= {"model": graph.part(0), "vae": graph.part(2), "network": graph.part(3), "latent_image": graph.latent()}
    inputs |= {"positive": graph.text(HOUSE), "negative": graph.text(""), "strength": 1.5, "pictures": 4, "keep": 0.4}
    graph.save("measured", graph.add("EmotiCrafterRange", **inputs))


FIGURES: dict[str, Callable[[Graph], None]] = {
    one.__name__: one for one in (chart, grid, path, route, blend, another_mood, measured)
}
"""Graphs whose saved pictures are taken as they are, by the names of the nodes that save them."""
ROWS: dict[str, Callable[[Graph], dict[str, list]]] = {
    one.__name__: one for one in (strengths, starts, regions, subjects)
}
"""Prompts by their labels, to be drawn side by side."""
