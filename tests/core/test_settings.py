"""Commands as dataclasses: how fields of each type are read."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

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


def test_numbers_and_lists_are_read_as_people_write_them(capsys):
    @dataclass(frozen=True)
    class Numbers:
        """Read them."""

        seeds: list[int] = option("of noise", [0])
        names: list[str] = option("of stages", [])
        files: list[str] = option("as they are", [], type=str)
        share: float = option("a part", 0.0)

    def read(*words):
        return read_commands("trainer.test", "", {"read": Numbers}, ["read", *words])

    assert read("--seeds", "-1", "２,3", "--share", "−0,5") == Numbers([-1, 2, 3], share=-0.5)
    assert read("--names", "a，b", "c", "--files", "x,y=1", "-z") == Numbers(
        names=["a", "b", "c"], files=["x,y=1", "-z"]
    )
    assert read("--share", "-.5", "--seeds", "0;1") == Numbers([0, 1], share=-0.5)
    for wrong, why in (
        ("--share=1,500", "the comma may separate thousands or decimals"),
        ("--share=inf", "expected a finite number such as -1.5, got 'inf'"),
        ("--seeds=1,000", "a comma may separate numbers or thousands"),
        ("--seeds=1.5", "expected a whole number such as 12, got '1.5'"),
    ):
        with pytest.raises(SystemExit):
            read(wrong)
        assert why in capsys.readouterr().err
