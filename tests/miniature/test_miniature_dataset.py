"""The plan of the painted pictures, and files that fill up part by part."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from trainer.miniature.dataset import SEEDS, fill, make_plan, paint_set
from trainer.miniature.recipe import TINY
from trainer.world.painter import paint


def test_a_plan_follows_from_its_seed():
    first, again = (make_plan("training", 50, TINY, neutral=0.3) for _ in range(2))
    assert first.scenes == again.scenes
    np.testing.assert_array_equal(first.valence, again.valence)
    assert make_plan("pairs", 50, TINY).scenes != first.scenes


def test_training_never_sees_a_held_out_scene():
    assert not any(scene.held_out for scene in make_plan("training", 2000, TINY).scenes)


def test_no_two_sets_share_a_picture():
    seeds = {name: make_plan(name, 10, TINY).seed(0) for name in SEEDS}
    assert min(np.diff(sorted(seeds.values()))) > 1_000_000


def test_neutral_pictures_are_near_zero_and_the_others_anywhere():
    plan = make_plan("training", 4000, TINY, neutral=0.3)
    assert 0.25 < plan.neutral.mean() < 0.35
    assert abs(plan.valence[plan.neutral]).mean() < 0.5
    assert abs(plan.valence[~plan.neutral]).mean() > 1.3


@pytest.mark.parametrize("processes", [1, 2])
def test_pictures_are_those_of_the_plan(tmp_path, processes):
    plan = make_plan("training", 5, TINY)
    pictures = paint_set(plan, tmp_path / "pictures.npy", 32, processes)
    for i in range(5):
        wanted = paint(plan.scenes[i], plan.valence[i], plan.arousal[i], plan.seed(i), 32)
        np.testing.assert_array_equal(pictures[i], wanted)


PAINTING = """
import multiprocessing, sys, threading, time
from pathlib import Path
from trainer.core.command_line import status_of
from trainer.miniature.dataset import make_plan, paint_set
from trainer.miniature.recipe import TINY

def tell():
    while not path.with_suffix(".progress").exists():
        time.sleep(0.05)
    print(*(child.pid for child in multiprocessing.active_children()), flush=True)

if __name__ == "__main__":
    path = Path(sys.argv[1])
    threading.Thread(target=tell, daemon=True).start()
    sys.exit(status_of(lambda: paint_set(make_plan("training", 20_000, TINY), path, 32, 2) and None, "train"))
"""


def lives(process: int) -> bool:
    """Whether a process runs; one that ended and was not asked for its status since does not."""
    status = Path(f"/proc/{process}/stat")
    if Path("/proc/self/stat").exists():
        try:
            return status.read_text().rpartition(")")[2].split()[0] not in "ZX"
        except OSError:
            return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 130), (signal.SIGKILL, -signal.SIGKILL)], ids=["term", "kill"]
)
def test_painting_processes_end_with_the_command(tmp_path, number, status):
    script = tmp_path / "painting.py"
    script.write_text(PAINTING)
    root = Path(__file__).parents[2]
    parent = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path / "pictures.npy")],
        env=os.environ | {"PYTHONPATH": str(root)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    workers = [int(word) for word in parent.stdout.readline().split()]
    assert len(workers) == 2 and all(map(lives, workers)), parent.stderr.read()
    parent.send_signal(number)
    try:
        assert parent.wait(timeout=60) == status
        until = time.monotonic() + 30
        while any(map(lives, workers)):
            assert time.monotonic() < until, "painting processes outlive the command"
            time.sleep(0.05)
    finally:
        for worker in filter(lives, workers):
            os.kill(worker, signal.SIGKILL)
    said = parent.stderr.read()
    assert "Traceback" not in said
    assert number == signal.SIGKILL or "run the same command again" in said


class Interrupted(Exception):
    pass


def test_a_full_disk_is_told_before_anything_is_painted(tmp_path, monkeypatch):
    def full(descriptor, start, size):
        raise OSError(errno.ENOSPC, "No space left on device")

    def produce(ranges):
        raise AssertionError("painted")

    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", full, raising=False)
        with pytest.raises(OSError, match=r"No space left on device for 4\.0 MB: .*numbers\.partial"):
            fill(tmp_path / "numbers.npy", (1000, 1000), "float32", produce)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size", [0, 100, 1000])
def test_a_file_that_was_cut_short_is_named(tmp_path, size):
    path = tmp_path / "numbers.npy"
    fill(path, (1000, 1), "float32", lambda ranges: (np.zeros((len(rows), 1)) for rows in ranges))
    os.truncate(path, size)
    with pytest.raises(ValueError, match=r"numbers\.npy is damaged: delete it, and run the same command again") as told:
        fill(path, (1000, 1), "float32", None)
    assert "pickle" not in str(told.value)


def test_an_interrupted_file_goes_on_where_it_stopped_and_in_no_other_shape(tmp_path):
    made = []

    def produce(ranges, fail_at=None):
        for rows in ranges:
            if rows.start == fail_at:
                raise Interrupted
            made.append(rows.start)
            yield np.array(rows)[:, None] * 2.0

    path = tmp_path / "numbers.npy"
    with pytest.raises(Interrupted):
        fill(path, (10, 1), "float32", lambda ranges: produce(ranges, fail_at=6), part=3)
    assert not path.exists()
    with pytest.raises(ValueError, match=r"numbers\.partial holds float32 of \[10, 1\], expected .* \[8, 1\]"):
        fill(path, (8, 1), "float32", produce, part=3)
    array = fill(path, (10, 1), "float32", produce, part=3)
    assert made == [0, 3, 6, 9]
    np.testing.assert_array_equal(array[:, 0], np.arange(10) * 2.0)
    fill(path, (10, 1), "float32", produce, part=3)
    assert made == [0, 3, 6, 9]
    assert [file.name for file in tmp_path.iterdir()] == ["numbers.npy"]
    with pytest.raises(ValueError, match=r"numbers\.npy holds float32 of \[10, 1\], .* or delete it to make"):
        fill(path, (10, 2), "float32", produce, part=3)
