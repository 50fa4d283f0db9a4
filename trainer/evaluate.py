"""Measures generated images: how well they follow the valence and arousal that were asked for, and what it costs.

    python -m trainer.evaluate images/manifest.jsonl --reader reader.safetensors --out runs/evaluation
    python -m trainer.evaluate images/manifest.jsonl --miniature runs/miniature --out runs/evaluation
    python -m trainer.evaluate fit-reader ratings.jsonl --folder pictures --out reader.safetensors

Writes report.html, results.json and images.csv (a line for each image) into --out and prints the table. Measurements
are kept beside each manifest: an interrupted command goes on where it stopped, and only new images are measured.
docs/evaluation.md explains the numbers.
"""

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from trainer.core.command_line import key_from, say, say_error, status_of
from trainer.core.device import DEVICE_HELP, find_device
from trainer.core.rows import DataError, listed, refuse_options
from trainer.core.settings import option, read_command
from trainer.evaluation.scoring import LPIPS

FIT_READER = """Fits linear heads on a frozen CLIP or DINOv2 to rated pictures, and tells how they do on held-out
ones."""
MEASURES, CHAT = "what measures", "a vision-language model as reader"


@dataclass(frozen=True)
class EvaluateSettings:
    """What is evaluated, and by what; None for `clip` and `lpips` is the usual one: none for the miniature."""

    manifests: list[Path] = option("manifest.jsonl, or the folder that holds it", metavar="MANIFEST", positional=True)
    out: Path = option("gets report.html, results.json and images.csv", metavar="FOLDER")
    device: str = option(DEVICE_HELP, "auto")
    plain: str = option("the method that got the plain prompts (%(default)s)", "plain", metavar="METHOD")
    common: bool = option("compare only the images that all methods have", False)
    skip_bad: bool = option("leave out images that cannot be used", False)
    shown: int = option("prompts shown with pictures in the report (%(default)s)", 3, metavar="N")

    reader: str | None = option(
        "reads valence and arousal: made by fit-reader, or published heads", None, MEASURES, metavar="FILE"
    )
    backbone: str | None = option(
        "the reader's image model, a folder or hub id (default: as its file says)", None, MEASURES, metavar="ID"
    )
    clip: str | None = option(
        "CLIP for CLIPScore and CLIP-IQA, a folder or hub id, or none", None, MEASURES, metavar="ID"
    )
    lpips: str | None = option("network of LPIPS (alex)", None, MEASURES, choices=LPIPS)
    lpips_weights: Path | None = option(
        "its weights, if torchvision cannot download them", None, MEASURES, metavar="FILE"
    )
    miniature: Path | None = option(
        "measure the miniature's pictures with its own readers", None, MEASURES, metavar="FOLDER"
    )

    chat_url: str | None = option(
        "the address before /chat/completions, such as https://api.openai.com/v1", None, CHAT, metavar="URL"
    )
    chat_model: str = option("the model's name there", "", CHAT, metavar="NAME")
    key_from: str | None = option("environment variable that holds the key", None, CHAT, metavar="VARIABLE")
    answer_format: str = option(
        "what the server understands (%(default)s)", "json_schema", CHAT, choices=("json_schema", "json_object", "none")
    )
    per_minute: float = option("requests started per minute, 0 for no limit", 0, CHAT, metavar="N")
    workers: int = option("requests under way at once (%(default)s)", 4, CHAT, metavar="N")

    def check(self) -> None:
        """Raises DataError with everything that is wrong, before anything is measured."""
        problems = []
        if self.shown < 0:
            problems.append(f"--shown {self.shown}: expected 0 or more prompts")
        if self.workers < 1:
            problems.append(f"--workers {self.workers}: expected 1 or more")
        if not self.per_minute >= 0:
            problems.append(f"--per-minute {self.per_minute}: expected 0 or more")
        try:
            self.out.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=self.out).close()
        except OSError as error:
            problems.append(f"--out {self.out}: expected a folder that can be written ({error.strerror})")
        refuse_options(problems)


@dataclass(frozen=True)
class FitReaderSettings:
    """Rated pictures, and the reader that is made of them."""

    ratings: Path = option(
        "CSV or JSONL with image, valence, arousal (python -m trainer.prepare images)", positional=True
    )
    folder: Path = option("where the pictures are")
    out: Path = option("the reader, .safetensors", metavar="FILE")
    backbone: str = option("folder or hub id (%(default)s)", "openai/clip-vit-base-patch32", metavar="ID")
    scale: str | None = option("the ratings' scale if it is not -3..3, such as --scale=1..9 or --scale=oasis", None)
    device: str = option(DEVICE_HELP, "auto")
    skip_bad: bool = option("leave out pictures that cannot be used", False)


# ---- evaluating ------------------------------------------------------------------------------------


def evaluate(settings: EvaluateSettings) -> int:
    """Measures, writes the report, prints the table."""
    from trainer.data.scales import within_one
    from trainer.evaluation import report
    from trainer.evaluation.manifest import read_manifest
    from trainer.evaluation.readings import write_readings
    from trainer.evaluation.results import evaluate as find_results
    from trainer.evaluation.results import matching_parts
    from trainer.evaluation.scoring import score_manifests

    settings.check()
    skipped: list[str] | None = [] if settings.skip_bad else None
    manifests = [path / "manifest.jsonl" if path.is_dir() else path for path in settings.manifests]
    advice = " Make what is missing, or leave it out with --skip-bad."
    parts = [read_manifest(path, skipped, advice) for path in manifests]
    for path, part in zip(manifests, parts, strict=True):
        if within_one([image.valence for image in part], [image.arousal for image in part]):
            print(f"note: {path} asks for emotions within -1..1 alone: is its scale -3 to 3, as the measures take it?")
    parts = matching_parts(parts, settings.plain, settings.common)
    measures = measures_of(settings)
    scores = score_manifests(manifests, parts, measures)
    problems = [*(skipped or []), *scores.problems]
    if problems and not settings.skip_bad:
        _list_problems(problems)
        print(
            "Measurements are kept. Correct these images and run the same command again, or leave them out with "
            "--skip-bad.",
            file=sys.stderr,
        )
        return 1
    results = find_results(scores, settings.plain, settings.common)
    page = report.page(results, scores.images, measures.made_by, problems, settings.shown, settings.plain)
    report.write(settings.out, page, report.as_json(results, measures.made_by, problems))
    write_readings(settings.out / "images.csv", scores)
    for note in results.notes:
        say(f"note: {note}")
    say(f"{report.markdown(results)}\n\n{settings.out / 'report.html'}: with intervals, tests and pictures")
    return 0


def measures_of(settings: EvaluateSettings):
    """The `Measures` that the settings ask for."""
    if sum(map(bool, (settings.reader, settings.chat_url, settings.miniature))) != 1:
        raise DataError("Give what reads valence and arousal: one of --reader, --chat-url and --miniature.")
    from trainer.evaluation import measures

    device = find_device(settings.device)
    if settings.miniature:
        from trainer.miniature.scores import miniature_measures

        found, clip, lpips = miniature_measures(settings.miniature, device), "none", "none"
    else:
        found, clip, lpips = measures.read_by(reader_of(settings, device)), measures.CLIP_SCORES, "alex"
    return measures.add_scores(found, settings.clip or clip, settings.lpips or lpips, settings.lpips_weights, device)


def reader_of(settings: EvaluateSettings, device):
    """The reader in the file, or behind the address."""
    from emoticrafter.language.chat import ChatSettings
    from trainer.evaluation.chat_reader import connect
    from trainer.evaluation.readers import load_va_reader

    if settings.reader:
        return load_va_reader(settings.reader, settings.backbone, device)
    chat = ChatSettings(
        settings.chat_url,
        settings.chat_model,
        key_from(settings.key_from),
        per_minute=settings.per_minute,
        answer_format=settings.answer_format,
    )
    return connect(chat, settings.workers)


def _list_problems(problems: list[str]) -> None:
    count = "1 problem" if len(problems) == 1 else f"{len(problems):,} problems"
    say_error(f"{count} with images:\n{listed(problems)}")


# ---- fitting a reader ------------------------------------------------------------------------------


def fit_reader(settings: FitReaderSettings) -> int:
    """Fits a reader and prints its held-out figures."""
    from trainer.data.images import load_images
    from trainer.data.scales import Scale
    from trainer.evaluation.fit import fit_reader as fit
    from trainer.evaluation.readers import load_backbone

    if settings.out.suffix != ".safetensors":
        raise DataError(f"--out {settings.out}: expected a name that ends in .safetensors.")
    scale = Scale.parse(settings.scale) if settings.scale else None
    skipped: list[str] | None = [] if settings.skip_bad else None
    images = load_images(settings.ratings, settings.folder, scale, skipped)
    backbone = load_backbone(settings.backbone, find_device(settings.device))
    figures, problems = fit(images, settings.folder, backbone, settings.out, settings.skip_bad)
    if problems := [*(skipped or []), *problems]:
        _list_problems(problems)
    print(f"{settings.out}: on the pictures that were held out")
    for axis, found in figures.items():
        print(
            f"  {axis}: mean error {found['error']:.3f} (always the mean rating: {found['constant']:.3f}), "
            f"tau-b {found['tau']:.3f}, slope {found['slope']:.3f}, calibration error {found['calibration']:.3f}"
        )
    if useless := [axis for axis, found in figures.items() if found["error"] >= found["constant"]]:
        print(
            f"note: for {' and '.join(useless)} it is no better than always saying the mean rating. It needs more "
            "pictures or another --backbone; do not measure with it."
        )
    return 0


# ---- the command line ------------------------------------------------------------------------------


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; a user's mistake is told in one line, without a traceback."""
    from emoticrafter.language.chat import FatalError

    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == ["fit-reader"]:
        fitting = read_command("trainer.evaluate fit-reader", FIT_READER, FitReaderSettings, arguments[1:])
        return status_of(lambda: fit_reader(fitting), "eval", FatalError)
    settings = read_command("trainer.evaluate", __doc__, EvaluateSettings, arguments)
    return status_of(lambda: evaluate(settings), "eval", FatalError)


if __name__ == "__main__":
    sys.exit(main())
