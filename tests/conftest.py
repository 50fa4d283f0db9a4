"""What several files of tests share: a small data folder to train on, and a small user study."""

import os
import signal
import sys
from pathlib import Path

# Before torch is loaded, and for what the tests start: the tensors are small, and threads that wait for each other
# on a busy machine take many times longer than one.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
import torch

# At the end: in front, our nodes/ would be found before ComfyUI's nodes.py.
sys.path.append(str(Path(__file__).parents[1]))

PAIRS = 48
WIDTH = 32


class PlaneEncoders:
    """Stands in for the text encoders: the features are the scene's own plus valence and arousal on two directions.

    A prompt is "scene 7" or "scene 7 +1.5 -2.0".
    """

    name, width, device = "plane (for tests)", WIDTH, torch.device("cpu")

    def fingerprint(self) -> str:
        return "0" * 64

    def tokenize(self, prompts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
        tokens = torch.zeros(2, len(prompts), 77)
        for row, prompt in enumerate(prompts):
            numbers = [float(word) for word in prompt.split()[1:]]
            tokens[0, row, : len(numbers)] = torch.tensor(numbers)
        return tokens, torch.ones(len(prompts), dtype=torch.int64)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        scene, valence, arousal = tokens[0, :, :3].T
        parts = [torch.randn(77, WIDTH, generator=torch.Generator().manual_seed(int(s))) for s in scene.tolist()]
        directions = torch.randn(2, 77, WIDTH, generator=torch.Generator().manual_seed(999))
        emotion = torch.stack([valence, arousal], dim=1)
        return torch.stack(parts) + 0.5 * torch.einsum("bk,ktd->btd", emotion, directions)


def make_pairs(count: int = PAIRS):
    """A PairTable of which every sixth pair is for validation."""
    from trainer.data.pairs import PairTable

    random = np.random.default_rng(0)
    valence, arousal = random.integers(-6, 7, (2, count)) / 2
    return PairTable(
        neutral=[f"scene {n}" for n in range(count)],
        emotional=[f"scene {n} {v:+.1f} {a:+.1f}" for n, (v, a) in enumerate(zip(valence, arousal, strict=True))],
        valence=valence,
        arousal=arousal,
        source=["made"] * count,
        split=["validation" if n % 6 == 5 else "train" for n in range(count)],
        id=[str(n) for n in range(count)],
    )


@pytest.fixture
def interruptible():
    """Ctrl-C and a hangup interrupt, although shells and nohup have what they start ignore them."""
    handlers = {signal.SIGINT: signal.default_int_handler}
    if hasattr(signal, "SIGHUP"):
        handlers[signal.SIGHUP] = signal.SIG_DFL
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def data_folder(tmp_path_factory):
    """A data folder of 40 pairs to train on and 8 to validate, features 32 wide."""
    # Imported here, so that the tests of other parts do not wait for it.
    from trainer.data.pairs import save_table
    from trainer.features.writing import write_features

    folder = tmp_path_factory.mktemp("data")
    table = make_pairs()
    save_table(table, folder / "pairs.jsonl")
    write_features(table, PlaneEncoders(), folder / "features", progress=False)
    return folder


@pytest.fixture(scope="session")
def study_manifest(tmp_path_factory):
    """Pictures of two methods, for a study."""
    from tests.study.studies import images, save

    return save(images(), tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="session")
def study(study_manifest, tmp_path_factory):
    """The folder of a study of them."""
    from tests.study.studies import SETTINGS
    from trainer.study.make import make_study

    folder = tmp_path_factory.mktemp("study") / "study"
    make_study(study_manifest, folder, SETTINGS)
    return folder


@pytest.fixture(scope="session")
def study_key(study):
    from trainer.study.key import load_key

    return load_key(study)
