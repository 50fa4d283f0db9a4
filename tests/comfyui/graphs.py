"""Prompts in the API's format, built node by node."""

from pathlib import Path

from emoticrafter.fit.scenes import draw_pairs
from scripts.stand_ins import NETWORK_NAME

PROMPT = "a quiet house by the sea"
SIZE = 128


class Graph(dict):
    """A prompt; every method adds a node and gives the link to its output: [node id, slot]."""

    def add(self, class_type: str, name: str | None = None, **inputs) -> list:
        name = name or f"{len(self) + 1}.{class_type}"
        self[name] = {"class_type": class_type, "inputs": inputs}
        return [name, 0]

    def checkpoint(self) -> tuple[list, list, list]:
        """(MODEL, CLIP, VAE)."""
        [node, _] = self.add("TinySDXLCheckpoint", "checkpoint")
        return [node, 0], [node, 1], [node, 2]

    def clip(self) -> list:
        return self.checkpoint()[1]

    def text(self, text: str = PROMPT, name: str | None = None) -> list:
        return self.add("CLIPTextEncode", name, clip=self.clip(), text=text)

    def network(self, name: str = NETWORK_NAME, dtype: str = "auto") -> list:
        return self.add("EmotiCrafterLoader", f"network {name} {dtype}", network_name=name, dtype=dtype)

    def emotional(self, conditioning: list, name: str | None = None, **values) -> list:
        """Emotional Conditioning, joyful and lively unless told otherwise."""
        inputs = {"network": self.network(), "valence": 2.0, "arousal": 1.5, "strength": 1.0} | values
        return self.add("EmotiCrafterConditioning", name, conditioning=conditioning, **inputs)

    def emotional_clip(self, clip: list, name: str | None = None, **values) -> list:
        """Emotional CLIP, with the same emotion unless told otherwise."""
        inputs = {"network": self.network(), "valence": 2.0, "arousal": 1.5, "strength": 1.0} | values
        return self.add("EmotiCrafterCLIP", name, clip=clip, **inputs)

    def report(self, conditioning: list, name: str, **after) -> list:
        return self.add("ProbeConditioning", name, conditioning=conditioning, **after)

    def picture(self, positive: list, name: str, negative: list | None = None, batch: int = 1, steps: int = 1) -> list:
        """Samples, decodes and saves under the node id `name`."""
        model, _, vae = self.checkpoint()
        latent = self.add("EmptyLatentImage", f"{name} latent", width=SIZE, height=SIZE, batch_size=batch)
        samples = self.add(
            "KSampler",
            f"{name} sampler",
            model=model,
            positive=positive,
            negative=negative or self.text("blurry", "blurry"),
            latent_image=latent,
            seed=7,
            steps=steps,
            cfg=5.0,
            sampler_name="euler",
            scheduler="normal",
            denoise=1.0,
        )
        image = self.add("VAEDecode", f"{name} decode", samples=samples, vae=vae)
        return self.add("SaveImage", name, images=image, filename_prefix="test")


def pictures(result) -> dict[str, list[bytes]]:
    """The picture files of a result by the node that saved them."""
    images = iter(result.images)
    shown = {name: result.outputs[name].get("images", []) for name in sorted(result.outputs)}
    return {name: [next(images) for _ in files] for name, files in shown.items()}


def report(result, name: str) -> list[dict]:
    """What a probe node reported, an item per entry."""
    return result.outputs[name]["report"]


def write_pairs(path: Path) -> None:
    """A short file of pairs for Fit Emotion Network."""
    rows = [f'"{pair.neutral}","{pair.emotional}",{pair.valence},{pair.arousal}' for pair in draw_pairs(50)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(["neutral,emotional,valence,arousal", *rows]), encoding="utf-8")
