"""Rewriting a prompt: what is asked and kept, whom a workflow can name, who gets the key, what goes wrong."""

import threading

import pytest

from emoticrafter.language.rewriting import (
    RewriteError,
    UnusableAnswerError,
    chat_settings,
    messages_for,
    read_answer,
    rewrite_prompt,
)
from tests.library.chat_server import cut, noise, reset, says, serving, stall, status, trickle

KEY = "sk-secret-0123456789"
ANSWER = "A red square glowing in warm evening light"


@pytest.fixture
def rewrite(tmp_path):
    """Rewrites "a red square" for (2, -1) at a server whose address and key the environment holds."""

    def rewrite(server, text="a red square", valence=2.0, arousal=-1.0, seed=0, **options):
        url = getattr(server, "url", server)
        environment = {"EMOTICRAFTER_CHAT_URL": url, "EMOTICRAFTER_CHAT_KEY": KEY}
        settings = chat_settings("", options.get("model", "tester"), options.get("timeout", 5), environment)
        check = options.get("check", lambda: None)
        return rewrite_prompt(text, valence, arousal, settings, seed, tmp_path / "answers", check)

    return rewrite


def failure(rewrite, *faults, **options):
    with serving(*faults, content=ANSWER) as server, pytest.raises(RewriteError) as caught:
        rewrite(server, **options)
    message = str(caught.value)
    assert "The prompt was not rewritten: " in message
    assert KEY not in message
    return message


# ---- what is asked and kept ------------------------------------------------------------------------


def test_what_is_asked_and_what_comes_back(rewrite):
    with serving(content=ANSWER) as server:
        assert rewrite(server, seed=5) == rewrite(server) == ANSWER
    (path, headers, body), (*_, seedless) = server.requests
    assert "seed" not in seedless
    assert path == "/v1/chat/completions"
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert body["model"] == "tester"
    assert body["seed"] == 5
    system, user = body["messages"]
    assert system["role"] == "system"
    assert user["content"] == "valence +2.00, arousal -1.00\n<prompt>\na red square\n</prompt>"


def test_the_same_question_is_asked_once_and_any_other_again(rewrite):
    with serving(says("One"), says("Two"), says("Three"), says("Four"), says("Five")) as server:
        assert rewrite(server) == "One"
        assert rewrite(server, valence=2.05) == "Two"
        assert rewrite(server, text="a blue square") == "Three"
        assert rewrite(server, seed=1) == "Four"
        assert rewrite(server, model="another") == "Five"
        assert rewrite(server) == "One"
        assert rewrite(server, seed=1) == "Four"
    assert len(server.requests) == 5


def test_what_is_kept_holds_no_key(rewrite, tmp_path):
    with serving(says(f"The key is {KEY}")) as server:
        assert rewrite(server) == "The key is ***"
    [kept] = (tmp_path / "answers").iterdir()
    assert kept.suffix == ".json"
    assert KEY not in kept.read_text()


def test_a_damaged_answer_on_disk_is_asked_for_again(rewrite, tmp_path):
    damages = (b"", b'{"prompt": 3}', b'{"prompt": ""}', b"[]", b"\xff\xfe", b"[" * 5000)
    with serving(says("One"), *(says(f"After {damage[:9]}") for damage in damages)) as server:
        rewrite(server)
        [kept] = (tmp_path / "answers").iterdir()
        for damage in damages:
            kept.write_bytes(damage)
            assert rewrite(server) == rewrite(server) == f"After {damage[:9]}"


def test_a_folder_that_cannot_be_written_costs_the_memory_and_not_the_answer(rewrite, tmp_path):
    (tmp_path / "answers").write_text("a file")
    with serving(content=ANSWER) as server:
        assert rewrite(server) == rewrite(server) == ANSWER
    assert len(server.requests) == 2


def test_a_prompt_with_half_an_emoji_is_rewritten_and_kept(rewrite):
    with serving(content=ANSWER) as server:
        assert rewrite(server, text="a red square \ud83d") == ANSWER
        assert rewrite(server, text="a red square \ud83d") == ANSWER
    assert len(server.requests) == 1


def test_a_failure_is_not_kept(rewrite, tmp_path):
    with serving(status(500), content=ANSWER) as server:
        with pytest.raises(RewriteError):
            rewrite(server)
        assert rewrite(server) == ANSWER


def test_a_question_that_makes_no_sense_is_not_asked():
    for arguments, message in (
        (("", 0.0, 0.0), "text is empty: expected a prompt"),
        ((" \n", 0.0, 0.0), "text is empty"),
        (("a" * 4001, 0.0, 0.0), "text has 4,001 characters: expected at most 4,000"),
        (("a dog", 3.5, 0.0), "valence is 3.5: expected a number from -3 to 3"),
        (("a dog", 0.0, float("nan")), "arousal is nan"),
    ):
        with pytest.raises(ValueError, match=message):
            messages_for(*arguments)


@pytest.mark.parametrize(
    "answer",
    [
        "A red square",
        "  A red\n\tsquare \n",
        '"A red square"',
        "“A red square”",
        "```\nA red square\n```",
        "```text\nA red square```",
        "<prompt>A red square</prompt>",
        "Rewritten prompt: A red square",
        "<think>They want\nred.</think>\n\nA red square",
        "They want\nred. </think>\n\nA red square",
        "**Final answer:** A red square",
        "They want <think>red</think>, or so.\n</think>A red square",
        "A red\0 square\x1b",
        '{"prompt": "A red square"}',
        '{"thoughts": "Red, I guess.", "prompt": "A red square"}',
        '<thinking>{"prompt": "no"}</thinking>Here it is:\n```json\n{"prompt": "[THINK]x[/THINK]A red square"}\n```',
        "<|channel|>analysis<|message|>Red.<|end|><|start|>assistant<|channel|>final<|message|>A red square<|return|>",
        '```json\n{"valence": 2, "prompt": "A red square"}\n```',
        "Sure! Here is your rewritten prompt: A red square\n\nLet me know if you want changes.",
        'Here’s the rewritten prompt:\n\n"A red square"\n\nIt keeps the square. I hope this helps!',
        'Certainly! Here is a version with more joy: "A red square" Let me know if you want changes.',
        "Okay, here you go:\n```\nA red square\n```\nI made it red.",
        'Here it is:\n```json\n{"prompt": "A red square"}\n```',
        "**Rewritten prompt:** A red square",
        "Here's a prompt with more joy:\n\n**A red square**",
        "A red square\n\n**Note: the colour is new.**",
    ],
)
def test_the_prompt_is_found_in_an_answer(answer):
    assert read_answer(answer) == "A red square"


def test_a_remark_behind_the_last_sentence_is_taken_off():
    answer = "Sure! Here is your rewritten prompt: A red square. It glows. Let me know if you want changes."
    assert read_answer(answer) == "A red square. It glows."


@pytest.mark.parametrize(
    "prompt",
    [
        'A sign says "red"',
        "A (red:1.3) square, 'a' and 'b' on it",
        "快乐的红色方块",
        "{red|blue} square, [sunlit]",
        "As an airship rises, people cheer",
        "Here the sea begins: grey waves under low clouds",
        "I walk through a forest that is sorry for nothing",
        "Okapi in golden light. Surely a great day",
        "The user of a typewriter, thinking: why? An analysis of blue",
        'A wall. "Let me know" is written on it',
    ],
)
def test_a_prompt_keeps_its_own_words_and_marks(prompt):
    assert read_answer(prompt) == prompt


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ("I'm sorry, but I can't help with that.", "with a refusal (\"I'm sorry, but I can't help with that.\")"),
        ("I’m sorry, I cannot do this.", "with a refusal"),
        ("Sorry, but no.", "with a refusal"),
        ("I cannot create this content.", "with a refusal"),
        ("As an AI language model, I have no feelings.", "with a refusal"),
        ("Here is your prompt: I'm sorry, I cannot.", "with a refusal"),
        ('{"error": "I cannot help with that."}', "with a refusal"),
        ("抱歉，我无法帮助。", "with a refusal"),
        ("Es tut mir leid, das geht nicht.", "with a refusal"),
        ("Sure!", "with a remark"),
        ("Certainly! A red square, brighter.", "with a remark"),
        ("Please provide the prompt that I am to rewrite.", "with a remark"),
        ("What would you like me to rewrite?", "with a remark"),
        ("The user wants red. So: A red square", "with a remark"),
        ("**Thinking**\n\nRed, I guess.\n\nA red square", "with a remark"),
        ("Reasoning: red is lively. A red square", "with a remark"),
        ("<think>Red <think>or blue?</think> A red square", "without a word"),
        ("Let me know what to rewrite.", "with a remark"),
        ("<plan>Red.</plan>A red square", "with tags that are not known"),
        ("Here is your prompt: Prompt: Prompt: red", "with a remark"),
        ("Here is your prompt:\n\nA red square\n\nThe red makes it lively.", "with more than a prompt"),
        ('Here is your prompt: "A red" square', "with more than a prompt"),
        ("Here are two options:\n1. A red square\n2. A square in red", "with more than a prompt"),
        ('{"prompt": "A red square", "reason": "It is lively."}', "with JSON that does not hold one prompt"),
        ('{"valence": 2}', "with JSON"),
        ('{"prompt": "A red', "with JSON"),
        ('["A red square"]', "with JSON"),
    ],
)
def test_an_answer_that_is_no_prompt_is_refused(answer, why):
    with pytest.raises(UnusableAnswerError) as caught:
        read_answer(answer)
    assert f"the model answered {why}" in str(caught.value)
    assert "Change seed to ask again, or try another model." in str(caught.value)


def test_a_refusal_is_not_kept_and_one_that_is_kept_already_is_asked_for_again(rewrite, tmp_path):
    refusal = "I'm sorry, but I can't help with that."
    with serving(says(refusal), says("One"), says("Two")) as server:
        with pytest.raises(UnusableAnswerError):
            rewrite(server)
        assert not (tmp_path / "answers").exists()
        assert rewrite(server) == "One"
        [kept] = (tmp_path / "answers").iterdir()
        kept.write_text(kept.read_text().replace("One", refusal))
        assert rewrite(server) == rewrite(server) == "Two"


# ---- whom a workflow can name, and who gets the key ------------------------------------------------

OWN = "https://models.example/v1"
ENVIRONMENT = {"EMOTICRAFTER_CHAT_URL": OWN, "EMOTICRAFTER_CHAT_KEY": KEY, "EMOTICRAFTER_CHAT_MODEL": "large"}


def test_the_address_of_the_environment_gets_the_key():
    for base_url in ("", " ", OWN, OWN + "/", f" {OWN} "):
        settings = chat_settings(base_url, "", 60, ENVIRONMENT)
        assert (settings.base_url, settings.model, settings.key) == (OWN, "large", KEY)
        assert KEY not in repr(settings)


def test_a_server_on_this_computer_and_a_model_may_be_named_and_get_no_key():
    for base_url in ["http://127.0.0.1:11434/v1", "http://localhost:1234/v1", "http://[::1]:8000/v1"]:
        for environment in (ENVIRONMENT, {}):
            settings = chat_settings(base_url, " small ", 60, environment)
            assert (settings.base_url, settings.model, settings.key) == (base_url, "small", "")


def test_another_port_or_path_of_the_own_server_gets_no_key():
    environment = ENVIRONMENT | {"EMOTICRAFTER_CHAT_URL": "http://127.0.0.1:8000/v1"}
    for base_url in ("http://127.0.0.1:8001/v1", "http://127.0.0.1:8000/other", "https://127.0.0.1:8000/v1"):
        assert chat_settings(base_url, "", 60, environment).key == ""


ELSEWHERE = """
    https://evil.example/v1 https://models.example/other http://models.example/v1 https://models.example:8443/v1
    https://models.example.evil.example/v1 http://169.254.169.254/latest http://192.168.1.1 http://0.0.0.0:8000
    http://127.0.0.1.evil.example/v1 http://localhost.evil.example http://2130706433/v1 http://0x7f.1/v1
"""


def test_every_other_address_is_refused():
    for base_url in ELSEWHERE.split():
        for environment in (ENVIRONMENT, {}):
            with pytest.raises(RewriteError, match="may name servers on this computer only") as caught:
                chat_settings(base_url, "m", 60, environment)
            assert KEY not in str(caught.value)


def test_an_address_with_a_trick_in_it_is_refused():
    """test_chat has all tricks."""
    for base_url in ("http://127.0.0.1:8188/prompt?", "http://127.0.0.1@evil.example", "file:///etc/passwd"):
        with pytest.raises(RewriteError, match="The language model cannot be asked: base url"):
            chat_settings(base_url, "m", 60, ENVIRONMENT)


def test_the_key_does_not_follow_a_redirect(rewrite):
    with serving() as elsewhere:
        for code in (301, 302, 303, 307, 308):
            message = failure(rewrite, status(code, "", Location=f"{elsewhere.url}/chat/completions"))
            assert f"answered HTTP {code}" in message
            assert "Redirects are not followed: give the final address." in message
    assert elsewhere.requests == []


def test_a_server_on_this_computer_is_sent_no_key(tmp_path):
    with serving(content=ANSWER) as server:
        settings = chat_settings(server.url, "tester", 5, ENVIRONMENT)
        rewrite_prompt("a dog", 0.0, 0.0, settings, 0, tmp_path, lambda: None)
    assert "Authorization" not in server.requests[0][1]
    assert KEY not in str(server.requests)


# ---- what goes wrong -------------------------------------------------------------------------------


def test_without_any_configuration_it_says_how_to_set_it_up():
    with pytest.raises(RewriteError) as caught:
        chat_settings("", "", 60, {})
    for part in (
        "No language model is set up",
        "EMOTICRAFTER_CHAT_URL",
        "EMOTICRAFTER_CHAT_KEY",
        "base_url",
        "connect the text itself to CLIP Text Encode",  # bypassing passes no text that is typed into the node
    ):
        assert part in str(caught.value)


def test_a_missing_model_is_told():
    with pytest.raises(RewriteError, match=r"No model is named: set model .* EMOTICRAFTER_CHAT_MODEL"):
        chat_settings("http://127.0.0.1:1/v1", "", 60, {})


def test_neither_a_password_in_an_address_nor_a_key_that_no_header_can_carry_is_shown():
    for variable, value, model, told in (
        ("URL", "https://me:secret@models.example/v1", "", "take the name and password out of it"),
        ("URL", "https://me:secret@models.example/v1", "m", "take the name and password out of it"),
        ("KEY", "sk secret", "m", "the key holds blanks"),
    ):
        with pytest.raises(RewriteError, match=told) as caught:
            chat_settings("", model, 60, ENVIRONMENT | {f"EMOTICRAFTER_CHAT_{variable}": value})
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (status(401, f"wrong key: {KEY}"), "HTTP 401: wrong key: ***. Check the key in EMOTICRAFTER_CHAT_KEY"),
        (status(403, "no"), "HTTP 403: no. Check that the key in EMOTICRAFTER_CHAT_KEY may use this model."),
        (status(404, "no such model"), "Check base_url (it ends before /chat/completions) and model."),
        (status(429, "slow down", Retry_After="3600"), "HTTP 429: slow down. It asks for fewer requests"),
        (status(422, "seed?"), "If it does not know a seed, set seed to 0."),
        (status(500, "oops"), "HTTP 500: oops."),
        (status(503, "x" * 10000), "HTTP 503: xxx"),
        (status(200, "<!doctype html><title>Welcome</title>"), "is not a chat completion: '<!doctype html>"),
        (status(200, ""), "is not a chat completion: ''. Check base_url: most end in /v1."),
        (status(200, "[" * 100000), "is not a chat completion"),
        (status(200, '{"choices": []}'), "is not a chat completion"),
        (says("x" * 5_000_000), "is not a chat completion"),
        (says("word " * 500), "answered with 2,499 characters, more than the 2,000 of a prompt. Change seed"),
        (says(""), "the model answered without a word ('')"),
        (says("... 123 !"), "without a word"),
        (
            says("", message={"content": "", "reasoning_content": "Red."}),
            "the model thought and did not answer. Change seed",
        ),
        (says("A red squ", finish_reason="length"), "the server's limit of tokens cut the answer off. Change seed"),
        (says("<think>Hm, what could"), "without a word"),
        (says("<!DOCTYPE html><p>Welcome</p>"), "with a web page"),
        (says("", finish_reason="content_filter"), "the model refused"),
        (says("", message={"content": "", "refusal": "no \ud83d"}), r"the model refused: no \ud83d"),
        (cut, "gave no answer (IncompleteRead"),
        (noise, r"gave no answer (BadStatusLine: \x00ÿ\x00"),
        (reset, "gave no answer (ConnectionReset"),
    ],
)
def test_an_answer_that_is_none_is_told(rewrite, fault, message):
    told = failure(rewrite, fault)
    assert message in told
    assert len(told) < 700


def test_a_server_that_is_not_there_is_told(rewrite):
    with pytest.raises(RewriteError, match=r"gave no answer \(Connection.*Check base_url, and that the server is"):
        rewrite("http://127.0.0.1:9/v1")


@pytest.mark.parametrize("fault", [stall, trickle])
def test_a_server_that_is_too_slow_is_told_in_time(rewrite, fault):
    message = failure(rewrite, fault, timeout=0.3)
    assert "gave no answer within 0.3 seconds. Check that the server is running, or raise timeout" in message


def test_whoever_waits_can_be_interrupted(rewrite):
    class Interrupted(Exception):
        pass

    def check():
        if server.requests:
            raise Interrupted

    with serving(stall, content=ANSWER) as server:
        with pytest.raises(Interrupted):
            rewrite(server, timeout=60, check=check)
        # The request ended with the wait: a model on this computer does not go on for nobody.
        for thread in threading.enumerate():
            if thread.name == "emoticrafter-chat":
                thread.join(timeout=10)  # the server itself gives up after 20 s
                assert not thread.is_alive()
        assert rewrite(server) == ANSWER
