"""Prompts written by a language model, against a local server that speaks the protocol and misbehaves on request."""

import base64
import io
import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial

import pytest
from PIL import Image

from emoticrafter.language.chat import ChatSettings
from tests.library import chat_server
from tests.library.chat_server import completion, cut, reset, says, stall, status
from trainer import prepare
from trainer.core.rows import DataError
from trainer.data.images import RatedImage, load_images, save_images
from trainer.data.pairs import load_table
from trainer.data.write_prompts import WriterSettings, finished_ids, parse_answer, write_prompts

KEY = "sk-secret-0123456789"
GOOD = {"neutral_prompt": "A red square", "emotional_prompt": "A glowing red square\nin warm light"}


def shade_of(body):
    """The picture's identity: each has its own shade."""
    url = body["messages"][1]["content"][1]["image_url"]["url"]
    assert url.startswith("data:image/jpeg;base64,")
    with Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))) as picture:
        assert max(picture.size) <= 64
        return picture.convert("L").getpixel((5, 5)) // 20


serving = partial(chat_server.serving, content=GOOD, identify=shade_of)


@pytest.fixture
def pictures(tmp_path):
    """Twelve pictures of different greys, 100 pixels wide."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    rated = []
    for k in range(12):
        Image.new("RGB", (100, 60), (20 * k + 10,) * 3).save(folder / f"{k}.png")
        rated.append(RatedImage(f"picture-{k}", f"{k}.png", k / 4 - 1, 1 - k / 4, "test"))
    return rated


class Run:
    """One run over the first pictures, with waiting replaced by notes."""

    def __init__(self, pictures, tmp_path, count=1):
        self.pictures, self.folder = pictures[:count], tmp_path / "pictures"
        self.out, self.slept = tmp_path / "written.jsonl", []

    def __call__(self, server, chat=(), **settings):
        chat = {"key": KEY, "timeout": 5, **dict(chat)}
        settings = WriterSettings(**{"workers": 1, "image_size": 64, **settings})
        chat = ChatSettings(getattr(server, "url", server), "tester", **chat)
        return write_prompts(self.pictures, self.folder, self.out, chat, settings, sleep=self.slept.append)

    def lines(self):
        return [json.loads(line) for line in self.out.read_text().splitlines()]


@pytest.fixture
def run(pictures, tmp_path):
    return Run(pictures, tmp_path)


@pytest.fixture
def run_all(pictures, tmp_path):
    return Run(pictures, tmp_path, 12)


def test_what_is_asked_and_what_is_kept(run):
    with serving() as server:
        outcome = run(server, price_in=2.5, price_out=10)
    path, headers, body = server.requests[0]
    assert path == "/v1/chat/completions" and headers["Authorization"] == f"Bearer {KEY}"
    assert body["model"] == "tester" and body["response_format"]["json_schema"]["strict"] is True
    assert "valence -1.00, arousal +1.00" in body["messages"][1]["content"][0]["text"]
    assert (outcome.written, outcome.failures) == (1, {})
    assert outcome.cost == pytest.approx(0.0035)
    assert run.lines() == [
        {
            "id": "picture-0",
            "image": "0.png",
            "neutral": "A red square",
            "emotional": "A glowing red square in warm light",
            "valence": -1.0,
            "arousal": 1.0,
            "source": "test",
            "model": "tester",
            "usage": {"prompt_tokens": 1000, "completion_tokens": 100},
        }
    ]
    assert load_table(run.out).id == ["picture-0"]


def test_without_a_key_no_header_is_sent(run):
    with serving() as server:
        run(server, chat={"key": "", "answer_format": "none"})
    _, headers, body = server.requests[0]
    assert "Authorization" not in headers and "response_format" not in body


@pytest.mark.parametrize("fault", [status(500), status(503, "busy"), status(529), cut, reset], ids=str)
def test_passing_faults_are_tried_again(run, fault):
    with serving(fault, fault) as server:
        assert run(server).written == 1
    assert len(server.requests) == 3
    # Exponential, with jitter in the upper half.
    assert 0.5 <= run.slept[0] <= 1 and 1 <= run.slept[1] <= 2


def test_a_time_out_is_tried_again(run):
    with serving(stall) as server:
        assert run(server, chat={"timeout": 1}).written == 1
    assert len(server.requests) >= 2  # on a busy machine a prompt answer may come too late, too


@pytest.mark.parametrize(("header", "least"), [("7", 6.5), ("0.25", 0), (None, 0), ("soon", 0)])
def test_too_many_requests_wait_as_long_as_asked(run, header, least):
    with serving(status(429, "slow down", **({"Retry_After": header} if header else {}))) as server:
        assert run(server).written == 1
    assert sum(run.slept) >= least and len(server.requests) == 2


def test_retry_after_may_be_a_date(run):
    when = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 30))
    with serving(status(429, "", Retry_After=when)) as server:
        run(server)
    assert 20 < sum(run.slept) <= 31


def test_requests_keep_to_the_rate(run_all):
    with serving() as server:
        run_all(server, chat={"per_minute": 6})
    # The clock stands still for the test: the k-th request sleeps k times ten seconds.
    assert len(run_all.slept) == 11
    assert [round(slept, -1) for slept in run_all.slept] == [10.0 * k for k in range(1, 12)]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("Sorry, here is a poem", "it is not JSON"),
        ('{"neutral_prompt": "A"', "it is not JSON"),
        ([1], "it is not a JSON object"),
        ({"neutral_prompt": "A"}, "its keys are ['neutral_prompt']"),
        ({**GOOD, "mood": "x"}, "expected ['emotional_prompt', 'neutral_prompt']"),
        ({**GOOD, "neutral_prompt": " "}, "neutral_prompt is not a text with something in it"),
        ({**GOOD, "emotional_prompt": "\ud800"}, "emotional_prompt is not a text with something in it"),
        ({**GOOD, "neutral_prompt": "\0\x1b"}, "neutral_prompt is not a text with something in it"),
        ({**GOOD, "emotional_prompt": None}, "emotional_prompt is not a text"),
        ({**GOOD, "neutral_prompt": "x" * 301}, "neutral_prompt has 301 characters, at most 300"),
        ({**GOOD, "emotional_prompt": "a red  SQUARE"}, "both prompts are the same"),
    ],
)
def test_answers_that_do_not_fit_are_sent_back_with_the_reason(run, content, complaint):
    with serving(says(content)) as server:
        outcome = run(server)
    assert outcome.written == 1 and len(server.requests) == 2
    first, second = (body["messages"] for _, _, body in server.requests)
    assert second[: len(first)] == first
    assert complaint in second[-1]["content"]
    assert run.lines()[0]["usage"]["prompt_tokens"] == 2000  # both answers were paid for


def test_fenced_json_is_taken_and_control_characters_do_not_reach_the_prompts():
    assert parse_answer(f"```json\n{json.dumps(GOOD)}\n```")["neutral_prompt"] == "A red square"
    answer = parse_answer(json.dumps({**GOOD, "neutral_prompt": "A\x1b[31m red\0\tsquare\ud800\x0bhere"}))
    assert answer["neutral_prompt"] == "A[31m red square here"


def test_a_content_length_that_is_no_number_is_passed_over(run):
    def odd(handler):
        handler.wfile.write("HTTP/1.0 200 OK\r\nContent-Length: ²\r\n\r\n".encode("latin-1"))
        handler.wfile.write(completion(GOOD).encode())
        handler.close_connection = True

    with serving(odd) as server:
        assert run(server).written == 1
    assert len(server.requests) == 1


@pytest.mark.parametrize("nonsense", ["<html>gateway</html>", "[]", '{"choices": []}', '{"choices": [{"message": 3}]}'])
def test_a_body_that_is_no_completion_is_asked_again(run, nonsense):
    with serving(status(200, nonsense)) as server:
        assert run(server).written == 1


def test_one_bad_redirect_fails_one_picture(run_all):
    with serving(status(302, "", Location="http://[::1")) as server:
        outcome = run_all(server)
    assert outcome.written == 11 and "HTTP 302" in outcome.failures["picture-0"] and not outcome.stopped


def test_thoughts_before_an_answer_and_in_a_prompt_are_left_out(run_all):
    thought = '<think>A {colour}? {"neutral_prompt": "x"}</think>Here it is:\n'
    with serving(
        says(thought + json.dumps(GOOD)), says({**GOOD, "neutral_prompt": "[THINK]x[/THINK]A red square"})
    ) as server:
        run_all(server)
    assert {line["neutral"] for line in run_all.lines()} == {"A red square"} and len(server.requests) == 12


def test_an_unusable_answer_is_quoted_shortly_whatever_is_in_it(run):
    bad = [says({"\x1b[2J\ud800": "x" * 100_000}), says({"k" * 100_000: 1}), says('{"neutral_prompt": ' + "[" * 5000)]
    for answer in bad:
        with serving(answer, answer, answer) as server:
            why = run(server).failures["picture-0"]
        assert len(why) < 600 and why.isprintable()
        assert all(len(json.dumps(body["messages"][2:])) < 50_000 for _, _, body in server.requests)


def test_pictures_that_fail_are_listed_and_asked_by_the_next_run(run_all):
    bad = says("no")
    with serving(bad, bad, bad, status(400, "too big"), says("", finish_reason="content_filter")) as server:
        outcome = run_all(server)
    assert outcome.written == 9
    assert "3 answers, none usable; the last one: it is not JSON" in outcome.failures["picture-0"]
    assert "HTTP 400: too big" in outcome.failures["picture-1"]
    assert "refused" in outcome.failures["picture-2"]
    with serving() as server:
        again = run_all(server)
    assert (again.written, again.already, again.failures) == (3, 9, {})
    assert sum(server.asked.values()) == 3
    assert len(finished_ids(run_all.out)) == 12


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (status(401, f'{{"error": "Incorrect API key provided: {KEY}"}}'), "Check the key"),
        (status(404, "no such model"), "Check --base-url"),
        (status(302, "", Location="http://127.0.0.1:1/steal"), "Redirects are not followed"),
    ],
)
def test_faults_of_the_settings_stop_the_run(run_all, fault, message):
    with serving(fault) as server:
        outcome = run_all(server)
    assert message in outcome.stopped and KEY not in outcome.stopped
    assert outcome.written + len(outcome.failures) < 12


def test_a_server_that_stays_silent_stops_the_run(run_all):
    run_all.pictures = [
        RatedImage(f"{k}/{image.id}", image.image, 0, 0, "test") for k in range(5) for image in run_all.pictures
    ]
    outcome = run_all("http://127.0.0.1:9/v1", chat={"tries": 2})
    assert "answered none of the last 20" in outcome.stopped
    assert "gave no answer (ConnectionRefusedError" in next(iter(outcome.failures.values()))
    assert len(outcome.failures) == 20


def test_the_budget_stops_the_run_and_keeps_what_was_paid(run_all):
    with serving() as server:
        outcome = run_all(server, price_in=1, price_out=0, budget=0.003)
    assert "the budget of 0.003 is spent" in outcome.stopped
    assert len(run_all.lines()) == outcome.written == server.answered == 3


def test_pictures_that_cannot_be_read_cost_nothing(run, tmp_path):
    (tmp_path / "outside.png").write_bytes((run.folder / "1.png").read_bytes())
    (run.folder / "text.png").write_text("not a picture")
    names = ["text.png", "../outside.png", "none.png", str(tmp_path / "outside.png")]
    run.pictures = [RatedImage(name, name, 0, 0, "test") for name in names]
    with serving() as server:
        outcome = run(server)
    assert not server.requests and outcome.written == 0
    assert "cannot be read as an image" in outcome.failures["text.png"]
    assert "lies outside the picture folder" in outcome.failures["../outside.png"]
    assert "is not in the picture folder" in outcome.failures["none.png"]


def test_many_workers_ask_every_picture_once(run_all):
    with serving(status(500), cut, status(429, "", Retry_After="1")) as server:
        outcome = run_all(server, workers=6)
    assert outcome.written == 12 and server.answered == 12
    assert sorted(line["id"] for line in run_all.lines()) == sorted(image.id for image in run_all.pictures)


def test_a_last_line_without_its_line_break_is_kept_and_a_torn_one_asked_again(run_all):
    with serving() as server:
        run_all(server)
        data = run_all.out.read_bytes()
        run_all.out.write_bytes(data[:-1])
        assert run_all(server).already == 12 and len(server.requests) == 12
        assert run_all.out.read_bytes() == data
        run_all.out.write_bytes(data[:-20])
        outcome = run_all(server)
    assert (outcome.already, outcome.written) == (11, 1)
    assert len(run_all.lines()) == 12


@pytest.mark.parametrize("tail", ["my notes", '{"image": "a.png"}', '{"id": ["x"]}', "[" * 100_000])
def test_a_last_line_that_no_run_wrote_is_not_removed(run, tail):
    run.out.write_text('{"id": "picture-5"}\n' + tail)
    with pytest.raises(DataError, match="line 2 is damaged"):
        run("http://127.0.0.1:9/v1")
    assert run.out.read_text().endswith("\n" + tail)


def test_a_damaged_line_inside_is_not_guessed_at(run):
    for damage in ("rubbish", '{"id": ' + "[" * 100_000):
        run.out.write_text(f'{{"id": "picture-5"}}\n{damage}\n{{"id": "picture-6"}}\n')
        with pytest.raises(DataError, match="line 2 is damaged"):
            run("http://127.0.0.1:9/v1")


def test_two_runs_do_not_write_to_one_file(run):
    from filelock import FileLock

    with serving() as server, FileLock(run.out.with_name(".written.jsonl.lock")):
        with pytest.raises(DataError, match="another run is writing to it"):
            run(server)
        assert not server.requests


def test_settings_are_checked_all_at_once(run):
    with pytest.raises(DataError) as caught:
        run("ftp://host", chat={"key": "two words", "timeout": 0, "tries": 0}, workers=0, budget=5)
    for part in ("base url", "the key holds blanks", "timeout", "tries", "workers", "--price-in"):
        assert part in str(caught.value)
    assert "two words" not in str(caught.value)
    for name, value in (("timeout", math.inf), ("timeout", 1e300), ("per_minute", 1e-300)):
        with pytest.raises(DataError, match=rf"{name} must be .*at (most|least) .*, got"):
            run("http://127.0.0.1:9/v1", chat={name: value})
    with pytest.raises(DataError, match="take the name and password out"):
        run("http://me:secret@127.0.0.1/v1")


def command(server, tmp_path, out):
    arguments = ["write-prompts", str(tmp_path / "images.jsonl"), "--folder", str(tmp_path / "pictures")]
    arguments += ["--out", str(out), "--base-url", server.url, "--model", "tester", "--key-from", "TEST_KEY"]
    return [*arguments, "--image-size", "64", "--price-in", "1"]


def start(server, tmp_path, out, workers: int) -> subprocess.Popen:
    program = [sys.executable, "-m", "trainer.prepare", *command(server, tmp_path, out)]
    return subprocess.Popen(
        [*program, "--workers", str(workers)],
        env={**os.environ, "TEST_KEY": KEY},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_until_asked(server, process: subprocess.Popen, count: int) -> None:
    deadline = time.monotonic() + 300
    while sum(server.asked.values()) < count and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.01)


def test_killed_and_run_again_no_answered_picture_is_asked_twice(pictures, tmp_path):
    save_images(pictures, tmp_path / "images.jsonl")
    out = tmp_path / "written.jsonl"
    release = threading.Event()
    with serving() as server:

        def slow_after_five(handler):
            with server.lock:
                server.answered += 1
                late = server.answered > 5
            if late:
                release.wait(300)
            handler.answer(200, completion(GOOD))

        server.always = slow_after_five
        process = start(server, tmp_path, out, workers=1)
        wait_until_asked(server, process, 6)
        process.send_signal(signal.SIGKILL)
        said = "".join(process.communicate())
        # Every answer was on disk before the next picture was asked.
        assert len(finished_ids(out)) == 5
        server.always = None
        release.set()
        again = start(server, tmp_path, out, workers=1)
        said += "".join(again.communicate())
        # Only the picture that was under way when the run was killed is asked a second time.
        assert len(server.asked) == 12 and sum(server.asked.values()) == 13
    assert again.returncode == 0 and len(finished_ids(out)) == 12
    assert "12 of 12 pictures, 7 of them new" in said
    assert KEY not in said + "".join(path.read_text("utf-8") for path in tmp_path.rglob("*.jsonl*"))


def test_interrupted_answers_under_way_are_kept(pictures, tmp_path, interruptible):
    save_images(pictures, tmp_path / "images.jsonl")
    out, release = tmp_path / "written.jsonl", threading.Event()
    with serving() as server:

        def wait_and_answer(handler):
            release.wait(300)
            if sum(server.asked.values()) > 2:
                time.sleep(1)  # the machine is slow: the signal has not been looked at yet
            handler.answer(200, completion(GOOD))

        server.always = wait_and_answer
        process = start(server, tmp_path, out, workers=2)
        wait_until_asked(server, process, 2)
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        release.set()
        output, errors = process.communicate()
    asked = sum(server.asked.values())
    assert 2 <= asked < 12, "it went on asking"
    assert process.returncode == 1 and "Traceback" not in errors
    assert f"{asked} of 12 pictures, {asked} of them new" in output and "stopped early: interrupted" in output
    assert len(finished_ids(out)) == asked


def test_the_key_is_in_no_output(pictures, tmp_path, monkeypatch, capfd):
    save_images(pictures[:4], tmp_path / "images.jsonl")
    monkeypatch.setenv("TEST_KEY", KEY)
    echo = {"neutral_prompt": f"A sign that says {KEY}", "emotional_prompt": "A sign"}
    faults = [status(400, KEY), says(f"bad {KEY}"), says(echo), status(200, KEY), status(403, f"no, {KEY}")]
    with serving(*faults) as server:
        code = prepare.main(command(server, tmp_path, tmp_path / "written.jsonl"))
    printed = "".join(capfd.readouterr())
    assert code == 1 and "stopped early" in printed and "***" in printed
    assert KEY not in printed
    assert KEY not in repr(ChatSettings(server.url, "tester", key=KEY))
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or KEY.encode() not in path.read_bytes()


def test_the_key_is_found_behind_json_escapes(run):
    escaped = "".join(f"\\u{ord(mark):04X}" for mark in KEY)
    inner = json.dumps({**GOOD, "neutral_prompt": "A sign: KEY"}).replace("KEY", escaped)
    wrong = '{"KEY": 1}'.replace("KEY", escaped)
    error = status(400, '{"error": "KEY"}'.replace("KEY", escaped))
    with serving(says(inner), error, says(wrong)) as server:
        run(server)
        assert run.lines()[0]["neutral"] == "A sign: ***"
        run.out.unlink()
        failures = run(server).failures
        assert "***" in failures["picture-0"] and escaped not in failures["picture-0"]
        failures = run(server, asks=1).failures
        assert "***" in failures["picture-0"] and KEY not in failures["picture-0"]


def test_the_command_reports_failures_and_what_to_do(pictures, tmp_path, monkeypatch, capsys):
    save_images(pictures[:3], tmp_path / "images.jsonl")
    with serving(status(400, "no such image format")) as server:
        arguments = command(server, tmp_path, tmp_path / "written.jsonl")
        monkeypatch.delenv("TEST_KEY", raising=False)
        assert prepare.main(arguments) == 1
        assert "The environment variable TEST_KEY is not set" in capsys.readouterr().err
        monkeypatch.setenv("TEST_KEY", KEY)
        assert prepare.main(arguments) == 1
        text = capsys.readouterr().out
        assert "2 of 3 pictures, 2 of them new" in text and "1 failed; run the command again" in text
        assert "--answer-format" in text and "2,000 tokens read" in text and "cost 0.0020" in text
        assert prepare.main(arguments) == 0
    assert "review-export" in capsys.readouterr().out
    assert len(load_images(tmp_path / "images.jsonl")) == 3
