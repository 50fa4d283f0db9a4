"""Measures generated images: how well they follow the valence and arousal that were asked for, and what it costs.

    python -m trainer.evaluate images/manifest.jsonl --reader reader.safetensors --out runs/evaluation
    python -m trainer.evaluate images/manifest.jsonl --miniature runs/miniature --out runs/evaluation
    python -m trainer.evaluate fit-reader ratings.jsonl --folder pictures --out reader.safetensors

Writes report.html and results.json into --out and prints the table. What was measured is kept beside each manifest: an
interrupted command goes on, and a second one with other images measures those alone. docs/evaluation.md says what each
number means.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from trainer.core.command_line import status_of

LPIPS = ("alex", "vgg", "squeeze", "none")


def evaluate_parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("python -m trainer.evaluate", description=__doc__, formatter_class=raw)
    add = parser.add_argument
    add(
        "manifests",
        nargs="+",
        type=Path,
        metavar="MANIFEST",
        help="manifest.jsonl, or the folder that it is in",
    )
    add("--out", type=Path, required=True, metavar="FOLDER", help="gets report.html and results.json")
    add("--device", default="auto", help="auto, cpu, cuda, cuda:1 ... (%(default)s)")
    add(
        "--plain",
        default="plain",
        metavar="METHOD",
        help="the method that got the plain prompts (%(default)s)",
    )
    add("--common", action="store_true", help="compare only the images that all methods have")
    add("--skip-bad", action="store_true", help="leave out images that cannot be used")
    add(
        "--shown",
        type=int,
        default=3,
        metavar="N",
        help="prompts whose pictures are in the report (%(default)s)",
    )
    _add_measures(parser.add_argument_group("what measures").add_argument)
    _add_chat(parser.add_argument_group("a vision-language model as reader").add_argument)
    return parser


def _add_measures(add) -> None:
    add(
        "--reader", metavar="FILE", help="reads valence and arousal: what fit-reader made, or published heads"
    )
    add(
        "--backbone",
        metavar="ID",
        help="folder or hub id of the heads' image model (default: what the file names)",
    )
    add("--clip", metavar="ID", help="CLIP for CLIPScore and CLIP-IQA, a folder or hub id, or none")
    add("--lpips", choices=LPIPS, help="network of LPIPS (alex)")
    add("--lpips-weights", type=Path, metavar="FILE", help="its weights, where torchvision cannot fetch them")
    add(
        "--miniature",
        type=Path,
        metavar="FOLDER",
        help="measure the miniature's pictures with its own readers",
    )


def _add_chat(add) -> None:
    add(
        "--chat-url",
        metavar="URL",
        help="address before /chat/completions, such as https://api.openai.com/v1",
    )
    add("--chat-model", metavar="NAME", default="", help="the model's name there")
    add("--key-from", metavar="VARIABLE", help="environment variable that holds the key")
    add("--answer-format", choices=("json_schema", "json_object", "none"), default="json_schema")
    add("--per-minute", type=float, default=0, metavar="N", help="requests begun in a minute, 0 for no limit")
    add("--workers", type=int, default=4, metavar="N", help="requests under way at once (%(default)s)")


def fit_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m trainer.evaluate fit-reader",
        description="Fits linear heads on a frozen CLIP or DINOv2 to rated pictures, and says how they do on pictures "
        "that were kept out.",
    )
    add = parser.add_argument
    add(
        "ratings",
        type=Path,
        help="CSV or JSONL with image, valence, arousal (python -m trainer.prepare images)",
    )
    add("--folder", type=Path, required=True, help="where the pictures are")
    add("--out", type=Path, required=True, metavar="FILE", help="the reader, .safetensors")
    add(
        "--backbone",
        default="openai/clip-vit-base-patch32",
        metavar="ID",
        help="folder or hub id (%(default)s)",
    )
    add("--scale", help="the ratings' scale if it is not -3..3, such as --scale=1..9 or --scale=oasis")
    add("--device", default="auto", help="auto, cpu, cuda, cuda:1 ... (%(default)s)")
    add("--skip-bad", action="store_true", help="leave out pictures that cannot be used")
    return parser


def evaluate(options: argparse.Namespace) -> int:
    """Measures, writes the report, prints the table."""
    from trainer.evaluation import report
    from trainer.evaluation.results import evaluate as figures

    _check(options)
    skipped: list[str] | None = [] if options.skip_bad else None
    manifests = [path / "manifest.jsonl" if path.is_dir() else path for path in options.manifests]
    parts = _read_manifests(manifests, skipped, options)
    _, measures, distance, made_by = measuring(options)
    scores = score_manifests(manifests, parts, measures, distance)
    problems = [*(skipped or []), *scores.problems]
    if problems and not options.skip_bad:
        _list_problems(problems)
        print(
            "What was measured is kept. Correct these and run the same command, or leave them out with --skip-bad.",
            file=sys.stderr,
        )
        return 1
    results = figures(scores, options.plain, options.common)
    found = report.as_json(results, made_by, problems)
    page = report.page(results, scores.images, made_by, problems, options.shown, options.plain)
    report.write(options.out, page, found)
    for note in results.notes:
        print(f"note: {note}")
    print(f"{report.markdown(results)}\n\n{options.out / 'report.html'}: with intervals, tests and pictures")
    return 0


def _read_manifests(
    manifests: list[Path], skipped: list[str] | None, options: argparse.Namespace
) -> list[list]:
    """The images of each manifest that can be compared."""
    from trainer.evaluation.manifest import read_manifest
    from trainer.evaluation.results import matching

    advice = " Make what is missing, or leave it out with --skip-bad."
    parts = [read_manifest(path, skipped, advice) for path in manifests]
    every = [image for part in parts for image in part]
    wanted = {id(every[row]) for row in matching(every, options.plain, options.common)}
    return [[image for image in part if id(image) in wanted] for part in parts]


def score_manifests(manifests: list[Path], parts: list[list], measures: list, distance):
    from trainer.evaluation.kept import keeping
    from trainer.evaluation.scoring import levels_of, merge, score

    found, levels = [], levels_of(image for part in parts for image in part)
    for path, images in zip(manifests, parts, strict=True):
        with keeping(path) as kept:
            found.append(score(images, measures, distance, kept, levels))
    return merge(found)


def measuring(options: argparse.Namespace) -> tuple:
    """The reader, all measures, the distance, and what they are, for the report."""
    from trainer.core.rows import DataError
    from trainer.evaluation.readers import reading

    if sum(bool(one) for one in (options.reader, options.chat_url, options.miniature)) != 1:
        raise DataError("Say what reads valence and arousal: one of --reader, --chat-url and --miniature.")
    device = _device(options.device)
    reader = _reader(options, device)
    measures, made_by, distance = [reading(reader)], {"valence and arousal": reader.name}, None
    if options.miniature:
        from trainer.miniature.scores import content_score, find_readers, reader_distance

        emotion, content = find_readers(options.miniature)
        measures.append(content_score(content, device))
        distance = reader_distance(emotion, device)
        made_by |= {
            "content": "the miniature's content reader: the share of pictures read as the prompt's subject",
            "LPIPS": "LPIPS's type of distance between what the miniature's reader sees, without LPIPS's learned "
            "weights: not to be compared with LPIPS",
        }
    clip = options.clip or ("none" if options.miniature else _default_clip())
    if clip != "none":
        from trainer.evaluation.backbones import load_backbone
        from trainer.evaluation.metrics import clip_scores

        measures.append(clip_scores(load_backbone(clip, device)))
        made_by["CLIPScore and CLIP-IQA"] = f"{clip}, against the prompt as it is in the manifest"
    net = options.lpips or ("none" if options.miniature else "alex")
    if net != "none":
        from trainer.evaluation.metrics import lpips_distance

        distance = lpips_distance(net, options.lpips_weights, device)
        made_by["LPIPS"] = (
            f"LPIPS 0.1 on {net}, weights {options.lpips_weights or 'of torchvision (ImageNet)'}"
        )
    return reader, measures, distance, made_by


def _default_clip() -> str:
    from trainer.evaluation.metrics import CLIP_SCORES

    return CLIP_SCORES


def _reader(options: argparse.Namespace, device: str):
    from trainer.evaluation.readers import load_va_reader

    if options.miniature:
        from trainer.miniature.scores import find_readers

        return load_va_reader(find_readers(options.miniature)[0], device=device)
    if options.reader:
        return load_va_reader(options.reader, options.backbone, device)
    from emoticrafter.language.chat import ChatSettings
    from trainer.evaluation.chat_reader import connect

    settings = ChatSettings(
        options.chat_url,
        options.chat_model,
        _key(options.key_from),
        per_minute=options.per_minute,
        answer_format=options.answer_format,
    )
    return connect(settings, options.workers)


def _key(variable: str | None) -> str:
    from trainer.core.rows import DataError

    if not variable:
        return ""
    if not os.environ.get(variable):
        raise DataError(f"The environment variable {variable} is not set: export {variable}=... first.")
    return os.environ[variable]


def _check(options: argparse.Namespace) -> None:
    """Raises DataError with everything that is wrong with the options, before anything is measured."""
    from trainer.core.rows import DataError

    problems = []
    if options.shown < 0:
        problems.append(f"--shown {options.shown}: expected 0 or more prompts")
    if options.workers < 1:
        problems.append(f"--workers {options.workers}: expected 1 or more")
    if not options.per_minute >= 0:
        problems.append(f"--per-minute {options.per_minute}: expected 0 or more")
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=options.out).close()
    except OSError as error:
        problems.append(f"--out {options.out}: expected a folder that can be written ({error.strerror})")
    if problems:
        raise DataError("These options cannot be used:\n" + "\n".join(f"  {text}" for text in problems))


def _device(name: str) -> str:
    import torch

    from trainer.core.rows import DataError

    name = ("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError) as error:  # an unknown name; PyTorch without CUDA
        why = str(error).split("\n")[0][:200]
        raise DataError(
            f"--device {name}: PyTorch cannot use it here, expected auto, cpu or cuda ({why})"
        ) from error
    return name


def _list_problems(problems: list[str]) -> None:
    count = len(problems)
    said = "1 problem" if count == 1 else f"{count:,} problems"
    print(f"error: {said} with images:", file=sys.stderr)
    for problem in problems[:20]:
        print(f"  {problem}", file=sys.stderr)
    if len(problems) > 20:
        print(f"  ... and {len(problems) - 20:,} more", file=sys.stderr)


def fit_reader(options: argparse.Namespace) -> int:
    """Fits a reader and prints its held-out figures."""
    from trainer.data.images import load_images
    from trainer.data.pairs import Scale
    from trainer.evaluation.backbones import load_backbone
    from trainer.evaluation.fit import fit_reader as fit

    if options.out.suffix != ".safetensors":
        raise ValueError(f"--out {options.out}: expected a name that ends in .safetensors.")
    scale = Scale.parse(options.scale) if options.scale else None
    skipped: list[str] | None = [] if options.skip_bad else None
    images = load_images(options.ratings, options.folder, scale, skipped)
    backbone = load_backbone(options.backbone, _device(options.device))
    figures, problems = fit(images, options.folder, backbone, options.out, options.skip_bad)
    if problems := [*(skipped or []), *problems]:
        _list_problems(problems)
    print(f"{options.out}: on the pictures that were kept out")
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


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; everything that a user can put right is said in a line, without a traceback."""
    from emoticrafter.language.chat import FatalError

    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == ["fit-reader"]:
        fit_options = fit_parser().parse_args(arguments[1:])
        return status_of(lambda: fit_reader(fit_options), "eval", FatalError)
    options = evaluate_parser().parse_args(arguments)
    return status_of(lambda: evaluate(options), "eval", FatalError)


if __name__ == "__main__":
    sys.exit(main())
