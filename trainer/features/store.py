"""Text features of a pair table on disk, read at random while training; `writing.py` makes them and says what is there.

    store = FeatureStore("data/features", table)
    store.neutral([0, 5])  # [2, 77, 2048]

Shapes: N pairs, P distinct prompts, B prompts in a batch, T tokens, D features.
"""

import hashlib
import json
import math
import zlib
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from tqdm import tqdm

from trainer.features.manifest import Facts, damaged, read_manifest, shard_name, short

CHECKING = 4  # threads: more read no faster from most disks


class FeatureStore:
    """The features of a table's pairs on disk: nothing is read before it is asked for.

    Pairs in random order are read row by row at their place in the files, which are closed again: through a
    memory map a row is many page faults, and rows that are not cached yet came 30 times slower. Whole shards
    are memory-mapped (`pool`, or safetensors' `load_file`). Nothing is kept open, so a store can be forked, pickled
    and used from several threads and processes at once.

    Where prompts have different numbers of tokens, T is that of the longest in a batch, and the others are filled up
    with 0 on the right; a mask tells.

    Attributes:
        manifest: The folder's manifest, a dict.
        width: D, the features per token.
        tokens: T, the same for all prompts; None where they differ.
        lengths: [P] int64, T of each distinct prompt.
        dtype: torch.float16 or torch.bfloat16.
        facts: Of the encoder; None for SDXL's own, as `trainer.features.encoders` loads them.
        longer: How many distinct prompts have more than T tokens (with SDXL's start and end) and were cut.
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
        self.tokens = self.manifest["tokens"]
        self.facts = Facts(**self.manifest["facts"]) if "facts" in self.manifest else None
        self._check(table)
        self.neutral_rows, self.emotional_rows = self._read_rows()
        if table is not None:
            self._check_rows(distinct(table)[1])
        self.lengths = torch.tensor([n for entry in self._entries() for n in self._lengths(entry)])
        self._offsets = [offset for entry in self._entries() for offset in self._offsets_in(entry)]
        self.longer = sum(entry["longer"] for entry in self.manifest["shards"].values())

    def _entries(self) -> list[dict]:
        """The shards' entries in the manifest, in order."""
        return [self.manifest["shards"][name] for name in sorted(self.manifest["shards"])]

    def _lengths(self, entry: dict) -> list[int]:
        return entry["tokens"] if self.tokens is None else [self.tokens] * entry["prompts"]

    def _offsets_in(self, entry: dict) -> list[int]:
        """Where each prompt of a shard begins in its file, in bytes."""
        lengths = self._lengths(entry)
        header = entry["bytes"] - sum(lengths) * self.width * 2
        return [header + end * self.width * 2 for end in accumulate(lengths, initial=0)][:-1]

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
        if table is not None and prompts_hash(table) != manifest["data"]:
            raise ValueError(
                f"The features in {self.folder} were made from other data: {short(manifest, 'data')} there, "
                f"the table is {prompts_hash(table)[:12]}. Run python -m trainer.prepare for this table."
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
            shape = [sum(self._lengths(entry)), self.width]
            if self.tokens:
                shape = [entry["prompts"], self.tokens, self.width]
            header = safetensors_header(self.dtype, shape)
            with path.open("rb") as file:
                fits = file.read(len(header)) == header
            if not fits or size != len(header) + math.prod(shape) * 2:
                raise damaged(path, f"expected {manifest['dtype']} {shape} as manifest.json says, got other features")

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
            whole = pool.map(lambda name: is_whole(self.folder / name, self.manifest["shards"][name]), names)
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
        return int(self.lengths.sum()) * self.width * 2

    @property
    def longest(self) -> int:
        """The largest T."""
        return int(self.lengths.max())

    def neutral(self, indexes, out: torch.Tensor | None = None) -> torch.Tensor:
        """Gives the features [B, T, D] of the neutral prompts of the pairs at `indexes` (B integers).

        Args:
            indexes: A list, array or tensor.
            out: A contiguous CPU tensor of that shape and of the stored dtype to put them in. Reusing one is several
                times faster than a new one for every batch.

        Raises:
            ValueError: A shard was damaged since the store was opened.
        """
        return self.features(self.neutral_rows[torch.as_tensor(indexes, dtype=torch.int64)], out)

    def emotional(self, indexes, out: torch.Tensor | None = None) -> torch.Tensor:
        """Gives the features [B, T, D] of the emotional prompts of the pairs at `indexes`, like `neutral`."""
        return self.features(self.emotional_rows[torch.as_tensor(indexes, dtype=torch.int64)], out)

    def mask(self, rows: torch.Tensor) -> torch.Tensor | None:
        """Which tokens of `rows` of `neutral_rows` or `emotional_rows` [B] are a prompt's: bool [B, T].

        None where all prompts have as many.
        """
        if self.tokens:
            return None
        lengths = self.lengths[rows]
        return torch.arange(int(lengths.max())) < lengths.unsqueeze(1)

    def pool(self, device: str | torch.device = "cpu") -> torch.Tensor:
        """Gives the features of all distinct prompts as one tensor on a device: [P, T, D].

        `pool[store.neutral_rows[indexes]]` is `store.neutral(indexes)`. Only where all prompts have as many tokens.
        """
        pool = torch.empty(self.manifest["prompts"], self.tokens, self.width, dtype=self.dtype, device=device)
        for shard, rows in enumerate(pool.split(self.manifest["shard_prompts"])):
            rows.copy_(load_file(self.folder / shard_name(shard))["features"])
        return pool

    def features(self, rows: torch.Tensor, out: torch.Tensor | None = None) -> torch.Tensor:
        """Gives the features [B, T, D] of `rows` [B] of `neutral_rows` or `emotional_rows`, like `neutral`."""
        if out is None:
            out = self._empty(rows)
        lengths = self.lengths[rows].tolist()
        for row, length, into in zip(rows.tolist(), lengths, out.view(torch.uint8).numpy(), strict=True):
            path, part = self.folder / shard_name(row // self.manifest["shard_prompts"]), into[:length]
            with path.open("rb", buffering=0) as file:
                file.seek(self._offsets[row])
                if file.readinto(part) != part.nbytes:
                    raise ValueError(
                        f"{path} is damaged: it ends too early. Run the same python -m trainer.prepare command again: "
                        "it makes this shard anew."
                    )
        return out

    def _empty(self, rows: torch.Tensor) -> torch.Tensor:
        """[B, T, D], 0 where prompts differ in T."""
        if self.tokens:
            return torch.empty(len(rows), self.tokens, self.width, dtype=self.dtype)
        longest = int(self.lengths[rows].max()) if len(rows) else 0
        return torch.zeros(len(rows), longest, self.width, dtype=self.dtype)


# ---- what writing and reading share ------------------------------------------------------------------


def distinct(table) -> tuple[list[str], dict[str, torch.Tensor]]:
    """Gives the distinct prompts, neutral ones first, and for each pair where its prompts are among them."""
    rows = {prompt: row for row, prompt in enumerate(dict.fromkeys([*table.neutral, *table.emotional]))}
    columns = {"neutral": table.neutral, "emotional": table.emotional}
    places = {name: [rows[prompt] for prompt in column] for name, column in columns.items()}
    return list(rows), {name: torch.tensor(column, dtype=torch.int64) for name, column in places.items()}


def prompts_hash(table) -> str:
    """A sha256 over the prompts and their order: corrected ratings or another split need no new features."""
    return hashlib.sha256(json.dumps([table.neutral, table.emotional]).encode()).hexdigest()


def safetensors_header(dtype: torch.dtype, shape: list[int]) -> bytes:
    """What stands before the data in a safetensors file of one tensor, "features"."""
    name, size = {torch.float16: "F16", torch.bfloat16: "BF16"}[dtype], math.prod(shape) * 2
    entry = {"dtype": name, "shape": shape, "data_offsets": [0, size]}
    text = json.dumps({"features": entry}).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def is_whole(path: Path, entry: dict) -> bool:
    """Whether a shard has the bytes that were written."""
    if not path.exists() or path.stat().st_size != entry["bytes"]:
        return False
    checksum = 0
    with path.open("rb") as file:
        while block := file.read(1 << 24):
            checksum = zlib.crc32(block, checksum)
    return f"{checksum:08x}" == entry["crc32"]
