"""The fit of a network that corrects a field: it learns what depends on the scene, on encoders of both kinds."""

import errno
import math
from functools import partial
from io import BytesIO

import pytest
import torch

from emoticrafter import load_network
from emoticrafter.conditioning import inject_emotion
from emoticrafter.files import text_sha256
from emoticrafter.fit.instant import Encoder
from emoticrafter.fit.network import HELD_OUT, EncodedPairs, NetworkFit, Size
from emoticrafter.fit.pairs import Pair
from emoticrafter.weights import read_metadata, save_network

WIDTH = 8
SIZE = Size(width=64, depth=1, emotion_tokens=2, emotion_hidden=8)
TOKENS = torch.randn(40, WIDTH, generator=torch.Generator().manual_seed(0))
TOKENS *= torch.logspace(-1, 2, WIDTH)  # channels of all sizes, as in a language model


def words(text: str) -> list[int]:
    return [ord(word[0]) % 20 for word in text.split()]


def causal(text: str) -> tuple[torch.Tensor, torch.Tensor]:
    """A begin token, the words (each with a share of all before it), an end token; the mask leaves the end out."""
    ids = torch.tensor([21, *words(text), 22])
    features = TOKENS[ids] + 0.1 * TOKENS[ids].cumsum(0)
    return features, torch.tensor([1] * (len(ids) - 1) + [0], dtype=torch.bool)


def padded(text: str) -> tuple[torch.Tensor, None]:
    ids = torch.tensor([21, *words(text), *[22] * 12][:10])
    return TOKENS[ids] + 0.1 * TOKENS[ids].cumsum(0), None


ENCODERS = {
    "causal": Encoder(causal, "of the tests", 1, 0, None, False),
    "padded": Encoder(padded, "of the tests", 1, 0, None, True),
}
MOODS = {"tree": ("windy", "calm"), "house": ("zany", "quiet")}


def pairs(count: int = 160) -> list[Pair]:
    """The mood of a tree and that of a house are different words, so that a mean cannot know them."""
    found = []
    for number in range(count):
        subject = list(MOODS)[number % 2]
        neutral = f"{subject} {'abcdefghijklm'[number % 13]} {'nopqrstu'[number % 8]}"
        valence = -3.0 if number % 4 < 2 else 3.0
        mood = MOODS[subject][valence > 0]
        found.append(Pair(neutral, f"{neutral} {mood} {mood}", valence, float(number % 7) - 3))
    return found


@pytest.fixture(params=ENCODERS)
def encoded(request):
    encoded = EncodedPairs(ENCODERS[request.param], BytesIO(), most_added=3)
    for pair in pairs():
        encoded.add(pair)
    return encoded


def test_it_begins_as_the_field_and_learns_what_depends_on_the_scene(encoded, tmp_path):
    fit = NetworkFit(encoded, SIZE, steps=120)
    field = fit.held_out_loss(fit.network.field)
    assert fit.held_out_loss(fit.network) == pytest.approx(field)
    while fit.step < fit.steps:
        fit.advance()
    assert fit.held_out_loss(fit.network) < 0.3 * field
    # and as a file that goes onto a conditioning
    save_network(fit.network, tmp_path / "fitted.safetensors")
    assert read_metadata(tmp_path / "fitted.safetensors")["version"] == 2
    network = load_network(tmp_path / "fitted.safetensors")
    features, mask = encoded.instant.encoder.encode("tree a n")
    extra = {} if mask is None else {"attention_mask": mask.long().unsqueeze(0)}
    inject = partial(inject_emotion, [[features.unsqueeze(0), extra]], network, network.encode(3.0, 0.0))
    [[steered, grown]] = inject()
    assert steered.shape[1] == len(features) + (0 if mask is None else 1)  # a masked token made room for one of two
    assert torch.equal(steered[0, 0], features[0]), "the first token stays"
    assert torch.equal(inject(0.0)[0][0][0], features)
    if mask is not None:
        assert grown["attention_mask"].tolist() == [[1] * 6]
    bfloat16 = load_network(tmp_path / "fitted.safetensors", dtype=torch.bfloat16)
    [[rough, _]] = inject_emotion([[features.unsqueeze(0), extra]], bfloat16, bfloat16.encode(3.0, 0.0))
    assert (rough - steered).norm() < 0.05 * steered.norm()


@pytest.fixture
def no_dropout(monkeypatch):
    """Each part draws its own dropout, so without it alone parts add up to the whole."""
    monkeypatch.setattr("emoticrafter.fit.network.DROPOUT", 0.0)


def test_equal_seeds_are_equal_networks_in_any_number_of_parts(encoded, no_dropout):
    states = []
    for at_once, seed in ((32, 0), (32, 0), (5, 0), (32, 1)):
        fit = NetworkFit(encoded, SIZE, steps=3, seed=seed)
        fit.at_once = at_once
        for _ in range(3):
            fit.advance()
        states.append(torch.cat([tensor.flatten() for tensor in fit.network.state_dict().values()]))
    assert torch.equal(states[0], states[1])
    assert torch.allclose(states[0], states[2], atol=1e-4)
    assert not torch.allclose(states[0], states[3], atol=1e-4)


def test_where_memory_ends_a_step_begins_anew_in_smaller_parts(encoded, no_dropout, monkeypatch):
    whole = NetworkFit(encoded, SIZE, steps=2)
    whole.advance()
    fit = NetworkFit(encoded, SIZE, steps=2)
    fit.at_once = 8
    lesson, calls = encoded.lesson, []

    def failing(*arguments):
        calls.append(1)
        if len(calls) == 3:
            raise torch.OutOfMemoryError
        return lesson(*arguments)

    monkeypatch.setattr(encoded, "lesson", failing)
    with pytest.raises(torch.OutOfMemoryError):
        fit.advance()
    assert fit.step == 0
    fit.at_once = 4
    fit.advance()
    for name, tensor in fit.network.state_dict().items():
        assert torch.allclose(tensor, whole.network.state_dict()[name], atol=1e-5), name


def test_a_mood_that_rewrites_the_prompt_teaches_added_tokens_nothing():
    encoded = EncodedPairs(ENCODERS["causal"], BytesIO(), most_added=3)
    encoded.add(Pair("tree a n", "windy tree a n", -3.0, 0.0))
    encoded.add(Pair("tree b n", "tree b n windy", -3.0, 0.0))
    batch = encoded.lesson(encoded.learned + encoded.held_out, torch.device("cpu"))
    assert batch["mask"].sum(1).tolist() == [5, 5]
    assert [int(row.sum()) for row in batch["learned"]] in ([3, 4], [4, 3])


def test_an_encoder_that_pads_gives_one_length():
    lengths = iter([10, 9])
    encoder = Encoder(lambda text: (torch.ones(next(lengths), WIDTH), None), "of the tests", 1, 0, None, True)
    with pytest.raises(ValueError, match="expected one shape for all prompts"):
        EncodedPairs(encoder, BytesIO()).add(Pair("a", "b", 0.0, 0.0))


def test_of_a_longer_prompt_an_encoder_that_pads_gives_the_beginning():
    encoder = Encoder(lambda text: (TOKENS[: max(10, len(text.split()))], None), "of the tests", 1, 0, None, True, 10)
    encoded = EncodedPairs(encoder, BytesIO())
    encoded.add(Pair("a", "a " * 14, 1.0, 0.0))
    encoded.add(Pair("a " * 14, "a " * 20, 1.0, 0.0))
    assert encoded.instant.field().config.positions == 10


def test_where_no_mood_appends_words_nothing_is_added_while_learning_either():
    def both_ways(text: str) -> tuple[torch.Tensor, None]:
        features = TOKENS[torch.tensor([21, *words(text), 22])]
        return features + 3 * features.mean(0), None

    encoded = EncodedPairs(Encoder(both_ways, "of the tests", 1, 1, None, False), BytesIO(), most_added=3)
    for pair in pairs(20):
        encoded.add(pair)
    fit = NetworkFit(encoded, SIZE, steps=1)
    assert (fit.network.added_tokens, fit.network.config.positions) == (0, 5)
    assert encoded.lesson(encoded.learned[:2], torch.device("cpu"))["neutral"].shape == (2, 5, WIDTH)


class FullOnce(BytesIO):
    """A file on a disk that is full at its third write."""

    writes = 0

    def write(self, content):
        self.writes += 1
        if self.writes == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(content)


def test_a_pair_that_met_a_full_disk_is_added_once(encoded):
    again = EncodedPairs(encoded.instant.encoder, FullOnce(), most_added=3)
    failed = 0
    for pair in pairs():
        try:
            again.add(pair)
        except OSError:
            failed += 1
            again.add(pair)
    assert failed == 1 and again.pairs == encoded.pairs
    assert torch.equal(again.instant.field().directions, encoded.instant.field().directions)
    for chosen in (encoded.learned, encoded.held_out):
        mine, theirs = (of.lesson(chosen, torch.device("cpu")) for of in (again, encoded))
        assert torch.equal(mine["emotional"], theirs["emotional"])


def is_held_out(text: str) -> bool:
    return int(text_sha256(text)[:8], 16) < HELD_OUT * 16**8


@pytest.mark.parametrize("count", [1, 2, 20])
def test_a_few_pairs_of_one_scene_are_learned_whichever_scene_it_is(count):
    scene = next(text for number in range(1000) if is_held_out(text := f"tree {number}"))
    encoded = EncodedPairs(ENCODERS["causal"], BytesIO(), most_added=3)
    for _ in range(count):
        encoded.add(Pair(scene, f"{scene} windy", -3.0, 0.0))
    fit = NetworkFit(encoded, SIZE, steps=1)
    assert math.isfinite(fit.advance()) and math.isnan(fit.held_out_loss(fit.network))


def test_a_loss_that_is_no_number_ends_the_fit_in_words(encoded, monkeypatch):
    fit, lesson = NetworkFit(encoded, SIZE, steps=3), encoded.lesson
    fit.advance()
    monkeypatch.setattr(encoded, "lesson", lambda *of: lesson(*of) | {"weight": torch.full((32,), torch.nan)})
    with pytest.raises(ValueError, match="The loss of step 2 is nan"):
        fit.advance()


def test_moods_that_change_nothing_and_channels_that_never_move_can_be_learned(tmp_path):
    def constant(text: str) -> tuple[torch.Tensor, None]:
        features = TOKENS[torch.tensor([21, *words(text), 22])].clone()
        features[:, : WIDTH - 2] = 3.0
        return features, None

    encoded = EncodedPairs(Encoder(constant, "of the tests", 1, 1, None, False), BytesIO(), most_added=3)
    for number in range(40):
        encoded.add(Pair(f"tree {'abcdefgh'[number % 8]}", f"tree {'abcdefgh'[number % 8]}", 0.0, 0.0))
    fit = NetworkFit(encoded, SIZE, steps=2)
    assert [math.isfinite(fit.advance()) for _ in range(2)] == [True, True]
    save_network(fit.network, tmp_path / "still.safetensors")
    network, features = load_network(tmp_path / "still.safetensors"), constant("tree a")[0].unsqueeze(0)
    [[steered, _]] = inject_emotion([[features, {}]], network, network.encode(3.0, 3.0))
    assert torch.isfinite(steered).all()


def test_a_field_in_a_network_of_half_precision_keeps_numbers_that_it_could_not_hold(encoded, tmp_path):
    fit = NetworkFit(encoded, SIZE, steps=1)
    network = fit.network
    for tensor in network.field.parameters():
        tensor.data.mul_(1e5 / tensor.abs().max().clamp(min=1e-6))  # directions may be 0
    save_network(network, tmp_path / "large.safetensors")
    half = load_network(tmp_path / "large.safetensors", dtype=torch.float16)
    features, mask = encoded.instant.encoder.encode("tree a n")
    entry = [features.unsqueeze(0), {} if mask is None else {"attention_mask": mask.long().unsqueeze(0)}]
    for gains in ((1.0, 1.0), (1.5, 0.5)):
        [[steered, _]] = inject_emotion([entry], network, network.encode(2.0, 1.0), gains=gains)
        [[rough, _]] = inject_emotion([entry], half, half.encode(2.0, 1.0), gains=gains)
        assert (rough - steered).norm() < 0.01 * steered.norm()
    save_network(half, tmp_path / "again.safetensors")
