"""The second stage in several processes: the network of one, one voice, and one step at which all of them stop."""

import signal

import pytest
import torch

from emoticrafter import load_network
from tests.processes import run, torchrun
from tests.tiny_miniature import make_run
from trainer.core.checkpoint import read_state
from trainer.pictures.__main__ import main
from trainer.runs.logs import read_metrics

pytestmark = pytest.mark.slow

SETTINGS = "--teacher words --steps 4 --batch 4 --lr 0.01 --device cpu --precision float32"
BEFORE = """
import os, signal, sys
import torch
from emoticrafter.fit.loop import Fit
from trainer.miniature import dataset
from trainer.pictures import stage
from trainer.pictures.__main__ import main
signal.signal(signal.SIGINT, signal.default_int_handler)
rank, step = os.environ["RANK"], Fit.advance
"""
AFTER = "sys.exit(main(sys.argv[1:]))"
PAINTING_FAILS = """
if rank != "0":
    dataset._reserve = None  # it is called when pictures or latents are made
"""
SIGNALLED = """
def signalled(fit, *given):
    if fit.step == 2 and rank in "{targets}":
        os.kill(os.getpid(), {number:d})
    return step(fit, *given)
Fit.advance = signalled
"""
MEMORY_ENDS = """
def full(*_):
    raise torch.cuda.OutOfMemoryError("CUDA out of memory")
stage.under_words = full
"""


def settings(run, out, more=""):
    network = run / "emotion" / "default-0" / "network.safetensors"
    return f"--miniature {run} --network {network} --out {out} {SETTINGS} {more}".split()


def in_two(tmp_path, changes, *arguments):
    """Runs the command in two processes, in which something was changed."""
    script = tmp_path / "changed.py"
    script.write_text(BEFORE + changes + AFTER)
    return run(torchrun(2, str(script), *arguments))


@pytest.fixture(scope="module")
def miniature(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs") / "tiny", "default-0")


@pytest.fixture(scope="module")
def alone(miniature, tmp_path_factory):
    """What one process makes."""
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("stages") / "alone"
    assert main(settings(miniature, out)) == 0
    return out


def compare(out, alone, miniature):
    """The networks agree, far closer than they are to the one they began with; sums are added in another order."""
    paths = (out, alone, miniature / "emotion" / "default-0")
    mine, theirs, begun = (
        torch.cat([weight.flatten() for weight in load_network(path / "network.safetensors").state_dict().values()])
        for path in paths
    )
    assert (mine - theirs).norm() < 1e-3 * (theirs - begun).norm()
    mine, theirs = (read_metrics(path / "metrics.jsonl")[-1]["loss"] for path in (out, alone))
    return mine, theirs


def test_two_processes_in_two_parts_equal_one_and_the_first_paints_and_speaks(alone, miniature, tmp_path):
    fresh, out = make_run(tmp_path / "tiny", "default-0"), tmp_path / "out"
    done = in_two(tmp_path, PAINTING_FAILS, *settings(fresh, out, "--accumulate 2"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("parameters learn") == done.stdout.count("network.safetensors") == 1
    assert "2 processes" in done.stdout
    mine, theirs = compare(out, alone, miniature)
    assert mine == pytest.approx(theirs, rel=1e-4)


def test_a_reader_teaches_two_processes_as_one(miniature, tmp_path):
    """The first one trains it while the other waits."""
    two, one = tmp_path / "two", tmp_path / "one"
    done = run(torchrun(2, "-m", "trainer.pictures", *settings(miniature, two, "--teacher reader")))
    assert done.returncode == 0, done.stderr
    assert main(settings(miniature, one, "--teacher reader")) == 0
    mine, theirs = compare(two, one, miniature)
    assert mine == pytest.approx(theirs, rel=1e-4)


@pytest.mark.parametrize(
    ("targets", "number", "said"),
    [("1", signal.SIGTERM, " by SIGTERM to process 1"), ("01", signal.SIGINT, " by SIGINT")],
)
def test_a_signal_stops_all_at_one_step_and_one_process_goes_on_from_there(
    alone, miniature, tmp_path, targets, number, said
):
    out = tmp_path / "out"
    changes = SIGNALLED.format(targets=targets, number=number)
    stopped = in_two(tmp_path, changes, *settings(miniature, out))
    assert stopped.returncode != 0
    assert f"Stopped{said} at step 3. The checkpoint of step 3 is kept in" in stopped.stderr
    assert stopped.stderr.count("Stopped") == 1 and "lost another" not in stopped.stderr
    assert read_state(out)["step"] == 3 and not (out / "network.safetensors").exists()
    assert main(settings(miniature, out)) == 0
    compare(out, alone, miniature)


def test_two_processes_go_on_where_one_was_stopped(alone, miniature, tmp_path, monkeypatch):
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr("trainer.pictures.stage.under_words", interrupted_in(3))
        assert main(settings(miniature, out)) == 130
    assert read_state(out)["step"] == 3
    done = run(torchrun(2, "-m", "trainer.pictures", *settings(miniature, out)))
    assert done.returncode == 0, done.stderr
    compare(out, alone, miniature)


def interrupted_in(call):
    """The teacher's velocity, with Ctrl-C in one call of it."""
    from trainer.pictures.stage import under_words

    calls = []

    def velocity(*given):
        calls.append(1)
        if len(calls) == call:
            signal.raise_signal(signal.SIGTERM)
        return under_words(*given)

    return velocity


@pytest.mark.parametrize(
    ("changes", "more", "said"),
    [
        ("", "--batch 5", "2 processes with --accumulate 1 cannot share: expected a multiple of 2, such as 4"),
        ("", "--network none.safetensors", "There is no file none.safetensors"),
        (MEMORY_ENDS, "", "memory cannot hold 2 pictures at a time. Add --accumulate 2, which gives the same result"),
    ],
)
def test_what_goes_wrong_is_said_once(miniature, tmp_path, changes, more, said):
    done = in_two(tmp_path, changes, *settings(miniature, tmp_path / "out", more))
    assert done.returncode != 0
    assert said in done.stderr and done.stderr.count("error: ") == 1, done.stderr
