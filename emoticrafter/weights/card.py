"""The model card of an emotion network, in the form that model hubs read: a YAML header, then Markdown.

Every file of ours holds its own, and the trainer writes it beside the file as README.md.
"""

from collections.abc import Iterator
from dataclasses import asdict

from ..card_header import header
from ..field import FieldConfig
from ..network import NetworkConfig
from ..quoting import shown

TAGS = ("emotion", "valence-arousal", "comfyui", "text-to-image")
LONGEST, MOST_LINES, MOST_STAGES = 200, 40, 8
"""Characters of a value, lines of a list, stages after the first: a file may claim anything of its training."""
OF_A_STAGE = (
    *("teacher", "model", "pictures", "steps", "batch", "lr", "snr_limit", "guidance", "contrary_share"),
    *("residual_scale", "seed"),
)


def model_card(config: NetworkConfig | FieldConfig, encoder: str, training: dict, measured: str = "") -> str:
    """The card of a network or a field.

    Args:
        config: Its sizes.
        encoder: The family of text encoders that it was fitted to; "" if that is not recorded.
        training: How it was fitted, as in the file's metadata; whatever is missing there is said to be.
        measured: A section on what was measured of it, as Markdown.
    """
    kind = "emotion field" if isinstance(config, FieldConfig) else "emotion network"
    data = _object(training, "data")
    name = str(_object(data, "encoder").get("name", ""))
    of = (
        " and ".join(f"*{shown(one)}*" for one in dict.fromkeys((encoder, name)) if one) or "text encoders not recorded"
    )
    parts = [
        header({"library_name": "emoticrafter", "pipeline_tag": "text-to-image", "tags": TAGS}, _licences(data)),
        f"# An {kind}",
        "It moves the text features of a text-to-image model by valence (-3, misery, to +3, joy) and arousal (-3, "
        f"sleepy, to +3, alarmed or elated). It was fitted to the features of {of}, and fits no others.",
        "## Data\n\n" + _listed(data, ("pairs", "sources", "licences", "fingerprint")),
        "## Training\n\n" + _listed(training, ("method", "loss", "scale", "steps", "samples", "seed", "torch")),
        *_stages(training),
        "## Validation\n\n" + _listed(_object(training, "validation")),
        measured,
        "## Limits\n\nA low validation loss is no control over pictures: `python -m trainer.report` says whether it "
        "beats a network that knows nothing of the emotion, and `python -m trainer.evaluate` measures pictures. "
        "Valence and arousal mean what the data's people or captions meant by them.",
        "## Sizes\n\n" + _listed(asdict(config)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _stages(training: dict) -> Iterator[str]:
    """A section for each stage in which the network learned through a model."""
    stages = training.get("stages")
    found = [one for one in stages if isinstance(one, dict)] if isinstance(stages, list) else []
    for number, stage in enumerate(found[:MOST_STAGES], start=2):
        told = {**_object(stage, "settings"), **stage, "model": _object(stage, "model").get("name", "not recorded")}
        yield f"## Training, stage {number}\n\n" + _listed(told, OF_A_STAGE)


def _licences(data: dict) -> list[str]:
    return [str(one) for one in _object(data, "licences").values()]


def _object(values: dict, key: str) -> dict:
    found = values.get(key)
    return found if isinstance(found, dict) else {}


def _listed(values: dict, keys: tuple[str, ...] | None = None) -> str:
    chosen = {key: values[key] for key in keys or values if key in values}
    lines = list(_lines(chosen))
    more = [f"- and {len(lines) - MOST_LINES:,} more"] if len(lines) > MOST_LINES else []
    return "\n".join([*lines[:MOST_LINES], *more]) or "Not recorded."


def _lines(values: dict, before: str = "") -> Iterator[str]:
    for key, value in values.items():
        name = f"{before}{shown(str(key)).replace('_', ' ')}"
        if isinstance(value, dict) and not before:
            yield from _lines(value, f"{name}, ")
        else:
            told = f"{value:.6g}" if isinstance(value, float) else shown(str(value), LONGEST)
            yield f"- {name}: {told}"
