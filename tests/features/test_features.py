"""Features on disk: what is stored, what an interruption leaves, and what is refused."""

import errno
import json
import os
import pickle
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel

from trainer.data.pairs import PairTable, save_table
from trainer.features import writing as module
from trainer.features.encoders import load_encoders
from trainer.features.store import FeatureStore
from trainer.features.writing import write_features

N = 30
LONG = " ".join(["stone"] * 90)


def save_encoders(folder: Path, seed: int) -> Path:
    """Saves small encoders, 64 + 64 wide, as a diffusers folder."""
    torch.manual_seed(seed)
    for part in ("text_encoder", "text_encoder_2"):
        sizes = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 1}
        config = CLIPTextConfig(vocab_size=49408, eos_token_id=49407, initializer_factor=10.0, **sizes)
        CLIPTextModel(config).save_pretrained(folder / part)
    return folder


@pytest.fixture(scope="module")
def encoder_folder(tmp_path_factory):
    return save_encoders(tmp_path_factory.mktemp("encoders"), seed=0)


@pytest.fixture(scope="module")
def encoders(encoder_folder):
    return load_encoders(encoder_folder)


@pytest.fixture
def table():
    return make_table()


def make_table(mood: str = "gloomy") -> PairTable:
    """N pairs of which two have the same neutral prompt and one has a long emotional one: 2 N - 1 prompts."""
    neutral = [f"a house with {n % (N - 1)} doors" for n in range(N)]
    emotional = [f"a {mood} house with {n} broken doors" for n in range(N - 1)] + [LONG]
    ids = [str(n) for n in range(N)]
    return PairTable(neutral, emotional, np.zeros(N), np.ones(N), ["test"] * N, ["train"] * N, ids)


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(module, "SHARD_PROMPTS", 8)


def write(table, encoders, folder, **options) -> FeatureStore:
    return write_features(table, encoders, folder, progress=False, **options)


def manifest(folder: Path) -> dict:
    return json.loads((folder / "manifest.json").read_text())


# What is stored


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_the_store_gives_each_prompts_first_window(table, encoders, tmp_path, dtype):
    store = write(table, encoders, tmp_path, dtype=dtype, batch_size=5)
    assert len(store) == N and store.width == 128
    columns = {"neutral": table.neutral, "emotional": table.emotional}
    for column, stored in ((texts, getattr(store, name)(range(N))) for name, texts in columns.items()):
        assert stored.shape == (N, 77, 128) and stored.dtype == getattr(torch, dtype)
        expected = torch.stack([features[:77] for features in encoders.encode(column)])
        torch.testing.assert_close(stored, expected.to(stored.dtype))


def test_each_distinct_prompt_is_stored_once_and_longer_ones_are_counted(encoders, tmp_path, capsys):
    table = make_table()
    table.emotional[3] = table.neutral[5]  # an emotional prompt may be another pair's neutral one
    store = write_features(table, encoders, tmp_path)
    assert f"1 of {2 * N - 2} prompts have more than 75 tokens" in capsys.readouterr().out
    assert store.pool().shape[0] == len({*table.neutral, *table.emotional}) == 2 * N - 2
    assert store.longer == 1
    assert torch.equal(store.emotional([3]), store.neutral([5]))
    assert torch.equal(store.neutral([0]), store.neutral([N - 1]))


def test_the_pool_holds_what_the_store_gives(table, encoders, tmp_path):
    store = write(table, encoders, tmp_path)
    pool, some = store.pool("cpu"), torch.tensor([4, 0, 29, 4])
    assert torch.equal(pool[store.neutral_rows[some]], store.neutral(some))
    assert torch.equal(pool[store.emotional_rows[some]], store.emotional(some.numpy()))
    assert pool.nbytes == store.nbytes
    out = torch.empty(4, 77, 128, dtype=store.dtype)
    assert store.neutral(some, out=out) is out and torch.equal(out, store.neutral(some))
    assert store.neutral([]).shape == (0, 77, 128)


def test_batch_size_does_not_change_what_is_stored(table, encoders, tmp_path):
    one, other = (write(table, encoders, tmp_path / str(size), batch_size=size) for size in (3, 64))
    torch.testing.assert_close(one.pool(), other.pool())


def test_shards_are_plain_safetensors_files(table, encoders, tmp_path):
    store = write(table, encoders, tmp_path, dtype="bfloat16")
    names = sorted(path.name for path in tmp_path.glob("features-*"))
    assert names == [f"features-{n:05d}.safetensors" for n in range(8)]
    with safe_open(tmp_path / names[-1], "pt") as file:
        assert torch.equal(file.get_tensor("features"), store.pool()[56:])


def test_a_store_can_be_pickled_and_read_from_many_threads(table, encoders, tmp_path):
    store = write(table, encoders, tmp_path)
    copy = pickle.loads(pickle.dumps(store))
    with ThreadPoolExecutor(8) as threads:
        given = list(threads.map(lambda n: copy.emotional([n % N]), range(200)))
    assert torch.equal(torch.cat(given), store.emotional([n % N for n in range(200)]))


# Interruptions

CHILD = """
import sys, time
from trainer.data.pairs import load_table
from trainer.features import writing as features
from trainer.features.encoders import load_encoders

source, table, folder = sys.argv[1:]
features.SHARD_PROMPTS = 8
encoders = load_encoders(source)
encode, calls = encoders.forward, []

def held_up(tokens):
    calls.append(tokens)
    if len(calls) > 6:
        time.sleep(600)  # it is killed in here
    return encode(tokens)

encoders.forward = held_up
features.write_features(load_table(table), encoders, folder, batch_size=4)
"""


@pytest.mark.slow
def test_a_killed_run_goes_on_where_it_stopped(table, encoders, encoder_folder, tmp_path):
    save_table(table, tmp_path / "pairs.jsonl")
    command = [sys.executable, "-c", CHILD, encoder_folder, tmp_path / "pairs.jsonl", tmp_path / "features"]
    root = Path(__file__).parents[2]
    child = subprocess.Popen(command, cwd=root, stderr=subprocess.PIPE, text=True)
    folder = tmp_path / "features"
    deadline = time.monotonic() + 600
    while not (folder / "features-00001.safetensors").exists():
        assert child.poll() is None and time.monotonic() < deadline, child.stderr.read()
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    finished = manifest(folder)["shards"]
    assert 1 <= len(finished) < 8
    with pytest.raises(ValueError, match=r"unfinished: \d+ of 59 prompts.*same python -m trainer.prepare command"):
        FeatureStore(folder)
    before = {name: (folder / name).stat().st_ino for name in finished}
    store = write(table, encoders, folder, batch_size=4)
    assert {name: (folder / name).stat().st_ino for name in finished} == before
    torch.testing.assert_close(store.pool(), write(table, encoders, tmp_path / "anew", batch_size=4).pool())


def test_a_half_written_shard_is_refused_and_made_again(table, encoders, tmp_path):
    expected = write(table, encoders, tmp_path).pool()
    shard = tmp_path / "features-00002.safetensors"
    os.truncate(shard, 1000)
    with pytest.raises(ValueError, match=r"features-00002.safetensors is damaged: expected \d+ bytes, got 1000"):
        FeatureStore(tmp_path)
    untouched = (tmp_path / "features-00001.safetensors").stat().st_ino
    torch.testing.assert_close(write(table, encoders, tmp_path).pool(), expected)
    assert (tmp_path / "features-00001.safetensors").stat().st_ino == untouched
    with shard.open("r+b") as file:  # and one with a wrong byte
        file.seek(5000)
        byte = file.read(1)
        file.seek(5000)
        file.write(bytes([byte[0] ^ 64]))
    torch.testing.assert_close(write(table, encoders, tmp_path).pool(), expected)


def test_a_shard_that_shrinks_while_it_is_read_is_named(table, encoders, tmp_path):
    store = write(table, encoders, tmp_path)
    os.truncate(tmp_path / "features-00000.safetensors", 1000)
    with pytest.raises(ValueError, match=r"features-00000.safetensors is damaged"):
        store.neutral([0])


def test_what_a_killed_run_left_unfinished_is_cleared_away(table, encoders, tmp_path):
    leftover = tmp_path / ".features-00003.safetensors.x.tmp"
    leftover.mkdir()
    (leftover / "whole.tmp").write_bytes(b"half")
    write(table, encoders, tmp_path)
    assert not list(tmp_path.glob(".*"))


def test_a_finished_folder_is_left_as_it_is(table, encoders, tmp_path, monkeypatch):
    expected = write(table, encoders, tmp_path).pool()
    monkeypatch.setattr(encoders, "forward", lambda tokens: pytest.fail("encoded again"), raising=False)
    assert torch.equal(write(table, encoders, tmp_path).pool(), expected)


# Disk


def test_too_small_a_disk_is_refused_before_anything_is_encoded(table, encoders, tmp_path, monkeypatch):
    monkeypatch.setattr(module.shutil, "disk_usage", lambda folder: SimpleNamespace(free=10_000))
    message = r"need 1\.16 MB in .* and 0\.01 MB is free\. Free some, or choose a folder on another disk"
    with pytest.raises(OSError, match=message) as caught:
        write(table, encoders, tmp_path)
    assert caught.value.errno == errno.ENOSPC
    assert not list(tmp_path.glob("features-*"))


def test_a_disk_that_fills_up_keeps_what_is_finished(table, encoders, tmp_path, monkeypatch):
    sync, calls = os.fsync, iter(range(100))

    def full_after_a_while(file):
        if next(calls) > 7:  # rows, the first manifest, and three shards with their manifests
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(file)

    monkeypatch.setattr(os, "fsync", full_after_a_while)
    with pytest.raises(
        OSError, match=r"is full after 24 of 59 prompts.*kept: free 0.69 MB and run the same command again"
    ):
        write(table, encoders, tmp_path)
    monkeypatch.undo()
    monkeypatch.setattr(module, "SHARD_PROMPTS", 8)
    assert len(manifest(tmp_path)["shards"]) == 3
    assert not list(tmp_path.glob(".*"))
    assert len(write(table, encoders, tmp_path)) == N


# Refusals


def test_features_of_other_encoders_data_and_dtype_are_refused_by_name(table, encoders, tmp_path):
    write(table, encoders, tmp_path / "features")
    others = load_encoders(save_encoders(tmp_path / "others", seed=1))
    cases = [
        (table, others, "float16", "other text encoders: text encoders encoders.* there, others "),
        (make_table("merry"), encoders, "float16", "other data: data "),
        (table, encoders, "bfloat16", "other dtype: dtype float16 there, bfloat16 here"),
        (make_table("merry"), others, "bfloat16", "other text encoders, data and dtype"),
    ]
    for data, used, dtype, message in cases:
        with pytest.raises(ValueError, match=f"made with {message}.*another folder to keep both, or delete"):
            write(data, used, tmp_path / "features", dtype=dtype)
    assert len(FeatureStore(tmp_path / "features", table)) == N


def test_the_store_refuses_another_table(table, encoders, tmp_path):
    write(table, encoders, tmp_path)
    with pytest.raises(ValueError, match=r"made from other data: .* there, the table is .*trainer\.prepare"):
        FeatureStore(tmp_path, make_table("merry"))


def test_a_folder_without_features_says_how_to_make_them(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"holds no features: make them with python -m trainer\.prepare"):
        FeatureStore(tmp_path)


def test_a_manifest_that_cannot_be_read_is_refused(table, encoders, tmp_path):
    write(table, encoders, tmp_path)
    text = (tmp_path / "manifest.json").read_text()
    (tmp_path / "manifest.json").write_text(text[:100])
    with pytest.raises(ValueError, match=r"manifest\.json is damaged"):
        FeatureStore(tmp_path)
    (tmp_path / "manifest.json").write_text(text.replace('"version": 1', '"version": 3'))
    with pytest.raises(ValueError, match=r"not a manifest of emoticrafter-features version 1 or 2: got .* version 3"):
        write(table, encoders, tmp_path)


@pytest.mark.parametrize(("key", "value"), [("width", 127), ("width", 256), ("dtype", "bfloat16")])
def test_a_manifest_that_does_not_fit_its_shards_is_refused(table, encoders, tmp_path, key, value):
    write(table, encoders, tmp_path)
    (tmp_path / "manifest.json").write_text(json.dumps(manifest(tmp_path) | {key: value}))
    with pytest.raises(ValueError, match=r"features-00000.safetensors is damaged: expected .* as manifest.json says"):
        FeatureStore(tmp_path, table)
    with pytest.raises(ValueError, match=f"made with other {key}: {key} {value} there"):
        write(table, encoders, tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (None, "expected an object, got None"),
        ([], r"expected an object, got \[\]"),
        ({"width": None}, "width should be a whole number from 1, got None"),
        ({"pairs": "30"}, "pairs should be a whole number from 1, got 30"),
        ({"dtype": "float8"}, "dtype should be one of float16, bfloat16, got float8"),
        ({"dtype": []}, r"dtype should be one of float16, bfloat16, got \[\]"),
        ({"tokens": 76}, "tokens should be 77, got 76"),
        ({"data": None}, "data should be a text, got None"),
        ({"shards": []}, r"shards should be an object, got \[\]"),
        ({"shards": {"../x": {}}}, "its entry for ../x is malformed"),
        ({"shards": {"features-00000.safetensors": None}}, "its entry for features-00000.safetensors is malformed"),
    ],
)
def test_an_odd_manifest_says_what_is_wrong(table, encoders, tmp_path, change, message):
    write(table, encoders, tmp_path)
    changed = {**manifest(tmp_path), **change} if change else change
    (tmp_path / "manifest.json").write_text(json.dumps(changed))
    for use in (FeatureStore, lambda folder: write(table, encoders, folder)):
        with pytest.raises(ValueError, match=rf"manifest\.json is damaged: {message}.*Delete .*trainer\.prepare"):
            use(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: {"neutral": rows["neutral"]}, "emotional should be int64 [30], got nothing"),
        (lambda rows: rows | {"neutral": rows["neutral"][:5]}, "neutral should be int64 [30], got torch.int64 [5]"),
        (lambda rows: rows | {"neutral": rows["neutral"].int()}, "neutral should be int64 [30], got torch.int32 [30]"),
        (lambda rows: rows | {"neutral": rows["neutral"] - 1}, "neutral should be from 0 to 58"),
        (lambda rows: rows | {"emotional": rows["emotional"] + 1}, "emotional should be from 0 to 58"),
    ],
)
def test_odd_rows_are_refused_and_written_again(table, encoders, tmp_path, change, message):
    path = tmp_path / "rows.safetensors"
    write(table, encoders, tmp_path)
    save_file(change(load_file(path)), path)
    with pytest.raises(ValueError, match=re.escape(f"rows.safetensors is damaged: {message}")):
        FeatureStore(tmp_path)
    assert len(write(table, encoders, tmp_path)) == N


def test_rows_that_are_gone_or_cut_short_are_refused(table, encoders, tmp_path):
    write(table, encoders, tmp_path)
    os.truncate(tmp_path / "rows.safetensors", 100)
    with pytest.raises(ValueError, match=r"rows.safetensors is damaged: .*Delete"):
        FeatureStore(tmp_path)
    (tmp_path / "rows.safetensors").unlink()
    with pytest.raises(ValueError, match=r"rows.safetensors is damaged: .*Delete"):
        FeatureStore(tmp_path)


def test_numbers_that_the_dtype_cannot_hold_are_refused_with_their_prompt(table, encoder_folder, tmp_path):
    loud = load_encoders(encoder_folder)
    stone = loud.tokenizer("stone")["input_ids"][1]
    loud.clip_g.embeddings.token_embedding.weight[stone] = 1e6
    with pytest.raises(ValueError, match=r"not finite in float16 for 'stone stone.*Store bfloat16"):
        write(table, loud, tmp_path / "half")
    assert write(table, loud, tmp_path / "brain", dtype="bfloat16").emotional([N - 1]).isfinite().all()


def test_arguments_out_of_range_are_refused(table, encoders, tmp_path):
    with pytest.raises(ValueError, match="dtype should be one of float16, bfloat16, got 'float32'"):
        write(table, encoders, tmp_path / "features", dtype="float32")
    with pytest.raises(ValueError, match="batch_size should be at least 1, got 0"):
        write(table, encoders, tmp_path / "features", batch_size=0)
    assert not (tmp_path / "features").exists()


def test_corrected_ratings_and_another_split_need_no_new_features(table, encoders, tmp_path):
    write(table, encoders, tmp_path)
    written = (tmp_path / "features-00000.safetensors").stat().st_ino
    corrected = replace(table, valence=np.full(N, 2.0), split=["validation", *table.split[1:]])
    assert len(FeatureStore(tmp_path, corrected)) == N
    write(corrected, encoders, tmp_path)
    assert (tmp_path / "features-00000.safetensors").stat().st_ino == written
