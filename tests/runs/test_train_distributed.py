"""Several processes: they train the same network as one, and when one is lost the others say so and end."""

import json
import os
import signal
import subprocess
import time

import pytest
import torch

from tests.processes import ROOT, environment, run, torchrun
from trainer.core.checkpoint import read_state
from trainer.train import main

pytestmark = pytest.mark.slow

# Dropout draws other numbers in each process, so runs are compared without it.
SMALL = (
    "--width 64 --depth 1 --emotion-tokens 2 --emotion-hidden 16 --batch 8 --dropout 0 --log-every 1 --clip-norm 1 "
    "--ema 0.9 --validate-every 3 --save-minutes 0 --preserve 0.5"
)
HELD_UP = """
import os, sys, time
from emoticrafter.fit.loop import Fit
from trainer import train
step, calls = Fit.advance, []
def held_up(*given):
    calls.append(1)
    time.sleep(600 if os.environ["RANK"] == "1" and len(calls) == 5 else 0)  # it is killed in here
    return step(*given)
Fit.advance = held_up
os.write(1, f"process {os.environ['RANK']} {os.getpid()}\\n".encode())  # at once: two processes share the pipe
sys.exit(train.main(sys.argv[1:]))
"""


def settings(data, out, more: str = "") -> list[str]:
    return [*f"{SMALL} {more}".split(), "--data", str(data), "--out", str(out)]


def metrics(out) -> list[dict]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def alone(data_folder, tmp_path_factory):
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("runs") / "alone"
    assert main(settings(data_folder, out, "--steps 6")) == 0
    return out


def compare(out, expected) -> None:
    """Losses, gradients and validations agree; the sums are added up in another order, so not to the last bit."""
    for mine, theirs in zip(metrics(out), metrics(expected), strict=True):
        assert mine.pop("kind") == theirs.pop("kind")
        for name in theirs.keys() - {"samples_per_second"}:
            assert mine[name] == pytest.approx(theirs[name], rel=1e-4), name


def test_two_processes_in_two_parts_equal_one(alone, data_folder, tmp_path):
    out = tmp_path / "run"
    done = run(torchrun(2, "-m", "trainer.train", *settings(data_folder, out, "--steps 6 --accumulate 2")))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Done after 6 steps") == 1, "only the first process speaks"
    compare(out, alone)


def test_a_killed_process_ends_the_others_and_the_run_goes_on_from_its_checkpoint(alone, data_folder, tmp_path):
    out, script = tmp_path / "run", tmp_path / "held_up.py"
    script.write_text(HELD_UP)
    command = torchrun(2, str(script), *settings(data_folder, out, "--steps 6"))
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    ids = {}
    while len(ids) < 2:
        words = process.stdout.readline().split()
        assert words or process.poll() is None, process.stderr.read()
        if words[:1] == ["process"]:
            ids[words[1]] = int(words[2])
    while not ((out / "last.safetensors").exists() and read_state(out)["step"] >= 2):
        assert process.poll() is None, "it ended before it was killed"
        time.sleep(0.02)
    os.kill(ids["1"], signal.SIGKILL)
    _, error = process.communicate(timeout=600)
    assert process.returncode != 0
    assert "lost another one at step" in error or "Stopped by SIGTERM at step" in error
    assert "is kept in" in error
    with pytest.raises(ProcessLookupError):
        os.kill(ids["0"], 0)
    assert main(settings(data_folder, out, "--steps 6 --resume")) == 0, "one process goes on where two were"
    compare(out, alone)


SIGNALLED = """
import os, signal, sys
from emoticrafter.fit.loop import Fit
from trainer import train
signal.signal(signal.SIGINT, signal.default_int_handler)
step, rank, (targets, number) = Fit.advance, os.environ["RANK"], os.environ["SIGNALLED"].split()
def signalled(fit, *given):
    if fit.step == 2 and rank in targets:
        os.kill(os.getpid(), int(number))
    return step(fit, *given)
Fit.advance = signalled
sys.exit(train.main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("targets", "number", "said"),
    [("1", signal.SIGTERM, " by SIGTERM to process 1"), ("01", signal.SIGINT, " by SIGINT")],
)
def test_a_signal_to_any_process_stops_all_at_one_step_and_saves_once(
    alone, data_folder, tmp_path, monkeypatch, targets, number, said
):
    out, script = tmp_path / "run", tmp_path / "signalled.py"
    script.write_text(SIGNALLED)
    monkeypatch.setenv("SIGNALLED", f"{targets} {int(number)}")
    more = "--steps 6 --save-minutes 9 --log-every 5 --validate-every 3"
    stopped = run(torchrun(2, str(script), *settings(data_folder, out, more)))
    assert stopped.returncode != 0
    assert f"Stopped{said} at step 3. The checkpoint of step 3 is kept in" in stopped.stderr
    assert stopped.stderr.count("Stopped") == 1 and "lost another" not in stopped.stderr
    assert read_state(out)["step"] == 3
    assert main(settings(data_folder, out, "--steps 6 --resume")) == 0
    assert metrics(out)[-1]["loss"] == pytest.approx(metrics(alone)[-1]["loss"], rel=1e-4)


def test_problems_are_told_once(tmp_path):
    done = run(torchrun(2, "-m", "trainer.train", *settings(tmp_path, tmp_path / "run", "--batch 9")))
    assert done.returncode != 0
    assert done.stderr.count("settings cannot be used") == 1
    assert "2 processes with --accumulate 1 cannot share: expected a multiple of 2, such as 8" in done.stderr
