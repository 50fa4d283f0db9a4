"""The YAML header of a model card or a data card, in the form that model hubs read."""

import json

LICENCES = {"Apache-2.0": "apache-2.0", "CC BY-NC-SA 4.0": "cc-by-nc-sa-4.0"}
"""As data names them, and as hubs do."""


def header(values: dict, licences: list[str]) -> str:
    """A card's YAML header; every value is a JSON literal, which is YAML, too.

    Args:
        values: Texts, numbers and lists by key.
        licences: As the data names them; one that all share and hubs know is the card's.
    """
    known = {next((hub for ours, hub in LICENCES.items() if one.startswith(ours)), "other") for one in licences}
    values = {"license": known.pop() if len(known) == 1 else "other", **values}
    return "\n".join(["---", *(f"{key}: {json.dumps(value)}" for key, value in values.items()), "---"])
