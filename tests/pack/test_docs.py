"""Documents and docstrings hold what they say: commands exist, links and named files resolve, nodes have pages."""

import argparse
import ast
import json
import os
import re
import runpy
import shlex
import sys
from pathlib import Path

import pytest
import torch

from emoticrafter import EmotionNetwork, NetworkConfig, save_network

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("web/docs/*.md")])
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
PROJECT = (ROOT / "pyproject.toml").read_text("utf-8")  # read by pattern: Python 3.10 has no tomllib
OTHER_PROGRAMS = {"cd", "cp", "mv", "export", "git", "tensorboard"}


def blocks(path: Path, language: str) -> list[str]:
    return [body for kind, body in FENCE.findall(path.read_text("utf-8")) if kind == language]


def printed(path: Path) -> list[str]:
    """The commands in a document's shell blocks, to be run as they stand."""
    text = "\n".join(blocks(path, "bash")).replace("\\\n", " ")
    lines = [line.split(" #")[0].strip() for line in text.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def commands(path: Path) -> list[str]:
    """The printed ones, and those that stand in the running text, which may leave something out."""
    prose = FENCE.sub("", path.read_text("utf-8"))
    inline = re.findall(r"`((?:(?:\.venv/bin/)?python(?: -m)?|make|bash) [^`]+)`", prose)
    return [*printed(path), *inline]


def note_commands() -> list[str]:
    """The commands in the workflows' notes."""
    texts = [
        node["widgets_values"][0]
        for path in (ROOT / "workflows").glob("*.json")
        for node in json.loads(path.read_text("utf-8"))["nodes"]
        if node["type"] == "MarkdownNote"
    ]
    return [line for text in texts for line in text.splitlines() if line.startswith("python ")]


def docstring_commands() -> list[str]:
    """The commands in the modules' docstrings, which --help shows."""
    paths = [
        path for name in ("emoticrafter", "trainer", "benchmarks") for path in (ROOT / name).rglob("*.py")
    ]
    texts = [ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "" for path in paths]
    lines = [line.split(" #")[0].strip() for text in texts for line in text.replace("\\\n", " ").splitlines()]
    return [line for line in lines if re.match(r"(\S*python|torchrun) (\S+ )*-m \w+\.", line)]


ELSEWHERE = {*note_commands(), *docstring_commands()}
ALL_COMMANDS = sorted({command for path in DOCUMENTS for command in commands(path)} | ELSEWHERE)
PYTHON_COMMANDS = sorted(
    command
    for command in {line for path in DOCUMENTS for line in printed(path)} | ELSEWHERE
    if re.match(r"(\w+=\S+ )*\S*python -m (emoticrafter|trainer|benchmarks)\.", command)
    and "--help" not in command
)


@pytest.mark.filterwarnings("ignore:.*found in sys.modules:RuntimeWarning")  # other tests import it too
@pytest.mark.parametrize("command", ALL_COMMANDS)
def test_a_command_exists_with_its_options(command, monkeypatch, capsys):
    words = [word for word in shlex.split(command) if not re.fullmatch(r"[A-Z_]+=.*", word)]
    program, arguments = Path(words[0]).name, words[1:]
    if program == "make":
        assert re.search(rf"^{arguments[0]}\s*:", (ROOT / "Makefile").read_text(), re.MULTILINE)
    elif program == "pip":
        check_install(arguments)
    elif program == "bash":
        assert (ROOT / arguments[0]).is_file()
    elif program.endswith(".sh"):
        assert os.access(ROOT / words[0], os.X_OK), f"{words[0]} cannot be run"
    elif program == "ruff":
        assert arguments[0] in ("check", "format")
    elif program in ("python", "torchrun"):
        check_python(arguments, monkeypatch, capsys)
    else:
        assert program in OTHER_PROGRAMS


def check_install(arguments: list[str]) -> None:
    """Installing this project: the extras that are named exist."""
    assert arguments[:2] == ["install", "-e"]
    [extras] = re.findall(r"^\.\[(.*)\]$", arguments[2])
    for extra in extras.split(","):
        assert re.search(
            rf"^{extra} = \[", PROJECT.partition("[project.optional-dependencies]")[2], re.MULTILINE
        )


def check_python(arguments: list[str], monkeypatch, capsys) -> None:
    """A module or script of this project: its help tells of every option in use."""
    while arguments[0].startswith("--"):  # torchrun's own, each with its value
        arguments = arguments[1:] if "=" in arguments[0] else arguments[2:]
    if arguments[:2] == ["-m", "pytest"]:
        assert all((ROOT / path).exists() for path in arguments[2:] if not path.startswith("-"))
        return
    name, rest = (arguments[1], arguments[2:]) if arguments[0] == "-m" else (arguments[0], arguments[1:])
    subcommand = rest[:1] if rest and not rest[0].startswith("-") else []
    text = help_of(name, subcommand, monkeypatch, capsys)
    for option in (word.split("=")[0] for word in rest if re.match(r"--?[a-z]", word)):  # -2 is a value
        assert re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", text), f"{name} has no {option}"


def run(name: str, arguments: list[str], monkeypatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    if name.endswith(".py"):
        runpy.run_path(name, run_name="__main__")
    else:
        runpy.run_module(name, run_name="__main__", alter_sys=True)


def help_of(name: str, subcommand: list[str], monkeypatch, capsys) -> str:
    with pytest.raises(SystemExit) as end:
        run(name, [*subcommand, "--help"], monkeypatch)
    assert not end.value.code, f"{name} {' '.join(subcommand)} --help failed: {capsys.readouterr().err}"
    return capsys.readouterr().out


class Parsed(BaseException):
    """A command has understood its arguments; it is ended there."""


@pytest.mark.filterwarnings("ignore:.*found in sys.modules:RuntimeWarning")
@pytest.mark.parametrize("command", PYTHON_COMMANDS)
def test_a_command_takes_its_arguments(command, monkeypatch, capsys):
    """Nothing that is required is left out, and every value is one that its option takes."""
    whole = argparse.ArgumentParser.parse_args

    def parse_and_end(self, *arguments):
        whole(self, *arguments)
        raise Parsed

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_and_end)
    words = [word for word in shlex.split(command) if not re.fullmatch(r"[A-Z_]+=.*", word)][1:]
    name, rest = (words[1], words[2:]) if words[0] == "-m" else (words[0], words[1:])
    try:
        run(name, rest, monkeypatch)
    except Parsed:
        return
    except SystemExit as end:
        pytest.fail(f"ended with {end.code}: {capsys.readouterr().err}")
    pytest.fail("the command did not read its arguments")


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_resolve(path):
    prose = FENCE.sub("", path.read_text("utf-8"))
    targets = re.findall(r"\]\(([^)\s]+)\)", prose) + re.findall(r'<img[^>]* src="([^"]+)"', prose)
    for target in targets:
        if not target.startswith(("http://", "https://", "mailto:")):
            file, _, anchor = target.partition("#")
            linked = (path.parent / file).resolve() if file else path
            assert linked.exists(), target
            assert not anchor or anchor in anchors(linked), target


def anchors(path: Path) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", path.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_named_files_exist(path):
    """Inline code that starts with a folder of this project names something that is there."""
    prose = FENCE.sub("", path.read_text("utf-8"))
    folders = "emoticrafter|nodes|trainer|workflows|web|tests|benchmarks|scripts|docs"
    for name in re.findall(rf"`((?:{folders})/[\w./-]*)`", prose):
        assert (ROOT / name).exists(), name


def test_pictures_of_documents_are_small():
    for picture in (ROOT / "docs").rglob("*"):
        if picture.suffix in (".png", ".jpg", ".gif", ".webp"):
            assert picture.stat().st_size < 400_000, picture.name


def test_the_documents_name_every_message_as_the_code_words_it():
    """The left columns of the troubleshooting tables quote errors; each piece of a quote is in the code."""
    tables = "".join((ROOT / name).read_text("utf-8") for name in ("README.md", "docs/troubleshooting.md"))
    quotes = re.findall(r"^\| `([^`]*…[^`]*)` \|", tables, re.MULTILINE)
    sources = [*(ROOT / "nodes").rglob("*.py"), *(ROOT / "emoticrafter").rglob("*.py")]
    code = re.sub(r'"\s*\n\s*f?"', "", "\n".join(path.read_text("utf-8") for path in sources))
    code = re.sub(r"\{[^}]*\}", " ", code)
    assert len(quotes) >= 6
    for quote in quotes:
        words = re.sub(r"\b768\b|\b77\b|\(.*?\)", "…", quote)
        pieces = [piece.strip() for piece in words.split("…") if piece.strip()]
        assert pieces and all(piece in re.sub(r"\s+", " ", code) for piece in pieces), quote


def test_the_example_in_python_runs(tmp_path, monkeypatch):
    [example] = blocks(ROOT / "docs" / "training.md", "python")
    [file] = re.findall(r'"(models/.*?)"', example)
    script, weights = tmp_path / "example.py", tmp_path / file
    weights.parent.mkdir(parents=True)
    script.write_text(example)
    save_network(EmotionNetwork(NetworkConfig(width=64, depth=1)), weights)
    monkeypatch.chdir(tmp_path)
    features = torch.randn(2, 77, 2048)
    emotional = runpy.run_path(str(script), {"features": features})["emotional"]
    assert emotional.shape == features.shape
    assert not torch.equal(emotional, features)


def test_every_node_has_a_help_page():
    code = "\n".join(path.read_text("utf-8") for path in (ROOT / "nodes").glob("*.py"))
    node_ids = re.findall(r'node_id="(EmotiCrafter\w+)"', code)
    assert len(node_ids) >= 4
    pages = {path.stem for path in (ROOT / "web" / "docs").glob("*.md")}
    assert set(node_ids) == pages


def test_every_help_page_shows_small_pictures_and_none_is_left_over():
    pages = {path: path.read_text("utf-8") for path in (ROOT / "web" / "docs").glob("*.md")}
    shown = {path: re.findall(r"!\[[^\]]+\]\((images/[\w.]+)\)", text) for path, text in pages.items()}
    assert [path.name for path, names in shown.items() if not names] == []
    for path, names in shown.items():
        assert all((path.parent / name).is_file() for name in names), path.name
    pictures = list((ROOT / "web" / "docs" / "images").iterdir())
    guide = (ROOT / "docs" / "guide.md").read_text("utf-8")
    assert all(f"/{one.name})" in guide + "".join(pages.values()) for one in pictures)
    sizes = [one.stat().st_size for one in pictures]
    assert max(sizes) < 100_000
    assert sum(sizes) < 1_500_000


def test_the_project_speaks_of_one_version():
    [name] = re.findall(r'^name = "(.*)"', PROJECT, re.MULTILINE)
    [version] = re.findall(r'^version = "(.*)"', PROJECT, re.MULTILINE)
    changes = (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert "## Unreleased" in changes or f"## {version}" in changes
    for path in (ROOT / "workflows").glob("*.json"):
        for node in json.loads(path.read_text("utf-8"))["nodes"]:
            if node["properties"].get("cnr_id") == name:
                assert numbers(node["properties"]["ver"]) <= numbers(version)


def numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]
