"""Training in one process: what it learns, what it writes, what it refuses and how it stops."""

import errno
import json
import math
import sys
from unittest.mock import patch

import numpy as np
import pytest
import torch
from filelock import FileLock
from safetensors.torch import load_file, save_file

from emoticrafter import load_network
from emoticrafter.fit.contrast import Lesson
from emoticrafter.fit.loss import content_error
from emoticrafter.weights import read_metadata
from trainer.core import checkpoint
from trainer.data.pairs import load_table
from trainer.features.store import FeatureStore
from trainer.runs import directions, train
from trainer.runs.directions import data_directions
from trainer.runs.loader import Loader, batch_indexes
from trainer.train import main

SMALL = "--width 64 --depth 1 --emotion-tokens 2 --emotion-hidden 16 --batch 8 --lr 3e-3 --log-every 1"


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def fit(data, out, more: str = "--steps 4") -> int:
    return main([*SMALL.split(), *more.split(), "--data", str(data), "--out", str(out)])


def metrics(out, kind: str = "train") -> list[dict]:
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if line["kind"] == kind]


def losses(out) -> list[float]:
    return [line["loss"] for line in metrics(out)]


def error_of(capsys) -> str:
    return capsys.readouterr().err.split("error: ", 1)[1]


@pytest.fixture(scope="module")
def trained(data_folder, tmp_path_factory):
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("runs") / "trained"
    assert fit(data_folder, out, "--steps 150 --dropout 0 --ema 0.9 --log-every 25 --validate-every 50") == 0
    return out


# --- what it learns --------------------------------------------------------------------------------------------------


def test_output_moves_as_the_data_does(trained):
    first, last = metrics(trained, "validation")[0], metrics(trained, "validation")[-1]
    assert last["step"] == 150
    assert last["loss"] < first["loss"]
    for axis in ("valence", "arousal"):
        assert last[f"{axis}_alignment"] > 0.7
        assert last[f"{axis}_consistency"] > 0.7
        assert last[f"{axis}_monotone"] > 0.9
        assert 0.3 < last[f"{axis}_gain"] / last[f"{axis}_data_gain"] < 1.5


def test_network_file_is_for_the_nodes_and_says_how_it_was_made(trained, data_folder):
    network = load_network(trained / "network.safetensors")
    assert network.config.width == 64
    said = read_metadata(trained / "network.safetensors")["training"]
    assert said["data"]["fingerprint"] == load_table(data_folder).fingerprint()
    assert said["data"]["sources"] == {"made": 48}
    assert said["data"]["licences"] == {"made": "not recorded: see its source"}
    assert said["validation"]["step"] == said["steps"]
    assert said["settings"]["scale"] == said["scale"] == 1.5
    assert said["settings"]["ema"] == 0.9
    assert str(data_folder.parent) not in json.dumps(said), "a path of this machine is nobody's business"


def test_moving_average_is_what_is_saved(trained):
    tensors = load_file(trained / "last.safetensors")
    saved = load_file(trained / "network.safetensors")
    torch.testing.assert_close(saved["norm.weight"], tensors["average.norm.weight"], rtol=0, atol=0)
    assert not torch.equal(saved["norm.weight"], tensors["network.norm.weight"])


@pytest.mark.slow
def test_same_seed_same_losses(data_folder, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert fit(data_folder, tmp_path / name, f"--steps 4 --seed {seed}") == 0
    assert losses(tmp_path / "a") == losses(tmp_path / "b")
    assert losses(tmp_path / "a") != losses(tmp_path / "c")


@pytest.mark.slow
def test_accumulation_gives_the_same_run_and_bfloat16_nearly(data_folder, tmp_path):
    for name, more in (("plain", ""), ("four", "--accumulate 4"), ("half", "--precision bfloat16")):
        assert fit(data_folder, tmp_path / name, f"--steps 4 --dropout 0 {more}") == 0
    plain, four, half = (losses(tmp_path / name) for name in ("plain", "four", "half"))
    assert four == pytest.approx(plain, rel=1e-5)
    assert half != plain and half == pytest.approx(plain, rel=0.02)


@pytest.mark.slow
def test_preservation_keeps_the_residual_out_of_content(data_folder, tmp_path):
    for name, weight in (("free", 0), ("kept", 5)):
        more = f"--steps 120 --dropout 0 --preserve {weight} --preserve-rank 4 --log-every 60 --validate-every 120"
        assert fit(data_folder, tmp_path / name, more) == 0
    free, kept = (metrics(tmp_path / name, "validation")[-1] for name in ("free", "kept"))
    assert kept["content_share"] < 0.5 * free["content_share"]


# --- its parts -------------------------------------------------------------------------------------------------------


def test_every_epoch_has_every_pair_once_and_no_batch_is_short():
    pairs = np.arange(100, 110)
    stream = np.concatenate([batch_indexes(pairs, 4, step, seed=3) for step in range(10)])
    epochs = stream.reshape(4, 10)
    assert (np.sort(epochs, axis=1) == pairs).all()
    assert not (epochs[0] == epochs[1]).all()
    assert len(batch_indexes(pairs, 25, 0, seed=3)) == 25


def directions_of(folder, rank: int):
    table, store = load_table(folder), FeatureStore(folder / "features")
    read = lambda rows: Lesson(store.neutral(rows), store.emotional(rows), None, None)  # noqa: E731
    return data_directions(read, table.indexes("train"), table.valence, table.arousal, rank, seed=0)


def test_content_directions_hold_no_emotion(data_folder):
    found = directions_of(data_folder, rank=6)
    torch.testing.assert_close(found.content @ found.content.T, torch.eye(6), rtol=0, atol=1e-5)
    content = found.content[0].expand(1, 77, -1)
    # A residual along a content direction of length 1 per token: 1 / D per element.
    assert content_error(content, found.content).item() == pytest.approx(1 / 32, rel=1e-4)
    assert len(directions_of(data_folder, rank=32).content) == 16, "16 of the 32 are left to emotion"


def test_slopes_are_those_of_the_data(data_folder):
    found = directions_of(data_folder, rank=1)
    made = 0.5 * torch.randn(2, 77, 32, generator=torch.Generator().manual_seed(999))
    torch.testing.assert_close(torch.stack([found.valence, found.arousal]), made, rtol=0, atol=5e-3)


# --- what it refuses -------------------------------------------------------------------------------------------------


def test_all_problems_are_told_at_once(tmp_path, capsys):
    more = "--steps 4 --lr fast --dropout 1 --width 100 --block new --batch 9 --accumulate 2 --device tpu9"
    assert fit(tmp_path / "nothing", tmp_path / "run", more) == 1
    error = error_of(capsys)
    for said in (
        "7 settings cannot be used",
        "--lr: expected a number such as -1.5, got 'fast'",
        "--dropout is 1.0: expected from 0 to below 1",
        "--width is 100: expected a multiple of 64",
        "--block is 'new': expected one of paper, published",
        "--batch is 9, which 1 process with --accumulate 2 cannot share",
        "--device is 'tpu9'",
        "make it with python -m trainer.prepare --out",
    ):
        assert said in error
    assert not (tmp_path / "run").exists()


def test_a_second_run_into_the_same_folder_is_refused_and_touches_nothing(data_folder, tmp_path, capsys):
    out = tmp_path / "run"
    out.mkdir()
    (out / ".last.safetensors.x.tmp").mkdir()  # what the run that holds the lock is writing
    for more in ("--steps 4", "--steps 4 --resume"):
        with FileLock(out / ".lock"):
            assert fit(data_folder, out, more) == 1
        assert f"Another run is writing in {out}: wait until it has ended" in error_of(capsys)
    assert {path.name for path in out.iterdir()} <= {".lock", ".last.safetensors.x.tmp"}
    assert fit(data_folder, out) == 0, "the lock is free again"


def test_a_run_is_not_overwritten_nor_is_one_that_ended_meanwhile(trained, data_folder, tmp_path, capsys, monkeypatch):
    before = (trained / "network.safetensors").read_bytes()
    assert fit(data_folder, trained) == 1
    assert "holds a run already: add --resume" in error_of(capsys)
    assert (trained / "network.safetensors").read_bytes() == before

    def meanwhile(*arguments):
        (tmp_path / "last.safetensors").write_bytes((trained / "last.safetensors").read_bytes())
        return read(*arguments)

    read = train.read_data
    monkeypatch.setattr(train, "read_data", meanwhile)
    assert fit(data_folder, tmp_path) == 1
    assert "holds a run already: add --resume" in error_of(capsys)
    assert not (tmp_path / "metrics.jsonl").exists()


def test_sizes_beyond_all_use_are_refused(data_folder, tmp_path, capsys):
    more = f"--depth 100000 --width 65536000 --emotion-tokens 70000 --seed {2**63} --steps {10**400}"
    assert fit(data_folder, tmp_path / "run", more) == 1
    error = error_of(capsys)
    for said in (
        "--depth is 100000: expected from 1 to 65536",
        "--width is 65536000: expected from 1 to 65536",
        "--emotion-tokens is 70000: expected from 1 to 65536",
        f"--seed is {2**63}: expected 0 or more, below 2^63",
        "expected 0 or more, below 2^63",
    ):
        assert said in error


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("you tried to allocate memory of 9 TB")])
def test_a_network_too_large_for_the_memory_says_what_to_choose(data_folder, tmp_path, capsys, error):
    with patch.object(train, "EmotionNetwork", side_effect=error):
        assert fit(data_folder, tmp_path / "run") == 1
    said = "--width 64, --depth 1, --emotion-tokens 2 and --emotion-hidden 16 does not fit"
    assert said in error_of(capsys)


def test_features_of_other_data_and_data_without_validation_are_refused(data_folder, tmp_path, capsys):
    (tmp_path / "features").symlink_to(data_folder / "features")
    for part, other, message in (
        ("+1.5", "+1.4", "made from other data"),
        ("validation", "train", "None of the 48 pairs is for validation: training needs"),
    ):
        text = (data_folder / "pairs.jsonl").read_text()
        (tmp_path / "pairs.jsonl").write_text(text.replace(part, other))
        assert fit(tmp_path, tmp_path / "run") == 1
        assert message in error_of(capsys)


# --- how it stops ----------------------------------------------------------------------------------------------------


def fail_at_the_third_step(monkeypatch) -> None:
    loss, calls = train.Training.loss, []

    def fails(*given):
        calls.append(1)
        return loss(*given) * (math.nan if len(calls) == 3 else 1)

    monkeypatch.setattr(train.Training, "loss", fails)


def test_nan_stops_the_run_and_keeps_the_last_good_checkpoint(data_folder, tmp_path, capsys, monkeypatch):
    fail_at_the_third_step(monkeypatch)
    assert fit(data_folder, tmp_path / "run", "--steps 6 --save-minutes 0") == 1
    error = error_of(capsys)
    assert "not finite at step 3" in error
    assert "try a smaller --lr" in error
    assert "in a new --out (a resume keeps these settings)" in error
    assert "The checkpoint of step 2 is kept" in error
    told = json.loads((tmp_path / "run/not_finite.json").read_text())
    rows = batch_indexes(load_table(data_folder).indexes("train"), 8, 2, 0)
    assert told == {"step": 3, "rows": rows.tolist(), "rows_with_bad_features": []}
    assert all(torch.isfinite(t).all() for t in load_file(tmp_path / "run/last.safetensors").values())
    assert len(losses(tmp_path / "run")) == 2


def test_nan_between_two_lines_of_metrics_still_names_its_step(data_folder, tmp_path, capsys, monkeypatch):
    fail_at_the_third_step(monkeypatch)
    assert fit(data_folder, tmp_path / "run", "--steps 8 --log-every 7 --validate-every 8") == 1
    error = error_of(capsys)
    assert "not finite at step 3" in error
    assert "There is no checkpoint yet" in error


@pytest.fixture
def broken_row(data_folder, tmp_path):
    """A copy of the data in tmp_path with a NaN in one pair's features, and the row of that pair."""
    (tmp_path / "features").mkdir()
    for name in ("pairs.jsonl", "features/manifest.json", "features/rows.safetensors"):
        (tmp_path / name).write_bytes((data_folder / name).read_bytes())
    row = int(np.random.default_rng((0, 1)).permutation(load_table(data_folder).indexes("train"))[-1])
    name = "features/features-00000.safetensors"
    shard = bytearray((data_folder / name).read_bytes())
    header = 8 + int.from_bytes(shard[:8], "little")
    place = header + 2 * 77 * 32 * int(FeatureStore(data_folder / "features").neutral_rows[row])
    shard[place : place + 2] = np.float16(math.nan).tobytes()
    (tmp_path / name).write_bytes(shard)
    return row


def test_features_that_are_not_finite_are_found_before_the_first_step(broken_row, tmp_path, capsys):
    assert fit(tmp_path, tmp_path / "run", "--steps 4 --no-check-features") == 1
    assert f"row {broken_row} of the table are not finite: delete the features folder" in error_of(capsys)
    assert not (tmp_path / "run").exists()


def test_features_that_are_not_finite_are_named_when_a_step_meets_them(broken_row, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(directions, "MOST_PAIRS", 8)  # not looked at before
    assert fit(tmp_path, tmp_path / "run", "--steps 6 --no-check-features") == 1
    assert f"The features of row {broken_row} are not finite" in error_of(capsys)


def test_damaged_features_are_named_before_the_first_step(broken_row, data_folder, tmp_path, capsys):
    assert fit(tmp_path, tmp_path / "run") == 1
    assert "features-00000.safetensors is damaged: its bytes are not those that were written" in error_of(capsys)
    assert not (tmp_path / "run").exists()
    rows = {name: column.flip(0) for name, column in load_file(data_folder / "features/rows.safetensors").items()}
    save_file(rows, tmp_path / "features/rows.safetensors")
    assert fit(tmp_path, tmp_path / "run", "--steps 4 --no-check-features") == 1
    assert "rows.safetensors is damaged: its neutral rows are not those of the table" in error_of(capsys)


@pytest.mark.parametrize("name", ["loss", "valence_alignment"])
def test_a_validation_that_is_not_finite_stops_the_run(data_folder, tmp_path, capsys, monkeypatch, name):
    validate, calls = train.validate, []

    def odd(*given):
        calls.append(1)
        numbers, maps = validate(*given)
        return numbers | ({name: math.inf} if len(calls) == 2 else {}), maps

    monkeypatch.setattr(train, "validate", odd)
    assert fit(data_folder, tmp_path / "run", "--steps 6 --validate-every 2 --save-minutes 0") == 1
    error = error_of(capsys)
    assert f"The validation at step 4 is not finite ({name}); its rows of the table are in " in error
    assert "try a smaller --lr" in error and "The checkpoint of step 3 is kept" in error
    rows = load_table(data_folder).indexes("validation").tolist()
    told = json.loads((tmp_path / "run/not_finite.json").read_text())
    assert told == {"step": 4, "rows": rows, "rows_with_bad_features": []}
    assert not (tmp_path / "run/finished").exists()


def test_a_validation_row_that_is_not_finite_is_found_before_the_first_step(data_folder, tmp_path, capsys, monkeypatch):
    row = int(load_table(data_folder).indexes("validation")[0])
    emotional = FeatureStore.emotional

    def broken(store, indexes, out=None):
        found = emotional(store, indexes, out)
        found[torch.as_tensor(indexes) == row, 5, 3] = math.inf
        return found

    monkeypatch.setattr(FeatureStore, "emotional", broken)
    assert fit(data_folder, tmp_path / "run") == 1
    assert f"The features of row {row} of the table are not finite" in error_of(capsys)


def test_out_of_memory_says_which_accumulation_to_try(data_folder, tmp_path, capsys):
    full = torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
    with patch.object(train.Training, "loss", side_effect=full):
        assert fit(data_folder, tmp_path / "run", "--steps 2 --accumulate 2") == 1
    error = error_of(capsys)
    assert "cannot hold 4 pairs at a time" in error
    assert "Keep --batch 8 and add --accumulate 4: 2 pairs at a time, the same result" in error


@pytest.mark.slow
def test_a_full_disk_keeps_what_was_saved(data_folder, tmp_path, capsys):
    assert fit(data_folder, tmp_path / "run", "--steps 2 --save-minutes 0") == 0
    before = (tmp_path / "run/last.safetensors").read_bytes()
    full = OSError(errno.ENOSPC, "No space left on device")
    with patch.object(checkpoint, "save_tensors", side_effect=full):
        assert fit(data_folder, tmp_path / "run", "--steps 4 --resume") == 1
    error = error_of(capsys)
    assert "last.safetensors could not be written: the disk is full" in error
    assert "free some space and run the same command again, trainer.train with --resume" in error
    assert (tmp_path / "run/last.safetensors").read_bytes() == before


def test_control_c_says_where_the_run_stands(data_folder, tmp_path, capsys, monkeypatch):
    load, calls = Loader.load, []

    def interrupted(*arguments):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return load(*arguments)

    monkeypatch.setattr(Loader, "load", interrupted)
    assert fit(data_folder, tmp_path / "run", "--steps 4 --save-minutes 0") == 130
    said = capsys.readouterr().err
    assert "Stopped at step 2. The checkpoint of step 2 is kept in " in said
    assert "with --resume) goes on" in said
    assert not (tmp_path / "run" / "finished").exists()


@pytest.mark.parametrize(("name", "warned"), [("tiny (untrained)", True), ("tinysdxl.safetensors", False)])
def test_untrained_encoders_are_told_loudly(data_folder, tmp_path, capsys, name, warned):
    (tmp_path / "features").mkdir()
    for path in [data_folder / "pairs.jsonl", *(data_folder / "features").iterdir()]:
        (tmp_path / path.relative_to(data_folder)).write_bytes(path.read_bytes())
    manifest = tmp_path / "features/manifest.json"
    manifest.write_text(manifest.read_text().replace("plane (for tests)", name))
    assert fit(tmp_path, tmp_path / "run", "--steps 2") == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert ("trained on untrained stand-in encoders: fits no real checkpoint" in last) == warned


def test_it_runs_without_tensorboard(data_folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    assert fit(data_folder, tmp_path / "run", "--steps 2") == 0
    assert "TensorBoard is not installed" in capsys.readouterr().err
    assert len(losses(tmp_path / "run")) == 2


def test_a_tensorboard_that_fails_ends_nothing(data_folder, tmp_path, capsys, monkeypatch):
    class Broken:
        """Raises when it is made, at the first number, or at the end."""

        def __init__(self, *args, **kwargs):
            self.fail("made")

        def fail(self, when):
            if when == moment:
                raise TypeError("Descriptors cannot be created directly.\nIf this call came from a _pb2.py file ...")

        def add_scalar(self, *args):
            self.fail("written to")

        def close(self):
            self.fail("closed")

    module = type(sys)("torch.utils.tensorboard")
    module.__getattr__ = lambda name: Broken().fail("imported") or Broken
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    for moment in ("imported", "made", "written to", "closed"):
        run = tmp_path / moment
        assert fit(data_folder, run, "--steps 2") == 0
        said = [line for line in capsys.readouterr().err.splitlines() if "TensorBoard" in line]
        told = "TensorBoard failed (TypeError: Descriptors cannot be created directly.): its events are not written"
        assert said == ([f"{told}, metrics.jsonl is."] if moment != "closed" else []), moment
        assert len(losses(run)) == 2


def test_tensorboard_gets_the_same_numbers(data_folder, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert fit(data_folder, tmp_path / "run", "--steps 3") == 0
    events = EventAccumulator(str(tmp_path / "run/tensorboard")).Reload()
    assert [event.value for event in events.Scalars("train/loss")] == pytest.approx(losses(tmp_path / "run"))
