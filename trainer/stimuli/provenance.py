"""Where the pictures of a folder come from: stimuli.json beside the manifest, written when they are drawn."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from trainer.core.rows import DataError, read_text, replacing

NAME = "stimuli.json"
UNKNOWN = "not recorded"


@dataclass(frozen=True)
class Provenance:
    """What drew the pictures.

    Attributes:
        model: Name or fingerprint of the model, or of the workflow that names it.
        network: File and fingerprint of the emotion network; "none" without one.
        settings: Everything else that the pictures depend on.
        licence: Of the pictures, in the words of who drew them.
    """

    model: str = UNKNOWN
    network: str = UNKNOWN
    settings: str = UNKNOWN
    licence: str = "not stated"


def provenance_of(settings: dict, network: Path | str | None, licence: str) -> Provenance:
    """Provenance from a painter's own account of itself (`PainterSettings.as_json`)."""
    left = {name: value for name, value in settings.items() if name not in ("model", "network")}
    model = settings.get("model") or f"workflow {settings.get('workflow', UNKNOWN)}"
    name = Path(network).name if network else ""
    used = " ".join(part for part in (name, settings.get("network") or "") if part) or "none"
    return Provenance(f"{settings['painter']} {model}", used, json.dumps(left, ensure_ascii=False), licence)


def keep_provenance(folder: Path, found: Provenance) -> None:
    with replacing(folder / NAME) as stream:
        json.dump(asdict(found), stream, ensure_ascii=False, indent=1)


def read_provenance(folder: Path) -> Provenance:
    """What the folder's file says; of pictures that another command drew, that it is not recorded.

    Raises:
        DataError: The file is damaged.
    """
    path = folder / NAME
    if not path.is_file():
        return Provenance()
    try:
        values = json.loads(read_text(path))
        if not all(isinstance(value, str) for value in values.values()):
            raise TypeError("a value that is not text")
        return Provenance(**values)
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(
            f"{path} does not say where the pictures come from: expected what `python -m trainer.stimuli make` "
            "wrote. Run it again, or remove the file to measure without provenance."
        ) from error
