"""What the evaluation costs: pictures of 25 points of each prompt through the miniature's measures, or SDXL's.

    python -m benchmarks.evaluation
    python -m benchmarks.evaluation --pictures 660
    python -m benchmarks.evaluation --metrics full --device cuda

The first two paint pictures of 128 x 128 and print the processor's and the clock's seconds and the peak of memory
after a sixth of the pictures and after all; torch runs on one thread, decoding on others. The last one makes noisy
pictures of 1024 x 1024, measures them as for SDXL (linear heads on CLIP ViT-B/32, CLIPScore and CLIP-IQA on ViT-B/16,
LPIPS on AlexNet), and prints what reading, processing and each model take, and what 3,300 pictures would.

Readers and models are of the real size with random weights, made here, so the figures mean nothing and the time does.
Tables for docs/evaluation.md.
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image as Pillow
from safetensors.torch import save_file

from emoticrafter.research.readers import ClipHeads, Reader, save_heads
from trainer.core.pictures import Pixels, decode_ahead, hash_files
from trainer.evaluate import EvaluateSettings, evaluate
from trainer.evaluation.manifest import Image, read_manifest, write_manifest
from trainer.evaluation.measures import add_scores, read_by
from trainer.evaluation.readers import load_backbone, load_va_reader
from trainer.evaluation.scoring import levels_of, neighbours, score_manifests
from trainer.features.tokenizer import clip_tokenizer
from trainer.miniature.held_out import held_out_prompts
from trainer.miniature.readers import KINDS, save_reader
from trainer.miniature.recipe import Recipe
from trainer.painters.plan import grid
from trainer.world.painter import paint
from trainer.world.scene import all_scenes

POINTS = grid()
PROTOCOL = 3300
PATCHES = (32, 16)  # of the reader's CLIP, and of CLIPScore's
NOISE = 5  # of the 256 levels: files of 1.7 MB, as SDXL's are


def peak() -> float:
    """The process's peak memory in MB since it began."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def write_pictures(folder: Path, count: int, draw: Callable[[int, float, float], Pixels]) -> Path:
    """Pictures over the plane and their manifest: `draw` gets the number of the grid, valence and arousal."""
    prompts, images = held_out_prompts(), []
    for number in range(count // len(POINTS)):
        for valence, arousal in POINTS:
            path = folder / f"{number}{valence:+g}{arousal:+g}.png"
            Pillow.fromarray(draw(number, valence, arousal)).save(path)
            prompt, seed = prompts[number % len(prompts)], number // len(prompts)
            images.append(Image(path.name, prompt, valence, arousal, seed, "drawn", path.stem))
    write_manifest(folder / "manifest.jsonl", images)
    return folder / "manifest.jsonl"


# ---- the miniature's measures ----------------------------------------------------------------------


def make_readers(folder: Path) -> None:
    for kind, outputs in KINDS.items():
        reader = Reader(Recipe().reader_channels, outputs)
        save_reader(reader, folder / "readers" / f"{kind}.safetensors", kind, Recipe(), {})


def painted(size: int) -> Callable[[int, float, float], Pixels]:
    scenes = all_scenes("held-out")
    return lambda number, v, a: paint(scenes[number % len(scenes)], v, a, number, size)


def timed(manifest: Path, readers: Path, out: Path) -> tuple[float, float, float]:
    """Seconds of the processor and of the clock, and the peak of memory."""
    processor, clock = time.process_time(), time.monotonic()
    if evaluate(EvaluateSettings([manifest], out, device="cpu", miniature=readers)):
        raise SystemExit("the evaluation failed: see its message above")
    return time.process_time() - processor, time.monotonic() - clock, peak()


def miniature(folder: Path, count: int, size: int) -> None:
    torch.set_num_threads(1)
    make_readers(folder / "readers")
    rows = []
    for name, pictures in (("a sixth", count // 6 // len(POINTS) * len(POINTS)), ("all", count)):
        where = folder / name
        where.mkdir()
        manifest = write_pictures(where, pictures, painted(size))
        rows.append((f"{pictures:,} pictures", *timed(manifest, folder / "readers", where / "out")))
    rows.append(("all again, from what was kept", *timed(manifest, folder / "readers", where / "out")))
    print("\n| | processor | clock | peak memory |\n| --- | ---: | ---: | ---: |")
    for name, processor, clock, memory in rows:
        print(f"| {name} | {processor:.0f} s | {clock:.0f} s | {memory:.0f} MB |")


# ---- SDXL's measures -------------------------------------------------------------------------------


def make_models(folder: Path) -> None:
    """CLIP ViT-B/32 with heads, CLIP ViT-B/16 and AlexNet as they are published, but for the weights."""
    from torchvision.models import alexnet
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

    torch.manual_seed(0)
    text = {"bos_token_id": 49406, "eos_token_id": 49407}
    for patch in PATCHES:
        model = CLIPModel(CLIPConfig(text_config=text, vision_config={"patch_size": patch}))
        model.save_pretrained(folder / f"clip-{patch}")
        CLIPImageProcessor().save_pretrained(folder / f"clip-{patch}")
        clip_tokenizer().save_pretrained(folder / f"clip-{patch}")
    save_heads(ClipHeads(512), folder / "heads.safetensors")
    save_file(alexnet().state_dict(), folder / "alexnet.safetensors")


def noisy(size: int) -> Callable[[int, float, float], Pixels]:
    """Smooth colours that differ from point to point, under noise."""
    random = np.random.default_rng(0)

    def draw(number: int, valence: float, arousal: float) -> Pixels:
        few = random.integers(40, 216, (8, 8, 3), dtype=np.uint8)
        smooth = Pillow.fromarray(few).resize((size, size), Pillow.Resampling.BICUBIC)
        noise = random.normal(0, NOISE, (size, size, 3))
        return (np.asarray(smooth) + noise).clip(0, 255).astype(np.uint8)

    return draw


def seconds(run: Callable[[], object]) -> np.ndarray:
    """Of the clock and of the processor, [2]."""
    start = np.array([time.monotonic(), time.process_time()])
    run()
    return np.array([time.monotonic(), time.process_time()]) - start


def read_all(images: list[Image]) -> None:
    paths = [image.path for image in images]
    hash_files(paths)
    chunks = [paths[start : start + len(POINTS)] for start in range(0, len(paths), len(POINTS))]
    for _ in decode_ahead(chunks):
        pass


def full(folder: Path, count: int, size: int, device: str) -> None:
    make_models(folder)
    manifest = write_pictures(folder, count, noisy(size))
    files = sum(path.stat().st_size for path in folder.glob("*.png"))
    print(f"{count} pictures of {size} x {size}, {files / count / 1e6:.1f} MB each, on {device}", flush=True)
    reader, scores = (str(folder / f"clip-{patch}") for patch in PATCHES)
    start = time.monotonic()
    read = read_by(load_va_reader(folder / "heads.safetensors", reader, device))
    measures = add_scores(read, scores, "alex", folder / "alexnet.safetensors", device)
    loading = time.monotonic() - start
    images = read_manifest(manifest)
    grid, prompts = images[: len(POINTS)], [image.prompt for image in images[: len(POINTS)]]
    [pictures] = decode_ahead([[image.path for image in grid]])
    for measure in measures.each:
        measure.run(pictures[:2], prompts[:2])  # the first one on a GPU also chooses and loads kernels
    measures.distance.run(pictures[:2], pictures[2:4])

    processors = [load_backbone(source, device).processor for source in (reader, scores)]
    processing = seconds(lambda: [_process(processor, pictures) for processor in processors])
    models = seconds(lambda: [measure.run(pictures, prompts) for measure in measures.each]) - processing
    pairs = neighbours([(image.valence, image.arousal) for image in grid], levels_of(grid)["drawn"])
    first, second = ([pictures[pair[place]] for pair in pairs] for place in (0, 1))
    parts = {
        "reading: hashes and decoding, by threads": seconds(lambda: read_all(images)) / count,
        "processing for both CLIPs, on the processor": processing / len(grid),
        "both CLIPs and the heads": models / len(grid),
        "LPIPS of 1.6 pairs a picture": seconds(lambda: measures.distance.run(first, second)) / len(grid),
        "all of it, as the command does it": seconds(lambda: score_manifests([manifest], [images], measures)) / count,
    }
    print(f"\n| | clock | processor | clock, {PROTOCOL:,} pictures | processor, {PROTOCOL:,} pictures |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name, (clock, processor) in parts.items():
        each = f"{1000 * clock:.0f} ms | {1000 * processor:.0f} ms"
        print(f"| {name} | {each} | {PROTOCOL * clock:.0f} s | {PROTOCOL * processor:.0f} s |")
    cuda = torch.cuda.max_memory_allocated() / 1e6 if torch.cuda.is_available() else 0
    print(f"\nloading the models: {loading:.0f} s; peak memory {peak():.0f} MB, of the GPU {cuda:.0f} MB")


def _process(processor, pictures: list[Pixels]) -> None:
    processor(images=pictures, input_data_format="channels_last", return_tensors="pt")


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    add = parser.add_argument
    add("--metrics", choices=("miniature", "full"), default="miniature", help="(%(default)s)")
    add("--pictures", type=int, help="a multiple of 25 (3,300 of the miniature, 100 of full)")
    add("--size", type=int, help="pixels of a side (128 of the miniature, 1024 of full)")
    add("--device", default="cpu", help="of the full metrics' models: cpu, cuda (%(default)s)")
    options = parser.parse_args()
    is_full = options.metrics == "full"
    count, size = (options.pictures or (100 if is_full else PROTOCOL), options.size or (1024 if is_full else 128))
    if count < len(POINTS) or count % len(POINTS):
        parser.error(f"--pictures {count}: expected a multiple of {len(POINTS)}")
    with tempfile.TemporaryDirectory() as temporary:
        if is_full:
            full(Path(temporary), count, size, options.device)
        else:
            miniature(Path(temporary), count, size)


if __name__ == "__main__":
    main()
