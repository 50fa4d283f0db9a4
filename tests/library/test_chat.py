"""The chat client's own promises; tests/data/test_write_prompts.py drives it through retries and faults."""

import itertools

import pytest

from emoticrafter.language.chat import AnswerError, ChatSettings, FatalError, Server, ServerError, UnusableError
from tests.library.chat_server import says, serving, status, trickle

QUESTION = [{"role": "user", "content": "Hello"}]


def test_an_address_is_plain_http_without_a_password_or_a_trick():
    for address in ("http://127.0.0.1:11434/v1", "https://[::1]/v1", "https://host.test/a/b/"):
        assert ChatSettings(address, "tester").problems() == []
    tricks = "http://127.0.0.1:8188/prompt?x= http://127.0.0.1/a#b http://host\\@other/v1 http://[::1/v1 http:///v1"
    tricks += " http://host:99999/v1 file:///etc/hostname ftp://host/v1 gopher://127.0.0.1 host/v1 127.0.0.1:8000"
    tricks += f" http://{'a' * 64}.test/v1 http://host..test/v1 http://.test/v1"  # names that cannot be looked up
    for address in (*tricks.split(), "http://host/v1 ", "http://host/\r\nX-Header: 1", "http://host/\n", ""):
        assert ChatSettings(address, "tester").problems(), address
    [problem] = ChatSettings("http://me:secret@host/v1", "tester").problems()
    assert problem == "base url: take the name and password out of it"


def test_a_question_without_a_schema_asks_for_words_and_sends_a_seed_if_there_is_one():
    with serving() as server:
        chat = Server(ChatSettings(server.url, "tester"))
        assert chat.chat(QUESTION)[0] == "A red square"
        chat.chat(QUESTION, seed=7)
    bodies = [body for _, _, body in server.requests]
    assert bodies == [{"model": "tester", "messages": QUESTION}, {"model": "tester", "messages": QUESTION, "seed": 7}]


@pytest.fixture
def proxy(monkeypatch):
    """A proxy for everybody, as the environment names it; it answers by itself."""
    with serving(content="The proxy's") as server:
        for name in ("no_proxy", "NO_PROXY", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("http_proxy", server.url)
        yield server


def test_what_leaves_this_computer_goes_through_the_proxy_and_nothing_else(proxy):
    with serving() as server:
        for host in ("127.0.0.1", "localhost"):
            url = server.url.replace("127.0.0.1", host)
            assert Server(ChatSettings(url, "tester", tries=1)).chat(QUESTION)[0] == "A red square"
    assert proxy.requests == []
    chat = Server(ChatSettings("http://models.example/v1", "tester", tries=1))
    assert chat.chat(QUESTION)[0] == "The proxy's"
    assert [path for path, _, _ in proxy.requests] == ["http://models.example/v1/chat/completions"]


def test_an_answer_that_trickles_for_ever_is_given_up():
    with serving(trickle) as server:
        clock = itertools.count(step=100).__next__
        chat = Server(ChatSettings(server.url, "tester", timeout=60, tries=1), clock=clock)
        with pytest.raises(ServerError, match="its answer was not complete after 600 seconds"):
            chat.chat(QUESTION)


def test_why_a_name_cannot_be_looked_up_is_told_by_every_python():
    server = Server(ChatSettings(f"http://{'a' * 64}.test/v1", "tester", tries=1))
    with pytest.raises(ServerError, match=r"gave no answer \(Unicode\w*Error: .*too long"):
        server.chat(QUESTION)


def test_the_asker_says_what_to_do_about_a_status():
    advice = {0: "Start it.", 401: "Look for the key."}
    told = r"answered HTTP 401: no\. Look for the key\."
    with serving(status(401, "no")) as server, pytest.raises(FatalError, match=told):
        Server(ChatSettings(server.url, "tester"), advice=advice).chat(QUESTION)
    with pytest.raises(ServerError, match=r"gave no answer \(ConnectionRefusedError.*\)\. Start it\."):
        Server(ChatSettings("http://127.0.0.1:9", "tester", tries=1), advice=advice).chat(QUESTION)


def test_a_redirect_that_names_a_place_ends_the_run_and_a_broken_one_this_answer():
    place, nowhere = status(302, "", Location="https://models.example/v1"), "http://[::1 ftp://host/ file:///etc/passwd"
    told = "Redirects are not followed: give the final address"
    with serving(place) as server, pytest.raises(FatalError, match=told):
        Server(ChatSettings(server.url, "tester")).chat(QUESTION)
    for location in (*nowhere.split(), "", "x" * 60_000 + "\\"):
        with serving(status(307, "", Location=location)) as server, pytest.raises(ServerError, match=told) as caught:
            Server(ChatSettings(server.url, "tester", tries=1)).chat(QUESTION)
        assert len(server.requests) == 1 and len(str(caught.value)) < 500


def test_an_answer_of_the_wrong_types_is_unusable_and_nothing_worse():
    deep = "[" * 900 + "]" * 900
    bodies = ['{"choices": {}}', '{"choices": [[]]}', '{"choices": [{"message": []}]}', deep, "{" * 100_000, "1" * 5000]
    bodies += [
        f'{{"choices": [{{"message": {{"content": {content}}}}}]}}' for content in ("null", "1", "{}", deep, "[1]")
    ]
    bodies.append('{"choices": [{"message": {"content": null, "reasoning_content": "hm"}}], "usage": [1]}')
    bodies.append('{"choices": [{"message": {"content": "half a"}, "finish_reason": "length"}]}')
    for body in bodies:
        with serving(status(200, body)) as server, pytest.raises(UnusableError) as caught:
            Server(ChatSettings(server.url, "tester", tries=1)).chat(QUESTION)
        assert len(str(caught.value)) < 300 and str(caught.value).isprintable()
    refusal = f'{{"choices": [{{"message": {{"content": "", "refusal": {deep}}}}}]}}'
    with serving(status(200, refusal)) as server, pytest.raises(AnswerError, match="the model refused"):
        Server(ChatSettings(server.url, "tester", tries=1)).chat(QUESTION)


def test_a_text_may_come_in_parts_of_which_some_are_thoughts():
    parts = [
        {"type": "thinking", "thinking": "hm"},
        {"type": "text", "text": "A red"},
        {"type": "text", "text": "square"},
    ]
    with serving(says("", message={"content": parts})) as server:
        assert Server(ChatSettings(server.url, "tester")).chat(QUESTION)[0] == "A red\nsquare"
