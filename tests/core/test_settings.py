"""Commands as dataclasses: how fields of each type are read."""

from dataclasses import dataclass, field
from pathlib import Path

from trainer.core.settings import option, read_commands


@dataclass(frozen=True)
class Inner:
    size: int = option("pixels", 3)
    fixed: str = "not an option"


@dataclass(frozen=True)
class Draw:
    """Draw it."""

    files: list[Path] = option("to draw", positional=True)
    names: list[str] | None = option("of these", None)
    more: list[str] = option("and these", [])
    limit: float | None = option("at most", None, flag="--most")
    fast: bool = option("quickly", False)
    inner: Inner = field(default_factory=Inner)


def test_fields_are_read_as_their_types():
    def read(*words):
        return read_commands("trainer.test", "", {"draw": Draw}, ["draw", *words])

    assert read("a") == Draw([Path("a")])
    given = read("a", "b", "--names", "x", "y", "--most", "2", "--fast", "--size", "5", "--more", "z")
    assert given == Draw([Path("a"), Path("b")], ["x", "y"], ["z"], 2.0, True, Inner(5))
