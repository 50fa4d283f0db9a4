"""CLIP's tokenizer, and the numbers of its windows; importing them costs neither torch nor transformers."""

import functools
import gzip
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from emoticrafter.files import naming

if TYPE_CHECKING:
    from transformers import CLIPTokenizer

START, END = 49406, 49407
VOCABULARY = 49408
TOKENS = 77
"""T, the tokens of a window."""
WORDS = TOKENS - 2
"""What is left between the start and the end token."""


@functools.cache
def clip_tokenizer() -> "CLIPTokenizer":
    """Builds transformers' CLIP tokenizer, the class that ComfyUI uses, from the vocabulary beside this file.

    Every SDXL model has CLIP's vocabulary, and single-file checkpoints carry none.
    """
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import CLIPTokenizer

    packed = Path(__file__).with_name("clip_merges.txt.gz").read_bytes()
    merges = gzip.decompress(packed).decode("utf-8").split("\n")[:-1]
    bytes_ = sorted(ByteLevel.alphabet())
    words = bytes_ + [byte + "</w>" for byte in bytes_] + [merge.replace(" ", "") for merge in merges]
    vocabulary = {word: token for token, word in enumerate([*words, "<|startoftext|>", "<|endoftext|>"])}
    with TemporaryDirectory() as folder, naming(folder):
        Path(folder, "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
        Path(folder, "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]), encoding="utf-8")
        return CLIPTokenizer.from_pretrained(folder)
