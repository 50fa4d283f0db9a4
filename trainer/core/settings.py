"""Commands as dataclasses: a field is an option, and says its default, its type and its help once."""

import argparse
import dataclasses
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from emoticrafter.command_line import CommandLine, told
from emoticrafter.typed import read_number, read_numbers, read_whole, read_wholes, read_words

T = TypeVar("T")
NUMBERS = {int: read_whole, float: read_number}
LISTS = {int: read_wholes, float: read_numbers, str: read_words}
"""Types of what a list holds -> the reader of one argument, which may hold several: "0 1" and "0,1"."""
OURS = ("group", "flag", "positional", "exclusive", "allowed")
"""What argparse does not take of a field's description."""


def option(text: str = "", default: Any = dataclasses.MISSING, group: str = "", **how):
    """A dataclass field that becomes an option of a command, of the field's type.

    Args:
        text: Its help; "%(default)s" in it stands for the default.
        default: Without one, the option is required.
        group: The heading that help lists it under.
        how: What argparse's `add_argument` takes besides; `flag`, where it is not the field's name; `positional`; and
            `exclusive`, for options of which exactly one is given.
    """
    metadata = {"help": text, "group": group, **how}
    if isinstance(default, list):
        return dataclasses.field(default_factory=default.copy, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def setting(default: Any, group: str, text: str, choices: tuple = ()):
    """An option that keeps what it cannot read, so that `numbers_of` and the settings' own check tell all at once.

    Its help ends with its default; a bool can be switched off with --no-.
    """
    if isinstance(default, bool):
        how = {"action": argparse.BooleanOptionalAction}
    else:
        how = {"type": _or_text(type(default)), "metavar": "{" + ",".join(choices) + "}" if choices else None}
    return option(f"{text} (default: {default})", default, group, allowed=choices, **how)


def _or_text(kind: type) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        try:
            return NUMBERS.get(kind, kind)(text)
        except ValueError:
            return text

    return read


def flag(name: str) -> str:
    return "--" + name.replace("_", "-")


# ---- adding options to a parser --------------------------------------------------------------------


def add_options(parser: argparse.ArgumentParser, cls: type) -> None:
    """Adds an option for every field made with `option`, and those of fields that are such dataclasses themselves."""
    groups = {"": parser}
    for f, kind in _options_of(cls):
        title = f.metadata.get("group", "")
        if dataclasses.is_dataclass(kind):
            add_options(parser.add_argument_group(title, f.metadata["help"]) if title else parser, kind)
            continue
        if title not in groups:
            groups[title] = parser.add_argument_group(title)
        if "exclusive" in f.metadata:
            title = "exclusive"
            groups[title] = groups.get(title) or parser.add_mutually_exclusive_group(required=True)
        _add(groups[title].add_argument, f, kind)


def _options_of(cls: type) -> list[tuple[dataclasses.Field, Any]]:
    kinds = get_type_hints(cls)
    described = [(f, kinds[f.name]) for f in dataclasses.fields(cls)]
    return [(f, kind) for f, kind in described if "help" in f.metadata or dataclasses.is_dataclass(kind)]


def _add(add, f: dataclasses.Field, kind: Any) -> None:
    how = _reading(kind) | {name: value for name, value in f.metadata.items() if name not in OURS}
    if "positional" in f.metadata:
        add(f.name, **how)
    elif f.default is f.default_factory:  # both are missing
        add(f.metadata.get("flag", flag(f.name)), dest=f.name, required=True, **how)
    else:
        default = f.default if f.default_factory is dataclasses.MISSING else f.default_factory()
        add(f.metadata.get("flag", flag(f.name)), dest=f.name, default=default, **how)


class _Flat(argparse.Action):
    """Keeps all arguments' items as one list."""

    def __call__(self, parser, namespace, values, option_string=None):
        items = [value if isinstance(value, list) else [value] for value in values]
        setattr(namespace, self.dest, [item for part in items for item in part])


def _reading(kind: Any) -> dict[str, Any]:
    """How argparse reads a bool, a sequence or X; of a union, such as "X | None", the first."""
    if get_origin(kind) is types.UnionType:
        kind = get_args(kind)[0]
    if kind is bool:
        return {"action": "store_true"}
    if get_origin(kind) in (list, Sequence):
        read = LISTS.get(get_args(kind)[0], get_args(kind)[0])
        return {"nargs": "+", "type": told(read) if read in LISTS.values() else read, "action": _Flat}
    return {"type": told(NUMBERS[kind]) if kind in NUMBERS else kind}


# ---- reading a command line ------------------------------------------------------------------------


def parser_of(name: str, text: str) -> CommandLine:
    """A parser of `python -m <name>` whose help says `text` as it stands."""
    raw = argparse.RawDescriptionHelpFormatter
    return CommandLine(f"python -m {name}", description=text, formatter_class=raw)


def read_command(name: str, text: str, cls: type[T], arguments: Sequence[str] | None) -> T:
    """The dataclass of a command line."""
    parser = parser_of(name, text)
    add_options(parser, cls)
    return read_options(cls, parser.parse_args(arguments))


def read_commands(
    name: str, text: str, commands: Mapping[str, type], arguments: Sequence[str] | None, kind: str = "command"
) -> Any:
    """The dataclass of the subcommand that a command line names; their docstrings tell what they do.

    Args:
        name: Of the command.
        text: Its help.
        commands: Name of a subcommand -> its dataclass.
        arguments: The command line; None for the process's own.
        kind: What help calls a subcommand.
    """
    parser = parser_of(name, text)
    subcommands = parser.add_subparsers(required=True, metavar=kind)
    for word, cls in commands.items():
        command = subcommands.add_parser(word, help=summary(cls), description=summary(cls))
        add_options(command, cls)
        command.set_defaults(command=cls)
    options = parser.parse_args(arguments)
    return read_options(options.command, options)


def summary(cls: type) -> str:
    """The first line of a docstring, as help has it: "Build the page." is "build the page"."""
    first = cls.__doc__.partition("\n")[0].rstrip(".")
    return first[0].lower() + first[1:]


def read_options(cls: type[T], options: argparse.Namespace) -> T:
    """The dataclass of parsed options; a field that is not an option keeps its default."""
    return cls(
        **{
            f.name: read_options(kind, options) if dataclasses.is_dataclass(kind) else getattr(options, f.name)
            for f, kind in _options_of(cls)
        }
    )


def numbers_of(settings: T) -> tuple[T, list[str]]:
    """Settings with the default for whatever could not be read as a number, and what was wrong with it."""
    unread = [
        f for f in dataclasses.fields(settings) if f.type in NUMBERS and isinstance(getattr(settings, f.name), str)
    ]
    problems = []
    for f in unread:
        try:
            NUMBERS[f.type](getattr(settings, f.name))
        except ValueError as error:
            problems.append(f"{flag(f.name)}: {error}")
    return dataclasses.replace(settings, **{f.name: f.default for f in unread}), problems


# ---- types of options: each reads a text or says what it expected ----------------------------------


@told
def count(text: str) -> int:
    value = read_whole(text)
    if value < 1:
        raise ValueError(f"expected at least 1, got {text}")
    return value


@told
def seed(text: str) -> int:
    value = read_whole(text)
    if value < 0:
        raise ValueError(f"expected 0 or a positive integer, got {text}")
    return value


@told
def share(text: str) -> float:
    value = read_number(text)
    if not 0 <= value < 1:
        raise ValueError(f"expected a share from 0 to below 1, got {text}")
    return value
