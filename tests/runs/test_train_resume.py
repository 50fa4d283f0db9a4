"""Resume: a killed run goes on as if nothing had been, and a checkpoint of something else is refused."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from emoticrafter.fit.loop import Fit
from trainer.core.checkpoint import read_state
from trainer.runs import train
from trainer.runs.settings import Settings
from trainer.train import main

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SMALL = "--width 64 --depth 1 --emotion-tokens 2 --emotion-hidden 16 --batch 8 --log-every 1 --validate-every 3"
METHOD = "--ema 0.9 --schedule cosine --warmup 2 --clip-norm 1 --dropout 0.2 --preserve 0.5"


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def arguments(data, out, more: str = "--steps 10") -> list[str]:
    method = "" if "--ema" in more else METHOD
    return [*f"{SMALL} {method} {more} --save-minutes 0".split(), "--data", str(data), "--out", str(out)]


def metrics(out) -> list[dict]:
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "samples_per_second"} for line in lines]


def error_of(capsys) -> str:
    return capsys.readouterr().err.split("error: ", 1)[1]


@pytest.fixture(scope="module")
def whole(data_folder, tmp_path_factory):
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("runs") / "whole"
    assert main(arguments(data_folder, out)) == 0
    return out


@pytest.fixture
def stopped(data_folder, tmp_path, monkeypatch):
    """A run that ended in its fifth step, after the checkpoint of the fourth."""
    step, calls = Fit.advance, []

    def stops(*given):
        calls.append(1)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return step(*given)

    with monkeypatch.context() as patch:
        patch.setattr(Fit, "advance", stops)
        assert main(arguments(data_folder, tmp_path / "run")) == 130
    assert read_state(tmp_path / "run")["step"] == 4
    return tmp_path / "run"


def test_ten_steps_equal_four_and_six(stopped, whole, data_folder):
    assert main([*arguments(data_folder, stopped), "--resume"]) == 0
    assert metrics(stopped) == metrics(whole)
    assert (stopped / "last.safetensors").stat().st_size > 0
    mine, theirs = ((out / "network.safetensors").read_bytes() for out in (stopped, whole))
    assert mine == theirs, "equal runs are equal files"
    mine, theirs = ({**read_state(out), "seconds": 0, "settings": 0} for out in (stopped, whole))
    assert mine == theirs


def test_a_run_goes_on_exactly_after_kill_9(whole, data_folder, tmp_path):
    out = tmp_path / "run"
    # Held up in its sixth step, so that the kill hits it in the middle.
    slow = (
        "import sys, time; from emoticrafter.fit.loop import Fit; from trainer import train\n"
        "step, calls = Fit.advance, []\n"
        "def held_up(*given):\n"
        "    calls.append(1)\n"
        "    time.sleep(600 if len(calls) == 6 else 0)\n"
        "    return step(*given)\n"
        "Fit.advance = held_up\n"
        "sys.exit(train.main(sys.argv[1:]))"
    )
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", slow, *arguments(data_folder, out)]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    while not ((out / "last.safetensors").exists() and read_state(out)["step"] >= 3):
        assert process.poll() is None, "it ended before it was killed"
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert 3 <= read_state(out)["step"] < 10
    assert main([*arguments(data_folder, out), "--resume"]) == 0
    assert metrics(out) == metrics(whole)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_saves_its_step_between_two_checkpoints(
    whole, data_folder, tmp_path, monkeypatch, capsys, interruptible, number
):
    step, calls, out = Fit.advance, [], tmp_path / "run"

    def interrupted(*given):
        calls.append(1)
        if len(calls) == 2:
            os.kill(os.getpid(), number)
        return step(*given)

    later = [*arguments(data_folder, out), "--save-minutes", "9"]
    with monkeypatch.context() as patch:
        patch.setattr(Fit, "advance", interrupted)
        assert main([*later, "--log-every", "5"]) == 130
    assert read_state(out)["step"] == 2
    by = " by SIGTERM" if number == signal.SIGTERM else ""
    assert f"Stopped{by} at step 2. The checkpoint of step 2 is kept in" in capsys.readouterr().err
    assert main([*later, "--resume"]) == 0
    assert metrics(out)[1:] == metrics(whole)[2:], "but for the line that covers both steps before"


def test_what_a_kill_left_half_written_is_removed_and_metrics_are_written_once(stopped, data_folder, whole):
    lines = (stopped / "metrics.jsonl").read_text().splitlines()
    odd = ['{"kind": "tra', "[1]", '{"kind": "train"}', "null"]
    cut = ['{"kind": "train", "step": 5, "loss": 9.0}', '{"kind": "tra']  # as a kill leaves it
    (stopped / "metrics.jsonl").write_text("\n".join([lines[0], *odd, *lines[1:], *cut]))
    kept = stopped / ".last.safetensors.notes"
    kept.write_text("not ours")
    for name in (".last.safetensors.ab12.tmp", ".network.safetensors.cd34.tmp", ".metrics.jsonl.ef56.tmp"):
        (stopped / name).mkdir()
        (stopped / name / ".tmpQ1").write_bytes(b"half")
    assert main([*arguments(data_folder, stopped), "--resume"]) == 0
    assert not list(stopped.glob("*.tmp")) and not list(stopped.glob(".*.tmp"))
    assert kept.exists()
    assert metrics(stopped) == metrics(whole)


def test_a_kill_in_the_middle_of_a_checkpoint_leaves_nothing_after_the_next_run(data_folder, tmp_path):
    out = tmp_path / "run"
    dies = (
        "import os, signal, sys; from pathlib import Path\n"
        "from trainer import train; from emoticrafter.weights import files\n"
        "def half(tensors, path, metadata):\n"
        "    Path(path).write_bytes(b'half'); Path(path).with_name('.tmpAbC').write_bytes(b'half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "files.save_file = half; train.main(sys.argv[1:])"
    )
    command = [sys.executable, "-c", dies, *arguments(data_folder, out, "--steps 4")]
    killed = subprocess.run(command, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert len(list(out.glob(".last.safetensors.*.tmp"))) == 1
    assert not (out / ".tmpAbC").exists(), "it is inside"
    assert main([*arguments(data_folder, out, "--steps 4"), "--resume"]) == 0
    assert {path.name for path in out.glob(".*")} <= {".lock"}


def test_resume_without_a_checkpoint_starts_and_of_a_finished_run_changes_nothing(data_folder, tmp_path, whole, capsys):
    for _ in ("new", "finished"):
        assert main([*arguments(data_folder, tmp_path / "run"), "--resume"]) == 0
        assert "Done after 10 steps" in capsys.readouterr().out
        assert metrics(tmp_path / "run") == metrics(whole)


def test_an_early_interruption_has_the_same_status(data_folder, tmp_path, monkeypatch, capsys):
    def interrupted(*given):
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "read_data", interrupted)
    assert main(arguments(data_folder, tmp_path / "run")) == 130
    assert "interrupted; run the same command again" in capsys.readouterr().err


def test_a_finished_run_without_its_checkpoint_is_not_overwritten(data_folder, tmp_path, capsys):
    out = tmp_path / "run"
    assert main(arguments(data_folder, out, "--steps 3")) == 0
    (out / "last.safetensors").unlink()
    before = {name: (out / name).read_bytes() for name in ("network.safetensors", "metrics.jsonl")}
    for more in ("", "--resume"):
        assert main(arguments(data_folder, out, f"--steps 3 {more}")) == 1
        assert "holds a finished run without a checkpoint: choose another folder" in error_of(capsys)
    assert {name: (out / name).read_bytes() for name in before} == before


def test_a_longer_run_goes_on(data_folder, tmp_path):
    constant = "--ema 0.9 --dropout 0.1"
    assert main(arguments(data_folder, tmp_path / "run", f"{constant} --steps 4")) == 0
    assert main([*arguments(data_folder, tmp_path / "run", f"{constant} --steps 6"), "--resume"]) == 0
    assert read_state(tmp_path / "run")["step"] == 6
    assert (tmp_path / "run" / "finished").exists()


def test_a_checkpoint_beyond_the_steps_asked_for_is_refused(stopped, data_folder, capsys):
    assert main([*arguments(data_folder, stopped, f"{METHOD} --steps 3"), "--resume"]) == 1
    assert "is of step 4, beyond the 3 steps that are asked for: give more --steps" in error_of(capsys)


def test_other_settings_are_refused(stopped, data_folder, capsys):
    more = "--ema 0.9 --steps 10 --lr 0.5 --depth 2"
    assert main([*arguments(data_folder, stopped, more), "--resume"]) == 1
    error = error_of(capsys)
    assert "--lr was 0.001 and is 0.5" in error
    assert "--depth was 1 and is 2" in error
    assert "Give what it was made with, or choose another --out" in error


def test_other_data_is_refused(stopped, tmp_path, capsys, data_folder):
    table = data_folder / "pairs.jsonl"
    other = tmp_path / "other"
    other.mkdir()
    (other / "features").symlink_to(data_folder / "features")
    (other / "pairs.jsonl").write_text(table.read_text().replace('"made"', '"other"'))
    assert main([*arguments(other, stopped), "--resume"]) == 1
    assert re.search(r"- the data was \w{12} and is \w{12}\nGive what it was made with", error_of(capsys))


def rewrite_state(out, **changed) -> None:
    """Changes entries of a checkpoint's state; those that are None are left out."""
    path = out / "last.safetensors"
    with safe_open(path, "pt") as file:
        metadata, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    state = json.loads(metadata["state"]) | changed
    kept = {name: value for name, value in state.items() if value is not None}
    save_file(tensors, path, metadata | {"state": json.dumps(kept)})


def test_features_made_otherwise_are_refused_or_named(stopped, data_folder, capsys):
    made = read_state(stopped)["features"]
    for name, other in (("text encoders", "another (ab12)"), ("dtype", "bfloat16")):
        rewrite_state(stopped, features=made | {name: other})
        assert main([*arguments(data_folder, stopped), "--resume"]) == 1
        assert f"- the features' {name} was {other} and is {made[name]}\nGive what it was made" in error_of(capsys)
    rewrite_state(stopped, features=made | {"numbers": "0" * 12})
    assert main([*arguments(data_folder, stopped), "--resume"]) == 0
    assert "The features were encoded anew since the checkpoint" in capsys.readouterr().out


def test_what_else_changes_results_is_told(stopped, data_folder, capsys):
    more = f"{METHOD} --steps 12 --accumulate 2 --precision bfloat16 --validate-every 4"
    assert main([*arguments(data_folder, stopped, more), "--resume"]) == 0
    said = capsys.readouterr().out
    for change in ("--accumulate was 1 and is 2", "precision was float32 and is bfloat16 autocast"):
        assert change in said
    assert "steps between validations was 3 and is 4" in said and "was 10 and is 12" in said


def test_an_older_checkpoint_goes_on_with_a_line(stopped, whole, data_folder, capsys):
    rewrite_state(stopped, features=None, computed=None)
    assert main([*arguments(data_folder, stopped), "--resume"]) == 0
    assert "does not say what its features were made with: they are not compared" in capsys.readouterr().out
    assert metrics(stopped) == metrics(whole)


def test_a_checkpoint_of_another_network_is_refused(stopped, data_folder, capsys, monkeypatch):
    monkeypatch.setattr(Settings, "differences", lambda *given: [])
    assert main([*arguments(data_folder, stopped, f"{METHOD} --steps 10 --width 128"), "--resume"]) == 1
    error = error_of(capsys)
    assert "is of another network" in error
    assert "valence_encoder.2.weight is [128, 16], expected [256, 16]; " in error
    assert "Resume with the settings and features that it was made with" in error


def test_a_damaged_checkpoint_is_refused(stopped, data_folder, capsys):
    path = stopped / "last.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])
    assert main([*arguments(data_folder, stopped), "--resume"]) == 1
    error = error_of(capsys)
    assert "cannot be read" in error
    assert "move it away to start the run anew" in error


def test_a_checkpoint_with_an_odd_state_is_damaged(stopped, data_folder, capsys):
    path = stopped / "last.safetensors"
    with safe_open(path, "pt") as file:
        metadata, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    state = json.loads(metadata.pop("state"))
    for odd, message in (
        ({**state, "step": "4"}, "its step is missing or odd"),
        ({**state, "step": -1}, "its step is missing or odd"),
        ({**state, "best": {"loss": None, "step": 3}}, "its best is missing or odd"),
        ({**state, "settings": None, "data": 5}, "its settings, data are missing or odd"),
        (None, "it says nothing of its run"),
        ([], "it says nothing of its run"),
    ):
        save_file(tensors, path, metadata | ({"state": json.dumps(odd)} if odd is not None else {}))
        assert main([*arguments(data_folder, stopped), "--resume"]) == 1
        error = error_of(capsys)
        assert message in error and "It is damaged: move it away" in error


def test_a_network_file_is_no_checkpoint(whole, stopped, data_folder, capsys):
    (stopped / "last.safetensors").write_bytes((whole / "network.safetensors").read_bytes())
    assert main([*arguments(data_folder, stopped), "--resume"]) == 1
    assert "is not a checkpoint of this trainer" in error_of(capsys)
