"""Any text encoder that ComfyUI loads, in ComfyUI's own Python: texts go there, and features come back.

    with ComfyuiEncoder(Source(path, ["qwen_3_4b.safetensors"], "lumina2"), "bfloat16", log) as encoder:
        features, longer = encoder.encode(["a house by the sea"])  # [one tensor of [T, D]], 0

An encoder that pads gives every text the same T, and longer texts are cut to it. Others give each text a T of its own.
Tokens that an attention mask leaves out are left out here, too. Text is taken as written: no weights, no embeddings.
"""

import contextlib
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load
from torch import Tensor

import emoticrafter
from emoticrafter.quoting import quoted, shown
from trainer.features.manifest import Facts

SCRIPT = Path(__file__).with_name("in_comfyui.py")
SECONDS_TO_END = 10
LONGEST_REASON = 600


@dataclass(frozen=True)
class Source:
    """A ComfyUI, and which of its text encoders.

    Attributes:
        comfyui: Its folder, with main.py.
        clips: Files in its text_encoders folder, or absolute paths.
        clip_type: As Load CLIP has it.
        python: The Python that runs it; None: as `python_of` finds it.
        device: "auto", "cpu", "cuda", "cuda:1" …
    """

    comfyui: Path
    clips: Sequence[str]
    clip_type: str = "stable_diffusion"
    python: Path | None = None
    device: str = "auto"


class ComfyuiEncoder:
    """A text encoder in a process of ComfyUI's Python, which ends with this object's `with` block.

    Attributes:
        name: Of its files, its family and ComfyUI's version, for people to read.
        facts: Of it.
        width: D, the features per token.
        tokens: T where it pads, None where each text has its own.
        device: Of what `encode` gives: the processor.
    """

    device = torch.device("cpu")

    def __init__(self, source: Source, dtype: str, log: Path):
        """
        Args:
            source: What to load.
            dtype: Of the features, "float16" or "bfloat16".
            log: Gets what ComfyUI prints.

        Raises:
            ValueError: There is no ComfyUI, no such Python, no such file, or ComfyUI cannot use them.
        """
        self.log = log
        asked = {
            "comfyui": str(_comfyui_folder(source.comfyui)),
            "library": str(Path(emoticrafter.__file__).resolve().parent),
            "clips": list(source.clips),
            "type": source.clip_type.lower(),
            "device": source.device,
            "dtype": dtype,
        }
        self._start(source, asked)
        try:
            told = self._read()["ready"]
        except BaseException:
            self.close()
            raise
        self._files, self._clip_type = told["files"], asked["type"]
        self.facts, self.width, self.tokens = Facts(**told["facts"]), told["width"], told["tokens"]
        self.name = f"{' and '.join(told['files'])} ({self.facts.family}, ComfyUI {told['version']})"

    def _start(self, source: Source, asked: dict) -> None:
        python = source.python or python_of(source.comfyui)
        variables = dict(os.environ)
        if source.device.startswith("cuda:"):
            variables["CUDA_VISIBLE_DEVICES"] = source.device.removeprefix("cuda:")
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("wb") as log:
            try:
                self._process = subprocess.Popen(  # noqa: S603 - the user names the program
                    [str(python), str(SCRIPT), json.dumps(asked)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    cwd=asked["comfyui"],
                    env=variables,
                )
            except OSError as error:
                raise ValueError(
                    f"--comfyui-python: {python} cannot be started ({error.strerror}). Give the Python that runs "
                    "ComfyUI."
                ) from error

    def fingerprint(self) -> str:
        """A sha256 over what the features depend on: the files' bytes, and as what they were loaded."""
        return hashlib.sha256(json.dumps([self._clip_type, *self._files.values()]).encode()).hexdigest()

    def encode(self, texts: Sequence[str]) -> tuple[list[Tensor], int]:
        """The features [T, D] of each text, and how many texts were cut.

        Raises:
            ValueError: ComfyUI failed, or its process ended.
        """
        try:
            self._process.stdin.write(json.dumps({"texts": list(texts)}).encode() + b"\n")
            self._process.stdin.flush()
        except OSError as error:
            raise self._ended() from error
        told = self._read()
        data = self._process.stdout.read(told["bytes"])
        if len(data) < told["bytes"]:
            raise self._ended()
        found = load(data)
        return list(found["features"].split(found["tokens"].tolist())), told["longer"]

    def _read(self) -> dict:
        line = self._process.stdout.readline()
        if not line.endswith(b"\n"):
            raise self._ended()
        told = json.loads(line)
        if "error" in told:
            raise ValueError(f"{shown(told['error'], LONGEST_REASON).rstrip('.')}.")
        return told

    def _ended(self) -> ValueError:
        status = self._process.wait()
        lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        last = f", and said {quoted(lines[-1].strip())}" if lines else ""
        return ValueError(f"ComfyUI's Python ended with status {status}{last}: see {self.log}.")

    def close(self) -> None:
        """Ends the process."""
        for stream in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):  # it has ended already
                stream.close()
        try:
            self._process.wait(SECONDS_TO_END)
        except subprocess.TimeoutExpired:  # still loading
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> "ComfyuiEncoder":
        return self

    def __exit__(self, *_) -> None:
        self.close()


def _comfyui_folder(path: Path) -> Path:
    if not ((path / "main.py").is_file() and (path / "comfy").is_dir()):
        raise ValueError(f"--comfyui-path: {path} is not ComfyUI's folder: expected main.py and comfy/ in it.")
    return path.resolve()


def python_of(comfyui: Path) -> Path:
    """The Python that most likely runs a ComfyUI: of its own environment, else of the Windows bundle, else this one."""
    ending = "Scripts/python.exe" if os.name == "nt" else "bin/python"
    bundled = comfyui.resolve().parent / "python_embeded" / "python.exe"  # sic
    own = (comfyui / "venv" / ending, comfyui / ".venv" / ending, bundled)
    return next((python for python in own if python.is_file()), Path(sys.executable))
