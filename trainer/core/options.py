"""Types of command-line options: each reads a text or says what it expected."""

from argparse import ArgumentTypeError


def count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ArgumentTypeError(f"expected at least 1, got {text}")
    return value


def seed(text: str) -> int:
    value = int(text)
    if value < 0:
        raise ArgumentTypeError(f"expected 0 or a positive integer, got {text}")
    return value


def share(text: str) -> float:
    value = float(text)
    if not 0 <= value < 1:
        raise ArgumentTypeError(f"expected a share from 0 to below 1, got {text}")
    return value
