"""The baselines' command line.

python -m trainer.baselines train --method cross-attention --miniature runs/miniature --out runs/cross-attention-0
python -m trainer.baselines train --method time-embedding --sdxl sdxl --manifest pictures/manifest.jsonl --out runs/time
python -m trainer.baselines words --network words.safetensors --valence 2 --arousal -1 --out calm.safetensors
python -m trainer.baselines rewrite --prompts prompts.txt --model llama3.1 --out rewritten.jsonl

An interrupted command goes on where it stopped when it is run again. Heavy imports happen inside the commands, so that
--help is quick.
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from trainer.baselines.settings import Settings
from trainer.core.command_line import quiet, status_of
from trainer.core.device import DEVICE_HELP, PRECISIONS
from trainer.core.settings import option, read_commands
from trainer.pictures.settings import Source


@dataclass(frozen=True, kw_only=True)
class Train:
    """Fit one baseline to a frozen base model."""

    source: Source
    out: Path = option("the folder of this run")
    device: str = option(DEVICE_HELP, "auto")
    precision: str = option("(%(default)s)", "auto", choices=PRECISIONS)
    settings: Settings = option("of a new run; one that was begun has to keep its own", group="settings")

    def run(self) -> None:
        from trainer.baselines.train import train
        from trainer.core.device import Machine
        from trainer.core.lock import alone
        from trainer.pictures.rated import from_manifest, from_miniature

        quiet()
        machine, source = Machine.find(self.device, self.precision), self.source
        with alone(self.out):
            if source.miniature:
                base, pictures = from_miniature(source.miniature, machine)
            else:
                base, pictures = from_manifest(source.sdxl, source.manifest, source.resolution, self.out, machine)
            train(self.settings, base, pictures, self.out, machine)


@dataclass(frozen=True)
class Words:
    """Write the learned words of textual inversion as an embedding that any program for SDXL reads."""

    network: Path = option("a fitted textual inversion")
    valence: float = option("-3 to 3")
    arousal: float = option("-3 to 3")
    out: Path = option("the file, for ComfyUI's models/embeddings")

    def run(self) -> None:
        from emoticrafter.research.baselines import TextualInversion, load_baseline, save_words

        baseline = load_baseline(self.network)
        if not isinstance(baseline, TextualInversion):
            raise ValueError(f"{self.network} is a {baseline.method}: only textual-inversion has learned words.")
        save_words(baseline, self.valence, self.arousal, self.out)
        prompt = baseline.config.template.replace("{prompt}", "a dog on a beach")
        print(f"{self.out}\nIn ComfyUI: {prompt.replace('{emotion}', f'embedding:{self.out.stem}')}")


@dataclass(frozen=True)
class Rewrite:
    """Have a language model rewrite prompts over the plane."""

    prompts: Path = option("a text file with a prompt a line")
    out: Path = option("the .jsonl file; answers are kept beside it as they come")
    base_url: str = option("a server on this computer; default: EMOTICRAFTER_CHAT_URL", "")
    model: str = option("default: EMOTICRAFTER_CHAT_MODEL", "")
    side: int = option("points of the plane along each axis (%(default)s)", 5)
    seed: int = option("sent with every question if it is not 0 (%(default)s)", 0)
    timeout: float = option("seconds for one answer (%(default)s)", 120)

    def run(self) -> None:
        from emoticrafter.language.rewriting import chat_settings
        from trainer.baselines.rewrite import rewrite_all

        settings = chat_settings(self.base_url, self.model, self.timeout, os.environ)
        rewrite_all(self.prompts, self.out, settings, self.side, self.seed)


def main(arguments: list[str] | None = None) -> int:
    """Runs one subcommand; everything that a user can put right is said in a line, without a traceback."""
    commands = {"train": Train, "words": Words, "rewrite": Rewrite}
    text = "The paper's baselines."
    # The settings refuse what is out of range as soon as they are read.
    return status_of(lambda: read_commands("trainer.baselines", text, commands, arguments).run(), "eval", RuntimeError)


if __name__ == "__main__":
    sys.exit(main())
