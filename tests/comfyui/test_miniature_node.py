"""Load Miniature in a real server, with the shipped weights: it behaves as a checkpoint does in every kind of graph."""

import io

import numpy as np
import pytest
from PIL import Image

from scripts import demo, workflow
from scripts.installation import comfyui_folder
from scripts.server import PromptError, Server
from scripts.stand_ins import IMAGE_NAME, NETWORK_NAME, write_lora
from tests.comfyui.graphs import Graph, pictures, report
from tests.comfyui.pack import DYNAMIC_VRAM

TEXT = "a windmill in a meadow at sunset"
SIZE = 128
LORA_SHAPES = {
    "lora_unet_middle_block_1_transformer_blocks_0_attn2_to_v": (128, 128),
    "lora_te1_text_model_encoder_layers_0_self_attn_v_proj": (64, 64),
    "lora_te2_text_model_encoder_layers_0_self_attn_v_proj": (64, 64),
}


class MiniatureGraph(Graph):
    """Graphs of the miniature; 8 steps, which are enough to tell pictures apart."""

    def checkpoint(self) -> tuple[list, list, list]:
        [node, _] = self.add("EmotiCrafterMiniature", "miniature")
        return [node, 0], [node, 1], [node, 2]

    def network(self) -> list:
        self.checkpoint()
        return ["miniature", 3]

    def emotional(self, conditioning: list, name: str | None = None, **values) -> list:
        return super().emotional(conditioning, name, **{"network": self.network()} | values)

    def latent(self) -> list:
        return self.add("EmptyLatentImage", "latent", width=SIZE, height=SIZE, batch_size=1)

    def draw(self, positive: list, name: str, **changed) -> None:
        """Samples, decodes and saves under the node id `name`."""
        model, _, vae = self.checkpoint()
        inputs = {
            "model": model,
            "positive": positive,
            "negative": self.text("", "negative"),
            "latent_image": self.latent(),
            "seed": 7,
            "steps": 8,
            "cfg": 3.0,
            "sampler_name": "euler",
            "scheduler": "simple",
            "denoise": 1.0,
        }
        samples = self.add("KSampler", f"{name} sampler", **inputs | changed)
        image = self.add("VAEDecode", f"{name} decode", samples=samples, vae=vae)
        self.add("SaveImage", name, images=image, filename_prefix="test")


def pixels(file: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(file)).convert("RGB"), dtype=float)


def shown(server, graph: Graph) -> dict[str, np.ndarray]:
    return {name: pixels(files[0]) for name, files in pictures(server.queue(graph)).items()}


def difference(first: np.ndarray, second: np.ndarray) -> float:
    """Mean difference of the levels, 0 to 255."""
    return float(np.abs(first - second).mean())


# ---- the shipped workflow --------------------------------------------------------------------------


def test_the_shipped_workflow_draws_a_picture_that_follows_both_values(server):
    prompt = demo.base_prompt(server.object_info())

    def drawn(**values) -> bytes:
        changed = workflow.set_inputs(prompt, "EmotiCrafterConditioning", **values)
        return server.queue(changed).images[0]

    first = drawn()
    assert pixels(first).shape == (SIZE, SIZE, 3)
    assert pixels(first).std() > 10
    assert len({first, drawn(valence=0.5), drawn(arousal=-0.5), drawn(strength=0.0)}) == 4
    server.free()
    assert drawn() == first


def test_it_draws_the_same_picture_with_dynamic_vram(server, tmp_path):
    if not (comfyui_folder() / "comfy" / "memory_management.py").is_file():
        pytest.skip("this ComfyUI has no DynamicVRAM")
    prompt = demo.base_prompt(server.object_info())
    with Server(tmp_path, nodes=(DYNAMIC_VRAM,)) as dynamic:
        assert dynamic.queue(prompt).images == server.queue(prompt).images


def test_moving_a_value_keeps_the_miniature_and_the_prompt(server):
    prompt = workflow.set_inputs(demo.base_prompt(server.object_info()), "KSampler", steps=2)
    server.queue(workflow.set_inputs(prompt, "EmotiCrafterConditioning", valence=-1.0))
    moved = server.queue(workflow.set_inputs(prompt, "EmotiCrafterConditioning", valence=-1.05))
    ran = [prompt[node]["class_type"] for node in moved.executed]
    assert ran == ["EmotiCrafterConditioning", "KSampler", "VAEDecode", "SaveImage"]


# ---- as a checkpoint -------------------------------------------------------------------------------


def test_its_text_has_the_miniatures_widths(server):
    graph = MiniatureGraph()
    graph.report(graph.text(TEXT), "report")
    [entry] = server.queue(graph).outputs["report"]["report"]
    assert entry["shape"] == [1, 77, 128]
    assert entry["extra"]["pooled_output"].startswith("[1, 64]")


def test_a_lora_changes_text_and_model_and_leaves_the_miniature_as_it_was(server):
    write_lora(server.models / "loras" / "miniature_lora.safetensors", LORA_SHAPES, seed=0)
    graph = MiniatureGraph()
    model, clip, _ = graph.checkpoint()
    [lora, _] = graph.add(
        "LoraLoader",
        model=model,
        clip=clip,
        lora_name="miniature_lora.safetensors",
        strength_model=1.0,
        strength_clip=1.0,
    )
    plain, styled = graph.text(TEXT), graph.add("CLIPTextEncode", clip=[lora, 1], text=TEXT)
    graph.draw(graph.emotional(plain), "plain")
    graph.draw(graph.emotional(styled), "text")
    graph.draw(graph.emotional(plain), "model", model=[lora, 0])
    before = len(server.log())
    found = shown(server, graph)
    assert "not loaded" not in server.log()[before:].lower()
    assert difference(found["plain"], found["text"]) > 0.5
    assert difference(found["plain"], found["model"]) > 0.5
    again = MiniatureGraph()
    again.draw(again.emotional(again.text(TEXT), valence=2.05), "other")
    again.draw(again.emotional(again.text(TEXT)), "again")
    assert difference(shown(server, again)["again"], found["plain"]) == 0


def test_a_controlnet_of_its_sizes_takes_part_beside_the_emotion(server):
    graph = MiniatureGraph()
    model, _, _ = graph.checkpoint()
    [controlled, _] = graph.add(
        "ControlNetApplyAdvanced",
        positive=graph.emotional(graph.text(TEXT), "emotional"),
        negative=graph.text("", "negative"),
        control_net=graph.add("ProbeControlNet", model=model),
        image=graph.add("LoadImage", image=IMAGE_NAME),
        strength=1.0,
        start_percent=0.0,
        end_percent=1.0,
    )
    graph.draw(["emotional", 0], "plain")
    graph.draw([controlled, 0], "controlled", negative=[controlled, 1])
    found = shown(server, graph)
    assert difference(found["plain"], found["controlled"]) > 0.5


def source(graph: MiniatureGraph) -> list:
    """A picture of the miniature's own as an IMAGE."""
    graph.draw(graph.text(TEXT), "source")
    return ["source decode", 0]


def test_its_autoencoder_gives_back_what_it_was_given(server):
    graph = MiniatureGraph()
    _, _, vae = graph.checkpoint()
    latents = graph.add("VAEEncode", pixels=source(graph), vae=vae)
    graph.add("SaveImage", "back", images=graph.add("VAEDecode", samples=latents, vae=vae), filename_prefix="t")
    found = shown(server, graph)
    assert difference(found["source"], found["back"]) < 12


def test_a_picture_can_be_begun_from_another(server):
    graph = MiniatureGraph()
    _, _, vae = graph.checkpoint()
    latents = graph.add("VAEEncode", pixels=source(graph), vae=vae)
    sad = graph.emotional(graph.text(TEXT), valence=-3.0, arousal=0.0)
    # Another seed: the same noise alone would lead near the same picture.
    graph.draw(sad, "whole", latent_image=latents, seed=8)
    graph.draw(sad, "half", latent_image=latents, seed=8, denoise=0.4)
    found = shown(server, graph)
    assert 0 < difference(found["source"], found["half"]) < difference(found["source"], found["whole"])


def test_inpainting_changes_the_masked_half_alone(server):
    graph = MiniatureGraph()
    _, _, vae = graph.checkpoint()
    mask = graph.add("SolidMask", value=0.0, width=SIZE, height=SIZE)
    half = graph.add("SolidMask", value=1.0, width=SIZE // 2, height=SIZE)
    mask = graph.add("MaskComposite", destination=mask, source=half, x=0, y=0, operation="add")
    latents = graph.add("VAEEncode", pixels=source(graph), vae=vae)
    masked = graph.add("SetLatentNoiseMask", samples=latents, mask=mask)
    sad = graph.emotional(graph.text(TEXT), valence=-3.0, arousal=3.0)
    graph.draw(sad, "mended", latent_image=masked)
    kept = graph.add("VAEDecode", samples=latents, vae=vae)
    graph.add("SaveImage", "kept", images=kept, filename_prefix="test")
    found = shown(server, graph)
    # The convolutions see a little across the border.
    right = np.s_[:, SIZE // 2 + 24 :]
    left = np.s_[:, : SIZE // 2]
    assert difference(found["kept"][right], found["mended"][right]) < 4
    assert difference(found["kept"][left], found["mended"][left]) > 8


# ---- what does not go together ---------------------------------------------------------------------


def test_the_networks_of_sdxl_and_of_the_miniature_are_told_apart(server):
    graph = MiniatureGraph()
    loader = graph.add("EmotiCrafterLoader", network_name=NETWORK_NAME, dtype="auto")
    graph.report(graph.emotional(graph.text(TEXT), network=loader), "report")
    with pytest.raises(PromptError, match=r"is 128 wide.* expects text 2048 wide \(SDXL\)"):
        server.queue(graph)
    graph = MiniatureGraph()
    network = graph.network()
    text = graph.add("RandomConditioning", seed=1, batch=1, windows=1)
    graph.report(graph.emotional(text, network=network), "report")
    with pytest.raises(PromptError, match=r"is 2048 wide \(SDXL\).* expects text 128 wide"):
        server.queue(graph)


def test_its_network_stays_one_through_a_free(server):
    graph = MiniatureGraph()
    graph.add("ProbeNetwork", "network", first=graph.network(), second=graph.network())
    first = report(server.queue(graph), "network")[0]
    server.free()
    assert report(server.queue(graph), "network")[0] == first
    assert first["same"]
