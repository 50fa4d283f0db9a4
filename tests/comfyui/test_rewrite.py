"""Rewrite Prompt for Emotion in a real server, against a language model's endpoint on 127.0.0.1."""

import json
from dataclasses import dataclass

import pytest

from scripts.server import PromptError, Server
from tests.comfyui.graphs import Graph, report
from tests.library.chat_server import says, serving, stall, status

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


@dataclass
class Told:
    """What a prompt that failed in part left."""

    error: str
    outputs: dict
    """As the history has them."""
    blocked: set[str]
    """The nodes that ComfyUI reported as blocked."""


def told(server, graph: Graph) -> Told:
    seen = []
    with pytest.raises(PromptError) as caught:
        server.queue(graph, on_message=lambda kind, data: seen.append((kind, data)))
    errors = [data for kind, data in seen if kind == "execution_error"]
    blocked = {error["node_id"] for error in errors if error["exception_type"] == "ExecutionBlocked"}
    prompt_id = seen[0][1]["prompt_id"]
    return Told(str(caught.value), server.get(f"/history/{prompt_id}")[prompt_id]["outputs"], blocked)


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
    [error] = caught.value.node_errors["rewrite"]["errors"]  # once, and at the input that is wrong
    assert error["extra_info"]["input_name"] == "base_url"
    assert message in error["details"]
    result = server.queue(graph)
    assert report(result, "expected")
    assert "shown" not in result.outputs


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (status(401, "who are you"), "answered HTTP 401: who are you. Check the key"),
        (status(200, "<html>Welcome</html>"), "is not a chat completion: '<html>Welcome</html>'"),
        (stall, "gave no answer within 1 seconds"),
    ],
)
def test_an_endpoint_that_fails_is_told_and_asked_again_by_the_next_prompt(server, fault, message):
    with serving(fault, fault, content=ANSWER) as models:
        graph = rewriting(models.url, timeout=1)
        for _ in range(2):
            with pytest.raises(PromptError) as caught:
                server.queue(graph)
            assert "Rewrite Prompt for Emotion: The prompt was not rewritten: " in str(caught.value)
            assert message in str(caught.value)
        graph = rewriting(models.url)
        assert server.queue(graph).outputs["shown"]["text"] == [ANSWER]
        assert "rewrite" in server.queue(graph).cached
    assert len(models.requests) == 3


@pytest.mark.parametrize("nonsense", ["I'm sorry, but I can't help with that.", "<think>Hm", "[]"])
def test_an_answer_that_is_no_prompt_draws_nothing(server, nonsense):
    with serving(says(nonsense), content=ANSWER) as models:
        graph = rewriting(models.url)
        seen = told(server, graph)
        assert "the model answered with" in seen.error or "without a word" in seen.error
        assert "rewritten" not in seen.outputs
        assert server.queue(graph).outputs["shown"]["text"] == [ANSWER]


def test_an_endpoint_that_is_down_costs_no_other_branch(server):
    """Both routes are drawn side by side: the picture of the other one is saved, and the failure is seen."""
    graph = rewriting("http://127.0.0.1:9/v1")
    graph.picture(graph.emotional(graph.text()), "by the network")
    graph.picture(["rewritten", 0], "by words")
    graph["rewritten"] = {"class_type": "CLIPTextEncode", "inputs": {"clip": graph.clip(), "text": ["rewrite", 0]}}
    seen = told(server, graph)
    assert len(seen.outputs["by the network"]["images"]) == 1
    assert "by words" not in seen.outputs
    # To the browser as an error, on the nodes behind; to everybody else in the history and in the log.
    assert seen.blocked == {"shown", "rewritten"}
    message = seen.outputs["rewrite"]["text"][0]
    assert "Rewrite Prompt for Emotion: The prompt was not rewritten: http://127.0.0.1:9/v1" in message
    assert "Check base_url, and that the server is running." in message
    assert message in seen.error
    assert message in server.log()


def test_a_missing_model_is_told_when_it_runs(server):
    assert "No model is named: set model" in told(server, rewriting("http://127.0.0.1:9/v1", model="")).error


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
            told = [str(caught.value), server.log(), *(json.dumps(server.get(path)) for path in ("/history", "/queue"))]
    assert [headers["Authorization"] for _, headers, _ in own.requests] == [f"Bearer {key}"] * 2
    assert ["Authorization" in headers for _, headers, _ in another.requests] == [False]
    kept = [path.read_text() for path in (tmp_path / "user" / "emoticrafter").rglob("*.json")]
    assert len(kept) == 2
    assert not any(key in text for text in told + kept)
