"""Writes the features of a pair table's prompts to disk; `store.py` reads them.

    write_features(table, load_encoders("sd_xl_base_1.0.safetensors"), "data/features")

Each distinct prompt is encoded and kept once, whether it is neutral or emotional in its pairs. Where the encoder pads,
all have T tokens, and longer prompts are cut to that: of SDXL's the first window of 77 is kept. Elsewhere each prompt
has a T of its own. The folder holds

- features-00000.safetensors ...: memory-mappable shards of 256 prompts (the last one is shorter), "features" in float16
  or bfloat16: [256, T, D], or [sum of T, D], one prompt after the other;
- rows.safetensors: "neutral" and "emotional" [N] int64, the row of each pair's prompt over all shards;
- manifest.json: the hashes of encoders and prompts, dtype, sizes, what is known of the encoder, and each shard's bytes
  and checksum, with T of its prompts where they differ.

A shard is written under a temporary name, renamed when it is whole, and then entered in the manifest: what the
manifest lists is complete at any moment, and an interrupted run goes on with the shards that are not in it.

Shapes: N pairs, P distinct prompts, B prompts in a batch, T tokens, D features.
"""

import errno
import math
import shutil
import zlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors.torch import save_file
from tqdm import tqdm

from emoticrafter.files import remove_leftovers, write_atomically
from trainer.features.comfyui import ComfyuiEncoder
from trainer.features.manifest import (
    DTYPES,
    FORMAT,
    VERSION,
    WITH_FACTS,
    check_same,
    read_manifest,
    shard_name,
    write_manifest,
)
from trainer.features.store import FeatureStore, distinct, is_whole, prompts_hash, safetensors_header
from trainer.features.tokenizer import TOKENS, WORDS

if TYPE_CHECKING:
    from trainer.features.encoders import TextEncoders

    Encoders = TextEncoders | ComfyuiEncoder

SHARD_PROMPTS = 256  # 81 MB at 2048 wide: small enough to lose, large enough to stream


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
    table, encoders: "Encoders", folder: str | Path, dtype: str = "float16", batch_size: int = 32, progress: bool = True
) -> "FeatureStore":
    """Encodes every distinct prompt of a table into a folder, going on where an earlier run stopped.

    Finished shards are checked against their checksums first, and damaged ones made again. Cutting text into
    tokens and writing to disk happen in threads of their own, so that the encoders wait for neither.

    Args:
        table: The pairs, a `trainer.data.pairs.PairTable`.
        encoders: From `load_encoders`, or ComfyUI's.
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
    prompts, rows = distinct(table)
    manifest = _new_manifest(table, encoders, dtype, len(prompts))
    folder.mkdir(parents=True, exist_ok=True)
    manifest["shards"] = _finished_shards(folder, manifest, progress)
    batches = list(_plan(prompts, manifest["shards"], batch_size))
    todo = sum(len(batch.prompts) for batch in batches)
    _check_room(folder, manifest)
    write_atomically(folder / "rows.safetensors", lambda temporary: save_file(rows, temporary))
    write_manifest(folder, manifest)
    with tqdm(
        total=len(prompts), initial=len(prompts) - todo, unit="prompt", desc="features", disable=not progress
    ) as bar:
        _encode_all(encoders, batches, _ShardWriter(folder, manifest, encoders.device), bar)
    store = FeatureStore(folder, table)
    if progress and store.longer:
        words = WORDS if store.facts is None else store.tokens - store.facts.head - store.facts.tail
        print(f"{store.longer} of {len(prompts)} prompts have more than {words} tokens: their first {words} were kept.")
    return store


def _new_manifest(table, encoders: "Encoders", dtype: str, prompts: int) -> dict:
    manifest = {
        "format": FORMAT,
        "version": VERSION,
        "encoder": encoders.fingerprint(),
        "encoder_name": encoders.name,
        "data": prompts_hash(table),
        "dtype": dtype,
        "tokens": TOKENS,
        "width": encoders.width,
        "pairs": len(table),
        "prompts": prompts,
        "shard_prompts": SHARD_PROMPTS,
        "shards": {},
    }
    if isinstance(encoders, ComfyuiEncoder):
        manifest |= {"version": WITH_FACTS, "tokens": encoders.tokens, "facts": asdict(encoders.facts)}
    return manifest


def _plan(prompts: list[str], finished: dict, batch_size: int) -> Iterator[_Batch]:
    """Cuts the shards that are not finished into batches; no batch crosses two shards."""
    for shard, first in enumerate(range(0, len(prompts), SHARD_PROMPTS)):
        if shard_name(shard) in finished:
            continue
        in_shard = prompts[first : first + SHARD_PROMPTS]
        for start in range(0, len(in_shard), batch_size):
            yield _Batch(shard, start, in_shard[start : start + batch_size], len(in_shard))


def _encode_all(encoders: "Encoders", batches: list[_Batch], writer: "_ShardWriter", bar: tqdm) -> None:
    """Runs the encoders over all batches while one thread prepares the next and another writes the last ones."""
    ahead = SHARD_PROMPTS // len(batches[0].prompts) + 1 if batches else 0  # while a shard goes to disk
    with ThreadPoolExecutor(1, "shards") as writing:
        written = deque()
        for batch, features, longer in _encoded(encoders, batches, writer.dtype):
            # One sum per prompt tells whether any of its numbers is infinite or missing.
            if isinstance(features, list):
                sums = torch.stack([part.sum(dtype=torch.float32) for part in features])
            else:
                sums = features.sum((1, 2), dtype=torch.float32)
            ready = torch.cuda.Event() if sums.is_cuda else None
            if ready:
                ready.record(torch.cuda.current_stream(sums.device))
            written.append((batch, writing.submit(writer.add, batch, features, sums, longer, ready)))
            _settle(written, bar, most=ahead)
        _settle(written, bar, most=0)


def _encoded(
    encoders: "Encoders", batches: list[_Batch], dtype: torch.dtype
) -> Iterator[tuple[_Batch, torch.Tensor | list[torch.Tensor], int]]:
    """Gives each batch, its features [B, T, D] (a list of [T, D] where T differs), and how many prompts were cut."""
    if isinstance(encoders, ComfyuiEncoder):
        for batch in batches:
            features, longer = encoders.encode(batch.prompts)
            yield batch, features if encoders.tokens is None else torch.stack(features), longer
    else:
        for batch, windows, longer in _first_windows(encoders, batches):
            yield batch, encoders.forward(windows).to(dtype), longer


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
        cuda, tokens = device.type == "cuda", manifest["tokens"]
        self.rows: list[torch.Tensor] | torch.Tensor = []  # of prompts that differ in T
        if tokens:
            shape = (min(SHARD_PROMPTS, manifest["prompts"]), tokens, manifest["width"])
            self.rows = torch.empty(shape, dtype=self.dtype, pin_memory=cuda)
        self.stream = torch.cuda.Stream(device) if cuda else None
        self.longer = 0

    def add(self, batch: _Batch, features, sums: torch.Tensor, longer: int, ready) -> None:
        """Takes features as `_encoded` gives them, which a GPU may still be computing until `ready`."""
        sums = self._take(batch, features, sums, ready)
        if not sums.isfinite().all():
            prompt = batch.prompts[int(sums.isfinite().logical_not().nonzero()[0])]
            raise ValueError(
                f"The encoders gave numbers that are not finite in {self.manifest['dtype']} for {prompt[:80]!r}. "
                "Store bfloat16, or run the encoders in float32; if it stays, their file is damaged."
            )
        self.longer = longer + (self.longer if batch.start else 0)
        if batch.ends_shard:
            self._write(batch)

    def _take(self, batch: _Batch, features, sums: torch.Tensor, ready) -> torch.Tensor:
        """Puts features among the rows; gives the sums on the processor."""
        if isinstance(features, list):
            self.rows = [*(self.rows if batch.start else []), *features]
            return sums
        rows = self.rows[batch.start : batch.start + len(batch.prompts)]
        if not self.stream:
            rows.copy_(features)
            return sums
        with torch.cuda.stream(self.stream):
            self.stream.wait_event(ready)
            rows.copy_(features, non_blocking=True)
            return sums.cpu()

    def _write(self, batch: _Batch) -> None:
        name = shard_name(batch.shard)
        differ = isinstance(self.rows, list)
        header, data = _safetensors_parts(torch.cat(self.rows) if differ else self.rows[: batch.shard_rows])

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
                **({"tokens": [len(row) for row in self.rows]} if differ else {}),
            }
            write_manifest(self.folder, self.manifest)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            done = _prompts_done(self.manifest)
            raise OSError(
                error.errno,
                f"The disk of {self.folder} is full after {done} of {self.manifest['prompts']} prompts. They are "
                f"kept: free {_size(_bytes_left(self.manifest))} and run the same command again to go on.",
            ) from error
        if differ:
            _check_room(self.folder, self.manifest)


def _safetensors_parts(rows: torch.Tensor) -> tuple[bytes, np.ndarray]:
    """Gives a safetensors file of `rows` as header and data; the library's `save` would copy the data twice."""
    return safetensors_header(rows.dtype, list(rows.shape)), rows.reshape(-1).view(torch.uint8).numpy()


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
    return {name: entry for name, entry in entries if is_whole(folder / name, entry)}


def _prompts_done(manifest: dict) -> int:
    return sum(shard["prompts"] for shard in manifest["shards"].values())


def _bytes_left(manifest: dict) -> int:
    """Of the shards to come; where prompts differ in T, from the mean of those that are there."""
    done, shards = _prompts_done(manifest), manifest["shards"].values()
    each = (manifest["tokens"] or 0) * manifest["width"] * 2
    if not manifest["tokens"] and done:
        each = sum(shard["bytes"] for shard in shards) / done
    return round((manifest["prompts"] - done) * each)


def _check_room(folder: Path, manifest: dict) -> None:
    free, need = shutil.disk_usage(folder).free, _bytes_left(manifest)
    if need > free:
        raise OSError(
            errno.ENOSPC,
            f"The features need {_size(need)} in {folder} and {_size(free)} is free. Free some, or "
            "choose a folder on another disk.",
        )


def _size(size: int) -> str:
    return f"{size / 1e9:.2f} GB" if size >= 1e8 else f"{size / 1e6:.2f} MB"
