"""Text features of a pair table on disk: written once, read at random while training.

    write_features(table, load_encoders("sd_xl_base_1.0.safetensors"), "data/features")
    store = FeatureStore("data/features", table)
    store.neutral([0, 5])  # [2, 77, 2048]

Each distinct prompt is encoded and kept once, whether it is neutral or emotional in its pairs; of a prompt of
more than 75 tokens the first window of 77 is kept. The folder holds

- features-00000.safetensors …: memory-mappable shards, "features" [256, 77, D] each in float16 or bfloat16 (the
  last one is shorter);
- rows.safetensors: "neutral" and "emotional" [N] int64, the row of each pair's prompt over all shards;
- manifest.json: the hashes of encoders and prompts, dtype, sizes, and each shard's bytes and checksum.

A shard is written under a temporary name, renamed when it is whole, and then entered in the manifest: what the
manifest lists is complete at any moment, and an interrupted run goes on with the shards that are not in it.

Shapes: N pairs, P distinct prompts, B prompts in a batch, T = 77 tokens, D features.
"""

import errno
import hashlib
import json
import math
import shutil
import zlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from tqdm import tqdm

from emoticrafter.files import remove_leftovers, write_atomically
from trainer.features.manifest import (
    DTYPES,
    FORMAT,
    check_same,
    damaged,
    read_manifest,
    shard_name,
    short,
    write_manifest,
)
from trainer.features.tokenizer import TOKENS

if TYPE_CHECKING:
    from trainer.features.encoders import TextEncoders

SHARD_PROMPTS = 256  # 81 MB at 2048 wide: small enough to lose, large enough to stream
CHECKING = 4  # threads: more read no faster from most disks


# Writing


@dataclass
class _Batch:
    """Prompts that go through the encoders together, and their place: rows from `start` on of one shard."""

    shard: int
    start: int
    prompts: list[str]
    shard_rows: int

    @property
    def ends_shard(self) -> bool:
        return self.start + len(self.prompts) == self.shard_rows


def write_features(
    table,
    encoders: "TextEncoders",
    folder: str | Path,
    dtype: str = "float16",
    batch_size: int = 32,
    progress: bool = True,
) -> "FeatureStore":
    """Encodes every distinct prompt of a table into a folder, going on where an earlier run stopped.

    Finished shards are checked against their checksums first, and damaged ones made again. Cutting text into
    tokens and writing to disk happen in threads of their own, so that the encoders wait for neither.

    Args:
        table: The pairs, a `trainer.data.pairs.PairTable`.
        encoders: From `load_encoders`.
        folder: To write to; made if it does not exist.
        dtype: To store, "float16" or "bfloat16".
        batch_size: Prompts that are encoded together.
        progress: Whether to show a bar with prompts/s and the time left.

    Raises:
        ValueError: The folder holds features of other encoders, another table or dtype; an argument is out of
            range; or the encoders gave numbers that the dtype cannot hold.
        OSError: The disk is full, or would be. Finished shards stay and are used by the next run.
    """
    if dtype not in DTYPES:
        raise ValueError(f"dtype should be one of {', '.join(DTYPES)}, got {dtype!r}.")
    if batch_size < 1:
        raise ValueError(f"batch_size should be at least 1, got {batch_size}.")
    folder = Path(folder)
    prompts, rows = _distinct(table)
    manifest = _new_manifest(table, encoders, dtype, len(prompts))
    folder.mkdir(parents=True, exist_ok=True)
    manifest["shards"] = _finished_shards(folder, manifest, progress)
    batches = list(_plan(prompts, manifest["shards"], batch_size))
    todo = sum(len(batch.prompts) for batch in batches)
    _check_room(folder, todo * TOKENS * encoders.width * 2)
    write_atomically(folder / "rows.safetensors", lambda temporary: save_file(rows, temporary))
    write_manifest(folder, manifest)
    with tqdm(
        total=len(prompts), initial=len(prompts) - todo, unit="prompt", desc="features", disable=not progress
    ) as bar:
        _encode_all(encoders, batches, _ShardWriter(folder, manifest, encoders.device), bar)
    store = FeatureStore(folder, table)
    if progress and store.longer:
        print(f"{store.longer} of {len(prompts)} prompts have more than 75 tokens: their first 75 were kept.")
    return store


def _new_manifest(table, encoders: "TextEncoders", dtype: str, prompts: int) -> dict:
    return {
        **FORMAT,
        "encoder": encoders.fingerprint(),
        "encoder_name": encoders.name,
        "data": _prompts_hash(table),
        "dtype": dtype,
        "tokens": TOKENS,
        "width": encoders.width,
        "pairs": len(table),
        "prompts": prompts,
        "shard_prompts": SHARD_PROMPTS,
        "shards": {},
    }


def _distinct(table) -> tuple[list[str], dict[str, torch.Tensor]]:
    """Gives the distinct prompts, neutral ones first, and for each pair where its prompts are among them."""
    rows = {prompt: row for row, prompt in enumerate(dict.fromkeys([*table.neutral, *table.emotional]))}
    columns = {"neutral": table.neutral, "emotional": table.emotional}
    places = {name: [rows[prompt] for prompt in column] for name, column in columns.items()}
    return list(rows), {name: torch.tensor(column, dtype=torch.int64) for name, column in places.items()}


def _prompts_hash(table) -> str:
    """A sha256 over the prompts and their order: corrected ratings or another split need no new features."""
    return hashlib.sha256(json.dumps([table.neutral, table.emotional]).encode()).hexdigest()


def _plan(prompts: list[str], finished: dict, batch_size: int) -> Iterator[_Batch]:
    """Cuts the shards that are not finished into batches; no batch crosses two shards."""
    for shard, first in enumerate(range(0, len(prompts), SHARD_PROMPTS)):
        if shard_name(shard) in finished:
            continue
        in_shard = prompts[first : first + SHARD_PROMPTS]
        for start in range(0, len(in_shard), batch_size):
            yield _Batch(shard, start, in_shard[start : start + batch_size], len(in_shard))


def _encode_all(encoders: "TextEncoders", batches: list[_Batch], writer: "_ShardWriter", bar: tqdm) -> None:
    """Runs the encoders over all batches while one thread prepares the next and another writes the last ones."""
    ahead = SHARD_PROMPTS // len(batches[0].prompts) + 1 if batches else 0  # while a shard goes to disk
    with ThreadPoolExecutor(1, "shards") as writing:
        written = deque()
        for batch, windows, longer in _first_windows(encoders, batches):
            features = encoders.forward(windows).to(writer.dtype)
            # One sum per prompt tells whether any of its numbers is infinite or missing.
            sums = features.sum((1, 2), dtype=torch.float32)
            ready = torch.cuda.Event() if features.is_cuda else None
            if ready:
                ready.record(torch.cuda.current_stream(features.device))
            written.append((batch, writing.submit(writer.add, batch, features, sums, longer, ready)))
            _settle(written, bar, most=ahead)
        _settle(written, bar, most=0)


def _settle(written: deque, bar: tqdm, most: int) -> None:
    """Counts the batches that are written, waiting until at most `most` are not; passes on the writer's errors."""
    while written and (len(written) > most or written[0][1].done()):
        batch, future = written.popleft()
        future.result()
        bar.update(len(batch.prompts))


def _first_windows(encoders: "TextEncoders", batches: list[_Batch]) -> Iterator[tuple[_Batch, torch.Tensor, int]]:
    """Gives each batch, the tokens [2, B, T] of its prompts' first windows, and how many of them are longer.

    A thread prepares a batch's tokens while the one before it is in use.
    """

    def prepare(batch: _Batch) -> tuple[_Batch, torch.Tensor, int]:
        tokens, windows = encoders.tokenize(batch.prompts)
        first = tokens[:, windows.cumsum(0) - windows]
        first = first.pin_memory() if encoders.device.type == "cuda" else first
        return batch, first, int((windows > 1).sum())

    with ThreadPoolExecutor(1, "tokens") as reading:
        coming = deque()
        for batch in batches:
            coming.append(reading.submit(prepare, batch))
            if len(coming) > 1:
                yield coming.popleft().result()
        while coming:
            yield coming.popleft().result()


class _ShardWriter:
    """Collects a shard's features in memory and puts it on disk when it is whole. Used by one thread."""

    def __init__(self, folder: Path, manifest: dict, device: torch.device):
        self.folder, self.manifest = folder, manifest
        self.dtype = getattr(torch, manifest["dtype"])
        cuda = device.type == "cuda"
        shape = (min(SHARD_PROMPTS, manifest["prompts"]), TOKENS, manifest["width"])
        self.rows = torch.empty(shape, dtype=self.dtype, pin_memory=cuda)
        self.stream = torch.cuda.Stream(device) if cuda else None
        self.longer = 0

    def add(self, batch: _Batch, features: torch.Tensor, sums: torch.Tensor, longer: int, ready) -> None:
        """Takes features [B, T, D], which a GPU may still be computing until `ready`."""
        rows = self.rows[batch.start : batch.start + len(batch.prompts)]
        if self.stream:
            with torch.cuda.stream(self.stream):
                self.stream.wait_event(ready)
                rows.copy_(features, non_blocking=True)
                sums = sums.cpu()
        else:
            rows.copy_(features)
        if not sums.isfinite().all():
            prompt = batch.prompts[int(sums.isfinite().logical_not().nonzero()[0])]
            raise ValueError(
                f"The encoders gave numbers that are not finite in {self.manifest['dtype']} for {prompt[:80]!r}. "
                "Store bfloat16, or run the encoders in float32; if it stays, their file is damaged."
            )
        self.longer = longer + (self.longer if batch.start else 0)
        if batch.ends_shard:
            self._write(batch)

    def _write(self, batch: _Batch) -> None:
        name = shard_name(batch.shard)
        header, data = _safetensors_parts(self.rows[: batch.shard_rows])

        def write(temporary: Path) -> None:
            with temporary.open("wb") as file:
                file.writelines((header, data))

        try:
            write_atomically(self.folder / name, write)
            self.manifest["shards"][name] = {
                "prompts": batch.shard_rows,
                "longer": self.longer,
                "bytes": len(header) + data.nbytes,
                "crc32": f"{zlib.crc32(data, zlib.crc32(header)):08x}",
            }
            write_manifest(self.folder, self.manifest)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            done = sum(shard["prompts"] for shard in self.manifest["shards"].values())
            left = (self.manifest["prompts"] - done) * TOKENS * self.manifest["width"] * 2
            raise OSError(
                error.errno,
                f"The disk of {self.folder} is full after {done} of {self.manifest['prompts']} prompts. They are "
                f"kept: free {_size(left)} and run the same command again to go on.",
            ) from error


def _safetensors_parts(rows: torch.Tensor) -> tuple[bytes, np.ndarray]:
    """Gives a safetensors file of `rows` as header and data; the library's `save` would copy the data twice."""
    return _header(rows.dtype, *rows.shape), rows.reshape(-1).view(torch.uint8).numpy()


def _header(dtype: torch.dtype, prompts: int, tokens: int, width: int) -> bytes:
    name, size = {torch.float16: "F16", torch.bfloat16: "BF16"}[dtype], prompts * tokens * width * 2
    entry = {"dtype": name, "shape": [prompts, tokens, width], "data_offsets": [0, size]}
    text = json.dumps({"features": entry}).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


# Resuming


def _finished_shards(folder: Path, wanted: dict, progress: bool) -> dict:
    """Gives the entries of an earlier run's shards that are whole; refuses a folder of something else."""
    shards = range(math.ceil(wanted["prompts"] / wanted["shard_prompts"]))
    for name in ("manifest.json", "rows.safetensors", *map(shard_name, shards)):
        remove_leftovers(folder / name)
    if not (folder / "manifest.json").exists():
        return {}
    found = read_manifest(folder)
    check_same(folder, found, wanted)
    entries = tqdm(found["shards"].items(), "checking", unit="shard", leave=False, disable=not progress)
    return {name: entry for name, entry in entries if _is_whole(folder / name, entry)}


def _is_whole(path: Path, entry: dict) -> bool:
    """Whether a shard has the bytes that were written."""
    if not path.exists() or path.stat().st_size != entry["bytes"]:
        return False
    checksum = 0
    with path.open("rb") as file:
        while block := file.read(1 << 24):
            checksum = zlib.crc32(block, checksum)
    return f"{checksum:08x}" == entry["crc32"]


def _check_room(folder: Path, need: int) -> None:
    free = shutil.disk_usage(folder).free
    if need > free:
        raise OSError(
            errno.ENOSPC,
            f"The features need {_size(need)} in {folder} and {_size(free)} is free. Free some, or "
            "choose a folder on another disk.",
        )


def _size(size: int) -> str:
    return f"{size / 1e9:.2f} GB" if size >= 1e8 else f"{size / 1e6:.2f} MB"


# Reading


class FeatureStore:
    """The features of a table's pairs on disk: nothing is read before it is asked for.

    Pairs in random order are read row by row at their place in the files, which are closed again: through a
    memory map a row is many page faults, and rows that are not cached yet came 30 times slower. Whole shards
    are memory-mapped (`pool`, or safetensors' `load_file`). Nothing is kept open, so a store can be forked, pickled
    and used from several threads and processes at once.

    Attributes:
        manifest: The folder's manifest, a dict.
        width: D, the features per token.
        dtype: torch.float16 or torch.bfloat16.
        longer: How many distinct prompts have more than 75 tokens and were cut.
        neutral_rows, emotional_rows: [N] int64, the rows of each pair's prompts in `pool`.
    """

    def __init__(self, folder: str | Path, table=None):
        """Opens a folder of `write_features`, and checks that it was made from `table` if one is given.

        Raises:
            FileNotFoundError: There are no features.
            ValueError: They are unfinished, damaged, or of other data.
        """
        self.folder = Path(folder)
        if not (self.folder / "manifest.json").exists():
            raise FileNotFoundError(f"{folder} holds no features: make them with python -m trainer.prepare.")
        self.manifest = read_manifest(self.folder)
        self.width, self.dtype = self.manifest["width"], getattr(torch, self.manifest["dtype"])
        self._check(table)
        self.neutral_rows, self.emotional_rows = self._read_rows()
        if table is not None:
            self._check_rows(_distinct(table)[1])
        self.longer = sum(entry["longer"] for entry in self.manifest["shards"].values())

    def _read_rows(self) -> list[torch.Tensor]:
        path, pairs, prompts = self.folder / "rows.safetensors", len(self), self.manifest["prompts"]
        try:
            rows = load_file(path)
        except (OSError, SafetensorError) as error:
            raise damaged(path, str(error)) from error
        for name in ("neutral", "emotional"):
            column = rows.get(name)
            if column is None or column.dtype != torch.int64 or column.shape != (pairs,):
                found = "nothing" if column is None else f"{column.dtype} {list(column.shape)}"
                raise damaged(path, f"{name} should be int64 [{pairs}], got {found}")
            if column.min() < 0 or column.max() >= prompts:
                raise damaged(path, f"{name} should be from 0 to {prompts - 1}, got other rows")
        return [rows["neutral"], rows["emotional"]]

    def _check_rows(self, wanted: dict[str, torch.Tensor]) -> None:
        found = {"neutral": self.neutral_rows, "emotional": self.emotional_rows}
        for name, column in wanted.items():
            if not torch.equal(found[name], column):
                why = f"its {name} rows are not those of the table"
                raise damaged(self.folder / "rows.safetensors", why)

    def _check(self, table) -> None:
        manifest, shards = self.manifest, self.manifest["shards"]
        if table is not None and _prompts_hash(table) != manifest["data"]:
            raise ValueError(
                f"The features in {self.folder} were made from other data: {short(manifest, 'data')} there, "
                f"the table is {_prompts_hash(table)[:12]}. Run python -m trainer.prepare for this table."
            )
        done = sum(entry["prompts"] for entry in shards.values())
        if done != manifest["prompts"]:
            raise ValueError(
                f"The features in {self.folder} are unfinished: {done} of {manifest['prompts']} prompts. Run the "
                "same python -m trainer.prepare command again: it goes on from there."
            )
        for name, entry in shards.items():
            path = self.folder / name
            size = path.stat().st_size if path.exists() else 0
            if size != entry["bytes"]:
                raise ValueError(
                    f"{path} is damaged: expected {entry['bytes']} bytes, got {size}. Run the same "
                    "python -m trainer.prepare command again: it makes this shard anew."
                )
            header = _header(self.dtype, entry["prompts"], TOKENS, self.width)
            with path.open("rb") as file:
                fits = file.read(len(header)) == header
            if not fits or size != len(header) + entry["prompts"] * TOKENS * self.width * 2:
                raise damaged(
                    path,
                    f"expected {manifest['dtype']} [{entry['prompts']}, {TOKENS}, {self.width}] as manifest.json says, "
                    "got other features",
                )

    def __len__(self) -> int:
        return self.manifest["pairs"]

    @property
    def checksum(self) -> str:
        """12 hex digits that change with any byte of the features, as the manifest has them."""
        sums = sorted((name, entry["crc32"]) for name, entry in self.manifest["shards"].items())
        return hashlib.sha256(json.dumps(sums).encode()).hexdigest()[:12]

    def check_shards(self, progress: bool = False) -> None:
        """Compares every byte of the features with the manifest's checksums.

        Raises:
            ValueError: A shard was damaged; the text names it.
        """
        names = list(self.manifest["shards"])
        with ThreadPoolExecutor(CHECKING) as pool:  # checksums let other threads run
            whole = pool.map(lambda name: _is_whole(self.folder / name, self.manifest["shards"][name]), names)
            shown = tqdm(whole, "checking features", len(names), unit="shard", leave=False, disable=not progress)
            for name, good in zip(names, shown, strict=True):
                if not good:
                    raise ValueError(
                        f"{self.folder / name} is damaged: its bytes are not those that were written. Run the same "
                        "python -m trainer.prepare command again: it makes this shard anew."
                    )

    def not_finite(self, indexes: np.ndarray) -> list[int]:
        """The pairs, among those at `indexes` (int64 [B]), of which a feature is infinite or not a number."""
        found = []
        for start in range(0, len(indexes), 64):
            rows = indexes[start : start + 64]
            sums = self.neutral(rows).float().sum((1, 2)) + self.emotional(rows).float().sum((1, 2))
            found += rows[~torch.isfinite(sums).numpy()].tolist()
        return found

    @property
    def nbytes(self) -> int:
        """The size of `pool` in bytes."""
        return self.manifest["prompts"] * TOKENS * self.width * 2

    def neutral(self, indexes, out: torch.Tensor | None = None) -> torch.Tensor:
        """Gives the features [B, T, D] of the neutral prompts of the pairs at `indexes` (B integers).

        Args:
            indexes: A list, array or tensor.
            out: A contiguous CPU tensor of that shape and of the stored dtype to put them in. Reusing one is several
                times faster than a new one for every batch.

        Raises:
            ValueError: A shard was damaged since the store was opened.
        """
        return self._gather(self.neutral_rows[torch.as_tensor(indexes, dtype=torch.int64)], out)

    def emotional(self, indexes, out: torch.Tensor | None = None) -> torch.Tensor:
        """Gives the features [B, T, D] of the emotional prompts of the pairs at `indexes`, like `neutral`."""
        return self._gather(self.emotional_rows[torch.as_tensor(indexes, dtype=torch.int64)], out)

    def pool(self, device: str | torch.device = "cpu") -> torch.Tensor:
        """Gives the features of all distinct prompts [P, T, D] as one tensor on a device.

        `pool[store.neutral_rows[indexes]]` is `store.neutral(indexes)`.
        """
        pool = torch.empty(self.manifest["prompts"], TOKENS, self.width, dtype=self.dtype, device=device)
        for shard, rows in enumerate(pool.split(self.manifest["shard_prompts"])):
            rows.copy_(load_file(self.folder / shard_name(shard))["features"])
        return pool

    def _gather(self, rows: torch.Tensor, out: torch.Tensor | None) -> torch.Tensor:
        if out is None:
            out = torch.empty(len(rows), TOKENS, self.width, dtype=self.dtype)
        for row, into in zip(rows.tolist(), out.flatten(1).view(torch.uint8).numpy(), strict=True):
            name = shard_name(row // self.manifest["shard_prompts"])
            entry = self.manifest["shards"][name]
            header = entry["bytes"] - entry["prompts"] * into.nbytes
            with (self.folder / name).open("rb", buffering=0) as file:
                file.seek(header + row % self.manifest["shard_prompts"] * into.nbytes)
                if file.readinto(into) != into.nbytes:
                    raise ValueError(
                        f"{self.folder / name} is damaged: it ends too early. Run the same python -m "
                        "trainer.prepare command again: it makes this shard anew."
                    )
        return out
