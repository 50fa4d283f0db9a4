"""Prompts rewritten over the plane by a language model: every answer is kept, and one bad answer ends no run."""

import json

import pytest

from tests.library.chat_server import says, serving
from trainer.baselines.__main__ import main


@pytest.fixture
def command(tmp_path):
    """The command without its address; two prompts at four points."""
    prompts, out = tmp_path / "prompts.txt", tmp_path / "rewritten.jsonl"
    prompts.write_text("a dog\n# no prompt\n\na cat\n")
    return f"rewrite --prompts {prompts} --out {out} --model m --side 2".split()


def test_every_prompt_is_rewritten_at_every_point_once(command, tmp_path):
    with serving() as server:
        assert main([*command, "--base-url", server.url]) == 0
        assert main([*command, "--base-url", server.url]) == 0
        assert len(server.requests) == 8
    rows = [json.loads(line) for line in (tmp_path / "rewritten.jsonl").read_text().splitlines()]
    assert [row["prompt"] for row in rows] == ["a dog"] * 4 + ["a cat"] * 4
    assert {(row["valence"], row["arousal"]) for row in rows} == {(v, a) for v in (-3, 3) for a in (-3, 3)}
    assert {row["rewritten"] for row in rows} == {"A red square"}


def test_an_answer_that_is_no_prompt_is_asked_for_again_with_another_seed(command, tmp_path, capsys):
    with serving(says("A dog."), says(""), says("  ")) as server:
        assert main([*command, "--base-url", server.url]) == 0
        assert [body.get("seed") for _, _, body in server.requests[:4]] == [None, None, 1, 2]
    with serving(says("A dog."), says(""), says(""), says("")) as server:
        assert main([*command, "--base-url", server.url]) == 1  # another server is another question
        assert "without a word" in capsys.readouterr().err
        assert main([*command, "--base-url", server.url]) == 0
        assert len(server.requests) == 1 + 3 + 7  # the first answer was kept


def test_a_file_that_is_no_text_is_named(command, tmp_path, capsys):
    (tmp_path / "prompts.txt").write_bytes(b"Caf\xe9")
    assert main([*command, "--base-url", "http://127.0.0.1:9/v1"]) == 1
    assert "prompts.txt: byte 0xe9 at offset 3 (line 1) is not valid UTF-8" in capsys.readouterr().err
