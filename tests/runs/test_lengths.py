"""Training where prompts have lengths of their own: what is stored, what is learned, what a network's file knows."""

import json
import zlib

import pytest
import torch

from emoticrafter import load_network
from emoticrafter.encoders import make_room, room_numbers
from tests.conftest import WIDTH, make_pairs
from trainer.data.pairs import save_table
from trainer.features.comfyui import ComfyuiEncoder
from trainer.features.manifest import Facts
from trainer.features.store import FeatureStore
from trainer.features.writing import write_features
from trainer.report import main as report
from trainer.runs.lessons import Lessons
from trainer.train import main as train

SMALL = "--width 64 --depth 1 --emotion-tokens 2 --emotion-hidden 16 --batch 8 --lr 3e-3 --log-every 10 --dropout 0"


class Words(ComfyuiEncoder):
    """Stands in for ComfyUI's process: a start token, the words, an end token; a number is a direction times itself.

    A token knows the words before it or, if the encoder reads both ways, all of them.
    """

    def __init__(self, causal: bool = True):
        self.causal, self.name, self.width, self.tokens = causal, "words (for tests)", WIDTH, None
        self.facts = Facts("words", head=1, tail=1, window=None, padded=False)

    def fingerprint(self) -> str:
        return "0" * 64

    def encode(self, texts) -> tuple[list[torch.Tensor], int]:
        return [self._features(["<start>", *text.split(), "<end>"]).half() for text in texts], 0

    def _features(self, words: list[str]) -> torch.Tensor:
        found = torch.stack([self._word(place, word) for place, word in enumerate(words)])
        counts = torch.arange(1, len(words) + 1).unsqueeze(1)
        around = found.cumsum(0) / counts if self.causal else found.mean(0, keepdim=True)
        return found + 0.3 * around

    def _word(self, place: int, word: str) -> torch.Tensor:
        if word[0] in "+-":
            axis = f"axis {word[-1]}"
            return float(word[:-1]) * self._word(0, axis) + self._word(0, axis + " itself")
        return torch.randn(WIDTH, generator=torch.Generator().manual_seed(zlib.crc32(word.encode())))


def data(folder, encoder):
    """Pairs whose emotional prompts append two words to neutral ones of 2 to 5."""
    table = make_pairs()
    for row, (valence, arousal) in enumerate(zip(table.valence, table.arousal, strict=True)):
        table.neutral[row] += " more" * (row % 4)
        table.emotional[row] = f"{table.neutral[row]} {valence:+.1f}v {arousal:+.1f}a"
    save_table(table, folder / "pairs.jsonl")
    return folder, write_features(table, encoder, folder / "features", progress=False)


@pytest.fixture(scope="module")
def causal(tmp_path_factory):
    torch.set_num_threads(1)
    return data(tmp_path_factory.mktemp("causal"), Words())


@pytest.fixture(scope="module")
def run(causal, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "run"
    more = ["--data", str(causal[0]), "--out", str(out), "--added-tokens", "3", "--scale", "2", "--preserve", "0.1"]
    assert train([*SMALL.split(), *more, "--steps", "200", "--validate-every", "100", "--bandwidth", "isotropic"]) == 0
    return out


def test_prompts_keep_their_lengths_and_their_masks_tell_them(causal):
    _, store = causal
    assert store.tokens is None and store.longest == 9
    some = store.neutral_rows[[0, 3]]
    features, mask = store.features(some), store.mask(some)
    assert mask.tolist() == [[True] * 4 + [False] * 3, [True] * 7]
    for row, text in enumerate(("scene 0", "scene 3 more more more")):
        [[expected], _] = Words().encode([text])
        assert torch.equal(features[row, mask[row]], expected) and not features[row, ~mask[row]].any()


def test_added_tokens_learn_appended_words_as_they_are_and_the_prompts_own_the_stretched_change(causal):
    _, store = causal
    neutral, emotional, mask, learned = Lessons(store, range(40), 3, scale=2.0)([0, 3])
    number = room_numbers(neutral, mask, 2, 1)
    assert mask.sum(1).tolist() == [6, 9] and learned.sum(1).tolist() == [4, 7]  # neither start nor end
    target = neutral + 2.0 * (emotional - neutral)  # equation 9
    for row in (0, 3):
        place = [0, 3].index(row)
        words = store.emotional([row])[0, store.mask(store.emotional_rows[[row]])[0]][-3:-1].float()
        room = target[place, number[place] > 0]
        torch.testing.assert_close(room, words, atol=1e-4, rtol=1e-4)
    unlearned = mask & ~learned
    assert torch.equal(emotional[unlearned], neutral[unlearned])


def test_an_encoder_that_reads_both_ways_gets_no_added_tokens(tmp_path):
    _, store = data(tmp_path, Words(causal=False))
    assert Lessons(store, range(40), 3, scale=2.0).added_tokens == 0


def table_of(folder, words: list[int]):
    """A store of pairs whose moods append so many words each; 0: the mood rewrites the prompt."""
    table = make_pairs(len(words))
    table.emotional = [
        " ".join([neutral, *["glad"] * count]) if count else f"glad {neutral}"
        for neutral, count in zip(table.neutral, words, strict=True)
    ]
    save_table(table, folder / "pairs.jsonl")
    return write_features(table, Words(), folder / "features", progress=False)


@pytest.mark.parametrize("words", [[1] * 100 + [6] * 200, [1, 1, 1, 1, 6] * 60, [0] * 100 + [6] * 200])
def test_a_sorted_table_gets_the_room_that_all_of_it_needs(tmp_path, words):
    assert Lessons(table_of(tmp_path, words), range(300), 64, scale=1.0).added_tokens == 6


@pytest.mark.parametrize("appending, added", [(8, 0), (40, 3)])
def test_where_moods_mostly_rewrite_the_prompt_no_tokens_are_added(tmp_path, appending, added):
    store = table_of(tmp_path, [3] * appending + [0] * (60 - appending))
    assert Lessons(store, range(60), 64, scale=1.0).added_tokens == added


def test_a_network_learns_the_words_and_its_file_knows_its_encoder(causal, run):
    network = load_network(run / "network.safetensors")
    config, encoder = network.config, network.encoder
    assert (config.added_tokens, config.window, config.normalise, config.positions) == (
        2,
        None,
        True,
        11,
    )  # as many as the words
    assert (encoder.family, encoder.head, encoder.tail) == ("words", 1, 1) and encoder.first.shape == (WIDTH,)
    [[neutral], _] = Words().encode(["scene 3 more more more"])
    longer, mask = make_room(neutral.float().unsqueeze(0), None, 2, encoder.tail)
    room = room_numbers(longer, mask, 2, encoder.tail)[0] == 1
    asked = {v: network(longer, v, 0.0)[0, room] for v in (-3.0, 3.0)}
    moved, along = asked[3.0] - asked[-3.0], Words()._word(0, "axis v")
    assert torch.nn.functional.cosine_similarity(moved[0], along, dim=0) > 0.7
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if line["kind"] == "train"]
    assert losses[-1] < 0.5 * losses[0]


def test_its_report_compares_it_with_its_nulls(run, capsys):
    assert report([str(run)]) == 0
    told = json.loads((run / "report" / "nulls.json").read_text())["regions"]["everywhere"]["errors"]
    assert told["as asked"] < told["labels negated"] and told["as asked"] < told["zero residual"]


def test_a_resumed_run_repeats_the_losses(causal, run, tmp_path):
    def losses(out):
        lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
        return [line["loss"] for line in lines if line["kind"] == "train"]

    arguments = [*SMALL.split(), "--data", str(causal[0]), "--log-every", "1", "--bandwidth", "isotropic"]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert train([*arguments, "--out", str(whole), "--steps", "4"]) == 0
    for steps in ("2", "4"):
        assert train([*arguments, "--out", str(parts), "--steps", steps, "--resume"]) == 0
    assert losses(parts) == losses(whole)


def test_a_manifest_with_odd_lengths_is_refused(causal, tmp_path):
    folder, _ = causal
    for change in ([3], [0] * 96, "many"):
        manifest = json.loads((folder / "features" / "manifest.json").read_text())
        manifest["shards"]["features-00000.safetensors"]["tokens"] = change
        (tmp_path / "manifest.json").write_text(json.dumps(manifest))
        with pytest.raises(ValueError, match=r"its entry for features-00000.safetensors is malformed"):
            FeatureStore(tmp_path)
