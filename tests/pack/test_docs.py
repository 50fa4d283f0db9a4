"""What documents, help pages and docstrings tell people to do can be done: commands, links, files, the example."""

import argparse
import ast
import contextlib
import functools
import io
import itertools
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
from emoticrafter.emotions import EMOTIONS, RUSSELL
from emoticrafter.path import path_points, read_keyframes

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("web/docs/*.md")])
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
PROJECT = (ROOT / "pyproject.toml").read_text("utf-8")  # read by pattern: Python 3.10 has no tomllib
OTHER_PROGRAMS = {"cd", "cp", "mv", "export", "git", "tensorboard"}


def prose(path: Path) -> str:
    return FENCE.sub("", path.read_text("utf-8"))


def blocks(path: Path, language: str) -> list[str]:
    return [body for kind, body in FENCE.findall(path.read_text("utf-8")) if kind == language]


def lines(text: str) -> list[str]:
    """The lines of a shell, without comments, continued ones joined."""
    joined = text.replace("\\\n", " ").splitlines()
    return [line for line in (re.split(r"(?:^|\s)#", line)[0].strip() for line in joined) if line]


def printed_commands() -> set[str]:
    """Commands to be run as they stand: in shell blocks, in workflows' notes, and in docstrings, which --help shows."""
    notes = [
        node["widgets_values"][0]
        for path in (ROOT / "workflows").glob("*.json")
        for node in json.loads(path.read_text("utf-8"))["nodes"]
        if node["type"] == "MarkdownNote"
    ]
    modules = [path for name in ("emoticrafter", "trainer", "benchmarks") for path in (ROOT / name).rglob("*.py")]
    docstrings = [ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "" for path in modules]
    elsewhere = [line for text in (*notes, *docstrings) for line in lines(text)]
    return {
        *(line for path in DOCUMENTS for text in blocks(path, "bash") for line in lines(text)),
        *(line for line in elsewhere if re.match(r"(\S*python|torchrun) (\S+ )*-m \w+\.", line)),
    }


def mentioned_commands() -> set[str]:
    """Commands in the running text, which may leave something out."""
    pattern = r"`((?:(?:\.venv/bin/)?python(?: -m)?|make|bash) [^`]+)`"
    return {command for path in DOCUMENTS for command in re.findall(pattern, prose(path))}


# ---- commands --------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*found in sys.modules:RuntimeWarning")  # other tests import it too
def test_commands_exist_with_their_options(capsys):
    for command in sorted(printed_commands() | mentioned_commands()):
        try:
            check(command)
        except AssertionError as error:
            raise AssertionError(f"{command}: {error}") from error


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*found in sys.modules:RuntimeWarning")
def test_printed_commands_take_their_arguments(monkeypatch, capsys):
    """Nothing that is required is left out, and every value is one that its option takes."""
    whole = argparse.ArgumentParser.parse_args

    def parse_and_end(self, *arguments):
        whole(self, *arguments)
        raise Parsed

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_and_end)
    ours = r"\S*python -m (emoticrafter|trainer|benchmarks)\."
    for command in sorted(printed_commands()):
        if re.match(rf"(\w+=\S+ )*{ours}", command) and "--help" not in command:
            _, _, name, *rest = words_of(command)
            with pytest.raises(Parsed):
                run(name, rest)


class Parsed(BaseException):
    """A command has understood its arguments; it is ended there."""


def words_of(command: str) -> list[str]:
    return [word for word in shlex.split(command) if not re.fullmatch(r"[A-Z_]+=.*", word)]


def check(command: str) -> None:
    first, *arguments = words_of(command)
    program = Path(first).name
    if program == "make":
        assert re.search(rf"^{arguments[0]}\s*:", (ROOT / "Makefile").read_text(), re.MULTILINE)
    elif program == "pip":
        check_install(arguments)
    elif program == "bash":
        assert (ROOT / arguments[0]).is_file()
    elif program.endswith(".sh"):
        assert os.access(ROOT / first, os.X_OK), f"{first} cannot be run"
    elif program == "ruff":
        assert arguments[0] in ("check", "format")
    elif program in ("python", "torchrun"):
        check_python(arguments)
    else:
        assert program in OTHER_PROGRAMS


def check_install(arguments: list[str]) -> None:
    """Installing this project: the extras that are named exist."""
    assert arguments[:2] == ["install", "-e"]
    [extras] = re.findall(r"^\.\[(.*)\]$", arguments[2])
    known = PROJECT.partition("[project.optional-dependencies]")[2]
    for extra in extras.split(","):
        assert re.search(rf"^{extra} = \[", known, re.MULTILINE)


def check_python(arguments: list[str]) -> None:
    """A module or script of this project: its help tells of every option in use."""
    while arguments[0].startswith("--"):  # torchrun's own, each with its value
        arguments = arguments[1:] if "=" in arguments[0] else arguments[2:]
    if arguments[:2] == ["-m", "pytest"]:
        assert all((ROOT / path).exists() for path in arguments[2:] if not path.startswith("-"))
        return
    name, *rest = arguments[1:] if arguments[0] == "-m" else arguments
    words = itertools.takewhile(lambda word: not word.startswith("-"), rest)  # a command, and one of its own
    text = help_of(name, *itertools.islice(words, 2))
    for option in (word.partition("=")[0] for word in rest if re.match(r"--?[a-z]", word)):  # -2 is a value
        assert re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", text), f"{name} has no {option}"


@functools.cache
def help_of(name: str, *subcommand: str) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as out, pytest.raises(SystemExit) as end:
        run(name, [*subcommand, "--help"])
    assert not end.value.code
    return out.getvalue()


def run(name: str, arguments: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        patch.setattr(sys, "argv", [name, *arguments])
        if name.endswith(".py"):
            runpy.run_path(name, run_name="__main__")
        else:
            runpy.run_module(name, run_name="__main__", alter_sys=True)


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


def test_the_guides_keyframes_make_a_loop():
    [text] = [block for block in blocks(ROOT / "docs" / "guide.md", "") if block.startswith("0% ")]
    frames = path_points(read_keyframes(text, 16, EMOTIONS, True), 16, "smooth", True)
    assert len(set(frames)) == 16
    assert frames[0] == RUSSELL["calm"]


# ---- links, files, messages ------------------------------------------------------------------------


def test_links_and_named_files_exist():
    """Links with their anchors, and inline code that starts with a folder of this project."""
    folders = "emoticrafter|nodes|trainer|workflows|web|tests|benchmarks|scripts|docs"
    missing = []
    for path in DOCUMENTS:
        text = prose(path)
        targets = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'<img[^>]* src="([^"]+)"', text)
        for target in targets:
            if not target.startswith(("http://", "https://", "mailto:")):
                file, _, anchor = target.partition("#")
                linked = (path.parent / file).resolve() if file else path
                if not linked.exists() or (anchor and anchor not in anchors(linked)):
                    missing.append(f"{path.name}: {target}")
        named = re.findall(rf"`((?:{folders})/[\w./-]*)`", text)
        missing += [f"{path.name}: {name}" for name in named if not (ROOT / name).exists()]
    assert missing == []


def test_the_templates_that_the_guide_names_are_shipped():
    shipped = {path.stem for path in (ROOT / "workflows").glob("*.json")}
    named = set(re.findall(r"`([a-z0-9]+(?:_[a-z0-9]+)+(?:\.app)?)`", prose(ROOT / "docs" / "guide.md")))
    assert named and named <= shipped


def anchors(path: Path) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", prose(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_messages_are_quoted_as_the_code_words_them():
    """The left columns of the troubleshooting tables quote errors; each piece of a quote is in the code."""
    tables = "".join((ROOT / name).read_text("utf-8") for name in ("README.md", "docs/troubleshooting.md"))
    quotes = re.findall(r"^\| `([^`]*…[^`]*)` \|", tables, re.MULTILINE)
    sources = [*(ROOT / "nodes").rglob("*.py"), *(ROOT / "emoticrafter").rglob("*.py")]
    code = re.sub(r'"\s*\n\s*f?"', "", "\n".join(path.read_text("utf-8") for path in sources))
    code = re.sub(r"\s+", " ", re.sub(r"\{[^}]*\}", " ", code))
    assert quotes
    for quote in quotes:
        words = re.sub(r"\b768\b|\b77\b|\(.*?\)", "…", quote)
        pieces = [piece.strip() for piece in words.split("…") if piece.strip()]
        assert pieces and all(piece in code for piece in pieces), quote


def test_every_node_has_a_help_page_with_a_small_picture():
    code = "\n".join(path.read_text("utf-8") for path in (ROOT / "nodes").glob("*.py"))
    pages = {path.stem: path.read_text("utf-8") for path in (ROOT / "web" / "docs").glob("*.md")}
    assert pages.keys() == set(re.findall(r'node_id="(EmotiCrafter\w+)"', code))
    for name, text in pages.items():
        assert re.search(r"!\[[^\]]+\]\(images/[\w.]+\)", text), name
    sizes = [path.stat().st_size for path in (ROOT / "web" / "docs" / "images").iterdir()]
    assert max(sizes) < 100_000 and sum(sizes) < 1_500_000


def test_no_workflow_asks_for_a_later_version():
    """ComfyUI offers to install the version that a workflow names."""
    [name], [version] = (re.findall(rf'^{key} = "(.*)"', PROJECT, re.MULTILINE) for key in ("name", "version"))
    for path in (ROOT / "workflows").glob("*.json"):
        for node in json.loads(path.read_text("utf-8"))["nodes"]:
            if node["properties"].get("cnr_id") == name:
                assert numbers(node["properties"]["ver"]) <= numbers(version)


def numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]
