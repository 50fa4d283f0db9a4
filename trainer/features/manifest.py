"""The manifest of a folder of features: what they were made from and with, and which shards are whole."""

import json
from dataclasses import dataclass
from pathlib import Path

from emoticrafter.files import regular, write_text
from emoticrafter.quoting import quoted, shown
from trainer.features.tokenizer import TOKENS

DTYPES = ("float16", "bfloat16")
FORMAT = "emoticrafter-features"
VERSION, WITH_FACTS = 1, 2
"""SDXL's, 77 tokens a prompt; and those of any encoder, with what is known of it."""
_SAME = {"encoder": "text encoders", "data": "data", "dtype": "dtype", "width": "width", "shard_prompts": "shard size"}
"""Entries that must be the same for a run to go on, by the names that a refusal gives them."""


@dataclass(frozen=True)
class Facts:
    """What is known of an encoder before statistics; see `emoticrafter.fit.instant.Encoder`."""

    family: str
    head: int
    tail: int
    window: int | None
    padded: bool


_TEXTS, _COUNTS = ("encoder", "encoder_name", "data"), ("width", "pairs", "prompts", "shard_prompts")


def shard_name(shard: int) -> str:
    return f"features-{shard:05d}.safetensors"


def write_manifest(folder: Path, manifest: dict) -> None:
    write_text(folder / "manifest.json", json.dumps(manifest, indent=1))


def check_same(folder: Path, found: dict, wanted: dict) -> None:
    """Refuses the features of another run: found is its manifest, wanted that of this one.

    Raises:
        ValueError: They differ in what they were made from or with; the text names it.
    """
    if other := [key for key in _SAME if found[key] != wanted[key]]:
        raise ValueError(
            f"The features in {folder} were made with other {_and([_SAME[key] for key in other])}: "
            + "; ".join(f"{_SAME[key]} {short(found, key)} there, {short(wanted, key)} here" for key in other)
            + f". Give what they were made with to go on, another folder to keep both, or delete {folder} to "
            "make them anew."
        )


def _and(words: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def short(manifest: dict, key: str) -> str:
    """An entry as a message shows it."""
    value = str(manifest[key])[:12]
    return f"{manifest['encoder_name']} ({value})" if key == "encoder" else value


def read_manifest(folder: Path) -> dict:
    """Reads a folder's manifest.

    Raises:
        ValueError: It is damaged, or of another format.
    """
    path = folder / "manifest.json"
    try:
        manifest = json.loads(regular(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise damaged(path, shown(str(error))) from error
    if not isinstance(manifest, dict):
        raise damaged(path, f"expected an object, got {quoted(manifest)}")
    if manifest.get("format") != FORMAT or manifest.get("version") not in (VERSION, WITH_FACTS):
        got = f"{quoted(manifest.get('format'))} version {quoted(manifest.get('version'))}"
        raise ValueError(
            f"{path} is not a manifest of {FORMAT} version {VERSION} or {WITH_FACTS}: got {got}. Delete {folder} and "
            "make them anew."
        )
    if wrong := _wrong_in(manifest):
        raise damaged(path, wrong)
    return manifest


def damaged(path: Path, why: str) -> ValueError:
    """The error for a file of the folder that is not as it was written."""
    return ValueError(
        f"{path} is damaged: {why}. Delete {path.parent} and run python -m trainer.prepare to make the features anew."
    )


def _wrong_in(manifest: dict) -> str:
    """Says what is wrong with a manifest; "" if nothing is."""
    facts = manifest["version"] == WITH_FACTS
    for keys, fits, wanted in (
        (_TEXTS, lambda value: isinstance(value, str), "a text"),
        (_COUNTS, lambda value: type(value) is int and value > 0, "a whole number from 1"),
        (["dtype"], lambda value: value in DTYPES, f"one of {', '.join(DTYPES)}"),
        (["tokens"], lambda value: value == TOKENS or (facts and _is_length(value)), str(TOKENS)),
        (["facts"], lambda value: not facts or _are_facts(value), "what is known of the encoder"),
        (["shards"], lambda value: isinstance(value, dict), "an object"),
    ):
        for key in keys:
            if not fits(manifest.get(key)):
                return f"{key} should be {wanted}, got {str(manifest.get(key))[:40]}"
    names = (name for name, entry in manifest["shards"].items() if not _is_entry(manifest, name, entry))
    return next((f"its entry for {name[:40]} is malformed" for name in names), "")


def _is_length(value) -> bool:
    """T of all prompts, or None, where each has its own."""
    return value is None or (type(value) is int and value > 0)


def _are_facts(value) -> bool:
    kinds = {"family": str, "head": int, "tail": int, "padded": bool}
    return (
        isinstance(value, dict)
        and value.keys() == {*kinds, "window"}
        and all(type(value[name]) is kind for name, kind in kinds.items())
        and min(value["head"], value["tail"]) >= 0
        and value["window"] in (None, TOKENS)
    )


def _is_entry(manifest: dict, name: str, entry) -> bool:
    number = name.removeprefix("features-").removesuffix(".safetensors")
    if not (number.isdecimal() and len(number) < 10 and name == shard_name(int(number))):
        return False
    prompts = min(manifest["shard_prompts"], manifest["prompts"] - int(number) * manifest["shard_prompts"])
    return (
        isinstance(entry, dict)
        and entry.get("prompts") == prompts > 0
        and all(type(entry.get(key)) is int and entry[key] >= 0 for key in ("bytes", "longer"))
        and isinstance(entry.get("crc32"), str)
        and (manifest["tokens"] is not None or _are_lengths(entry.get("tokens"), prompts))
    )


def _are_lengths(value, prompts: int) -> bool:
    return isinstance(value, list) and len(value) == prompts and all(type(n) is int and n > 0 for n in value)
