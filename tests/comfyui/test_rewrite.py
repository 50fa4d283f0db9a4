"""Rewrite Prompt for Emotion in a real server, against a language model's endpoint on 127.0.0.1."""

import json

import pytest

from scripts.server import PromptError, Server
from tests.chat_server import serving, stall, status
from tests.comfyui.graphs import Graph, report

ANSWER = "a quiet house by the sea in golden evening light"


def rewriting(base_url: str, **values) -> Graph:
    """A text that is rewritten, shown and encoded, and beside it a plain prompt."""
    graph = Graph()
    inputs = {"valence": 2.0, "arousal": -1.0, "model": "tester", "seed": 0, "timeout": 20} | values
    prompt = graph.add("EmotiCrafterRewrite", "rewrite", text="a quiet house", base_url=base_url, **inputs)
    graph.add("PreviewAny", "shown", source=prompt)
    graph.report(graph.add("CLIPTextEncode", clip=graph.clip(), text=prompt), "rewritten")
    graph.report(graph.text(ANSWER), "expected")
    return graph


def test_the_rewritten_prompt_is_encoded_and_asked_for_once(server):
    with serving(content=ANSWER) as models:
        graph = rewriting(models.url, seed=3)
        result = server.queue(graph)
        assert result.outputs["shown"]["text"] == [ANSWER]
        assert report(result, "rewritten") == report(result, "expected")
        assert "rewrite" in server.queue(graph).cached
        server.free()  # as after a restart: nothing of it is left in ComfyUI's cache
        again = server.queue(graph)
        assert "rewrite" in again.executed
        assert again.outputs["shown"]["text"] == [ANSWER]
    assert len(models.requests) == 1
    assert "Authorization" not in models.requests[0][1]


@pytest.mark.parametrize(
    ("base_url", "message"),
    [
        ("", "No language model is set up. Set base_url to a server on this computer"),
        ("https://evil.example/v1", "a workflow may name servers on this computer only"),
        ("file:///etc/passwd", "expected http(s)://host/path"),
    ],
)
def test_what_is_not_set_up_is_told_before_anything_runs_and_other_branches_run(server, base_url, message):
    graph = rewriting(base_url)
    alone = {name: node for name, node in graph.items() if name not in ("rewritten", "expected")}
    with pytest.raises(PromptError) as caught:
        server.queue(alone)
    assert list(caught.value.node_errors) == ["rewrite"]
    assert message in str(caught.value)
    result = server.queue(graph)
    assert report(result, "expected")
    assert "shown" not in result.outputs


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (status(401, "who are you"), "answered HTTP 401: who are you. Check the key"),
        (status(200, "<html>Welcome</html>"), "is no chat completion: '<html>Welcome</html>'"),
        (stall, "gave no answer within 1 seconds"),
    ],
)
def test_an_endpoint_that_fails_is_told_on_the_node_and_the_next_prompt_runs(server, fault, message):
    with serving(fault, content=ANSWER) as models:
        graph = rewriting(models.url, timeout=1)
        with pytest.raises(PromptError) as caught:
            server.queue(graph)
        assert caught.value.node_id == "rewrite"
        assert "The prompt was not rewritten: " in str(caught.value)
        assert message in str(caught.value)
        assert server.queue(graph).outputs["shown"]["text"] == [ANSWER]


def test_the_wait_for_an_answer_can_be_cancelled(server):
    def cancel(kind, data):
        if kind == "executing" and data["node"] == "rewrite":
            server.post("/interrupt", {})

    with serving(stall, content=ANSWER) as models:
        graph = rewriting(models.url, timeout=600)
        with pytest.raises(PromptError, match="interrupted"):
            server.queue(graph, on_message=cancel)
        assert server.queue(graph).outputs["shown"]["text"] == [ANSWER]


def test_the_key_of_the_environment_goes_to_its_address_and_is_found_nowhere_else(tmp_path, monkeypatch):
    key = "sk-secret-0123456789"

    def asked(base_url: str) -> dict:
        graph = rewriting(base_url)
        return {name: graph[name] for name in ("rewrite", "shown")}

    with serving(status(401, f"wrong key: {key}"), content=ANSWER) as own, serving(content=ANSWER) as another:
        monkeypatch.setenv("EMOTICRAFTER_CHAT_URL", own.url)
        monkeypatch.setenv("EMOTICRAFTER_CHAT_KEY", key)
        with Server(tmp_path) as server:
            with pytest.raises(PromptError, match=r"HTTP 401: wrong key: \*\*\*\. Check the key") as caught:
                server.queue(asked(""))
            for base_url in ("", another.url):
                assert server.queue(asked(base_url)).outputs["shown"]["text"] == [ANSWER]
            told = [
                str(caught.value),
                server.log(),
                *(json.dumps(server.get(path)) for path in ("/history", "/queue")),
            ]
    assert [headers["Authorization"] for _, headers, _ in own.requests] == [f"Bearer {key}"] * 2
    assert ["Authorization" in headers for _, headers, _ in another.requests] == [False]
    kept = [path.read_text() for path in (tmp_path / "user" / "emoticrafter").rglob("*.json")]
    assert len(kept) == 2
    assert not any(key in text for text in told + kept)
