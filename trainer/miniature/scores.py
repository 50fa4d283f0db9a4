"""How the miniature's pictures are measured, by its own readers: no model from any hub is needed."""

from pathlib import Path

import numpy as np
import torch

from emoticrafter.research.readers import distance, load_reader
from trainer.core.pictures import Pixels
from trainer.core.rows import DataError
from trainer.evaluation.measures import checked_by, paired_batches, read_by
from trainer.evaluation.readers import Device, MiniatureReader, load_va_reader, same_sizes
from trainer.evaluation.scoring import Distance, Measure, Measures
from trainer.miniature.readers import SECOND, split_scores
from trainer.world.captions import SUBJECT_WORDS
from trainer.world.scene import SUBJECTS

FILES = (
    ("readers/emotion.safetensors", "readers/content.safetensors"),
    ("emotion_reader.safetensors", "content_reader.safetensors"),
)
"""Emotion and content reader: in a run's folder, and in what is shipped."""
SECOND_FILES = (f"readers/{SECOND}.safetensors", f"{SECOND}_reader.safetensors")
"""The second reader of emotions, which runs of before do not have."""


def miniature_measures(folder: Path, device: Device = "cpu") -> Measures:
    """What the miniature's own readers measure: valence and arousal, the subject, and a distance.

    A second reader of emotions reads, too, if the folder has one.

    Args:
        folder: A run's folder, or the shipped one.
        device: Where to run.

    Raises:
        DataError: The readers are missing.
    """
    emotion, content = find_readers(folder)
    read = read_by(load_va_reader(emotion, device=device))
    made_by = {
        "content": "the miniature's content reader: the share of pictures read as the prompt's subject",
        "LPIPS": "LPIPS's type of distance between what the miniature's reader sees, without LPIPS's learned weights: "
        "not to be compared with LPIPS",
    }
    each, distance = [*read.each, content_score(content, device)], reader_distance(emotion, device)
    measures = Measures(each, distance, read.made_by | made_by)
    second = next((folder / name for name in SECOND_FILES if (folder / name).is_file()), None)
    if second is None:
        return measures
    return checked_by(measures, load_va_reader(second, device=device), "one of another plan, seed and pictures")


def find_readers(folder: Path) -> tuple[Path, Path]:
    """The files of the emotion reader and the content reader of a run, or of the shipped folder.

    Raises:
        DataError: They are missing.
    """
    for names in FILES:
        emotion, content = (folder / name for name in names)
        if emotion.is_file() and content.is_file():
            return emotion, content
    raise DataError(
        f"{folder} holds no readers ({' or '.join(FILES[0])}): make them with "
        f"`python -m trainer.miniature train --out {folder} --stages pictures autoencoder readers`."
    )


def named_subject(prompt: str) -> str | None:
    """The subject that a caption of the miniature names; None where it names none."""
    words = [(len(word), name) for name, all_ in SUBJECT_WORDS.items() for word in all_ if word in prompt.lower()]
    return max(words)[1] if words else None  # the longest: "a house cat" is a cat


def content_score(path: Path, device: Device = "cpu") -> Measure:
    """Whether the picture is read as showing the subject that its prompt names: 1, 0, or NaN for none."""
    reader, fingerprint = _load(path, "content", device)

    @torch.no_grad()
    def run(pictures: list[Pixels], prompts: list[str]) -> np.ndarray:
        scores = torch.cat([split_scores(reader(batch))[0] for batch in same_sizes(pictures, device)])
        found = [SUBJECTS[number] for number in scores.argmax(1).tolist()]
        wanted = map(named_subject, prompts)
        right = [np.nan if name is None else float(name == got) for name, got in zip(wanted, found, strict=True)]
        return np.array(right)[:, None]

    return Measure(f"content {fingerprint}", ("content",), run, reads_prompt=True)


def reader_distance(path: Path, device: Device = "cpu") -> Distance:
    """The distance of LPIPS's type between what the emotion reader sees."""
    reader, fingerprint = _load(path, "emotion", device)

    @torch.no_grad()
    def run(first: list[Pixels], second: list[Pixels]) -> np.ndarray:
        return paired_batches(first, second, device, lambda a, b: distance(reader, a, b))

    return Distance(f"distance {fingerprint}", run)


def _load(path: Path, kind: str, device: Device):
    try:
        reader, config = load_reader(path)
    except (FileNotFoundError, ValueError) as error:
        raise DataError(str(error)) from error
    if config.get("kind") != kind:
        raise DataError(f"{path} reads {config.get('kind')}, expected the {kind} reader.")
    return reader.to(device), MiniatureReader(reader, device).fingerprint
