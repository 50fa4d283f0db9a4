"""Settings as dataclasses: one description of a field is its default, its option and its help."""

import argparse
import dataclasses
from typing import TypeVar

T = TypeVar("T")


def setting(default, group: str, text: str, choices: tuple = ()):
    """A dataclass field that becomes an option.

    Args:
        default: Of the option; its type is how the option is read.
        group: The heading that help lists it under.
        text: Its help; the default is added.
        choices: Allowed values of a text.
    """
    return dataclasses.field(default=default, metadata={"group": group, "help": text, "choices": choices})


def flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def add_settings(parser: argparse.ArgumentParser, cls: type) -> None:
    """Adds an option for every field of a dataclass made with `setting`.

    Numbers stay text until `read_settings`, so that everything wrong with a command line is told at once.
    """
    groups = {}
    for f in dataclasses.fields(cls):
        name = f.metadata["group"]
        group = groups[name] = groups.get(name) or parser.add_argument_group(name)
        options = {"default": f.default, "help": f"{f.metadata['help']} (default: {f.default})"}
        if f.type is bool:
            group.add_argument(flag(f.name), action=argparse.BooleanOptionalAction, **options)
        else:
            choices = f.metadata["choices"]
            metavar = "{" + ",".join(choices) + "}" if choices else f.name.upper()
            group.add_argument(flag(f.name), metavar=metavar, **options)


def read_settings(cls: type[T], options: argparse.Namespace) -> tuple[T, list[str]]:
    """The dataclass of parsed options.

    Returns:
        The settings, and what could not be read as a number (the default stands in for it).
    """
    values, unread = {}, []
    for f in dataclasses.fields(cls):
        value = getattr(options, f.name)
        try:
            values[f.name] = value if f.type is bool else f.type(value)
        except ValueError:
            wanted = "a whole number" if f.type is int else "a number"
            unread.append(f"{flag(f.name)} is {value!r}: expected {wanted}")
            values[f.name] = f.default
    return cls(**values), unread
