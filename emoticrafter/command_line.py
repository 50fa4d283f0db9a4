"""Command lines whose values may begin with a minus, and types of options that say what they expected."""

import argparse
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class CommandLine(argparse.ArgumentParser):
    """A parser that takes values with a minus, such as --scale -3..3.

    What begins with a single minus is a value unless it is an option of the command: all but -h begin with two.
    """

    def _parse_optional(self, arg_string: str):
        if arg_string.startswith("-") and arg_string[:2] != "--" and arg_string not in self._option_string_actions:
            return None
        return super()._parse_optional(arg_string)


def told(read: Callable[[str], T]) -> Callable[[str], T]:
    """A type of an option whose ValueErrors are told to the user."""

    def reading(text: str) -> T:
        try:
            return read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return reading
