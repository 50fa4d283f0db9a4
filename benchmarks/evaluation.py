"""What the evaluation costs: 3,300 painted pictures of 128 x 128 through the miniature's measures.

    python -m benchmarks.evaluation
    python -m benchmarks.evaluation --pictures 660

The readers are untrained but of the shipped size, so the figures mean nothing and the time does. Prints the processor's
and the clock's seconds of each part and the peak of memory after a sixth of the pictures and after all; a table for
docs/evaluation.md. torch runs on one thread, decoding on others.
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path

import torch
from PIL import Image as Pillow

from emoticrafter.readers import Reader
from trainer.evaluate import main as evaluate
from trainer.evaluation.draw_miniature import held_out_prompts
from trainer.evaluation.plan import LEVELS
from trainer.manifest import Image, write_manifest
from trainer.miniature.painter import paint
from trainer.miniature.readers import KINDS, save_reader
from trainer.miniature.recipe import Recipe
from trainer.miniature.scene import all_scenes

POINTS = len(LEVELS) ** 2


def make_readers(folder: Path) -> None:
    for kind, outputs in KINDS.items():
        reader = Reader(Recipe().reader_channels, outputs)
        save_reader(reader, folder / "readers" / f"{kind}.safetensors", kind, Recipe(), {})


def make_pictures(folder: Path, count: int) -> Path:
    """Paints pictures over the plane, and their manifest."""
    scenes, prompts, images = all_scenes("held-out"), held_out_prompts(), []
    for number in range(count // POINTS):
        scene, prompt = scenes[number % len(scenes)], prompts[number % len(scenes)]
        for valence, arousal in [(v, a) for a in LEVELS for v in LEVELS]:
            path = folder / f"{number}{valence:+g}{arousal:+g}.png"
            Pillow.fromarray(paint(scene, valence, arousal, number, 128)).save(path)
            images.append(
                Image(path.name, prompt, valence, arousal, number // len(scenes), "painted", path.stem)
            )
    write_manifest(folder / "manifest.jsonl", images)
    return folder / "manifest.jsonl"


def timed(manifest: Path, readers: Path, out: Path) -> tuple[float, float, float]:
    """Seconds of the processor and of the clock, and the process's peak memory in MB since it began."""
    processor, clock = time.process_time(), time.monotonic()
    if evaluate([str(manifest), "--miniature", str(readers), "--out", str(out), "--device", "cpu"]):
        raise SystemExit("the evaluation failed: see its message above")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    return time.process_time() - processor, time.monotonic() - clock, peak


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pictures", type=int, default=3300, help="a multiple of 25 (%(default)s)")
    count = parser.parse_args().pictures
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_readers(folder / "readers")
        rows = []
        for name, pictures in (("a sixth", count // 6 // POINTS * POINTS), ("all", count)):
            where = folder / name
            where.mkdir()
            manifest = make_pictures(where, pictures)
            rows.append((f"{pictures:,} pictures", *timed(manifest, folder / "readers", where / "out")))
        rows.append(("all again, from what was kept", *timed(manifest, folder / "readers", where / "out")))
    print("\n| | processor | clock | peak memory |\n| --- | ---: | ---: | ---: |")
    for name, processor, clock, peak in rows:
        print(f"| {name} | {processor:.0f} s | {clock:.0f} s | {peak:.0f} MB |")


if __name__ == "__main__":
    main()
