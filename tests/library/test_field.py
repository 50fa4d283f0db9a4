"""The field of emotion and its instant fit."""

import pytest
import torch

from emoticrafter import load_network
from emoticrafter.conditioning import inject_emotion
from emoticrafter.encoders import EncoderFacts
from emoticrafter.field import EmotionField, FieldConfig, field_basis
from emoticrafter.fit.contrast import filled
from emoticrafter.fit.field import FieldFit
from emoticrafter.fit.instant import Encoder, InstantFit
from emoticrafter.fit.pairs import Pair, read_pairs
from emoticrafter.fit.scenes import CELLS, WITHOUT_BODY, draw_pairs
from emoticrafter.fit.wording import KINDS, PHRASES
from emoticrafter.weights import read_metadata, save_network

WIDTH = 6


def facts(head=1, tail=2, family="Z-Image"):
    return EncoderFacts(family, torch.zeros(WIDTH), torch.ones(WIDTH), head, tail)


def random_field(positions=1, window=None, added_tokens=0, encoder=None):
    generator = torch.Generator().manual_seed(1)
    draw = lambda count: torch.randn(25, count, WIDTH, generator=generator)  # noqa: E731
    config = FieldConfig(WIDTH, positions, window, added_tokens)
    room = draw(added_tokens) if added_tokens else None
    return EmotionField(config, encoder or facts(), draw(positions), room).requires_grad_(False)


def test_the_surface_goes_through_its_points_and_is_straight_between_them():
    valence, arousal = torch.tensor(CELLS, dtype=torch.float64).T
    basis = field_basis(valence, arousal)
    assert basis.sum(0).tolist() == [1.0] * 25  # each point is one of the 25
    assert basis.max(1).values.tolist() == [1.0] * 25
    between = field_basis(torch.tensor([0.75]), torch.tensor([-2.25]))
    assert sorted(between[between > 0].tolist()) == [0.25] * 4


def test_a_fit_finds_the_surface_that_the_differences_lie_on():
    truth = random_field(positions=3)
    generator, fit = torch.Generator().manual_seed(2), FieldFit()
    for valence, arousal in (torch.rand(4000, 2, generator=generator) * 6 - 3).tolist():
        basis = field_basis(torch.tensor([valence]), torch.tensor([arousal]))
        noise = 0.1 * torch.randn(3, WIDTH, generator=generator)
        fit.add(torch.einsum("nk,kpd->pd", basis, truth.directions) + noise, valence, arousal)
    assert (fit.solve() - truth.directions).abs().mean() < 0.06
    with pytest.raises(ValueError, match="expected one shape for all prompts"):
        fit.add(torch.zeros(4, WIDTH), 0, 0)


def test_only_the_tokens_of_the_prompt_move():
    field = random_field()
    features = torch.randn(1, 9, WIDTH, generator=torch.Generator().manual_seed(3))
    features[0, 4] *= 50  # an attention sink
    mask = torch.tensor([[1, 1, 1, 1, 1, 1, 1, 1, 0]])
    entry = [features, {"attention_mask": mask, "pooled_output": None, "area": 7}]
    emotion = field.encode(1.5, -3.0)
    [[moved, extra]] = inject_emotion([entry], field, emotion)
    changed = (moved != features).any(-1).squeeze(0).tolist()
    assert changed == [False, True, True, True, False, True, False, False, False]
    assert torch.allclose(moved[0, 1] - features[0, 1], moved[0, 5] - features[0, 5], atol=1e-6)
    assert extra["area"] == 7
    assert torch.equal(inject_emotion([entry], field, emotion, 0.0)[0][0], features)


def test_added_tokens_take_their_own_features_and_the_mask_grows():
    field = random_field(added_tokens=2)
    features = torch.randn(1, 6, WIDTH)
    entry = [features, {"attention_mask": torch.ones(1, 6, dtype=torch.long), "pooled_output": None}]
    [[moved, extra]] = inject_emotion([entry], field, field.encode(3.0, 3.0))
    assert extra["attention_mask"].tolist() == [[1] * 8]
    assert torch.allclose(moved[0, 4:6], field.room[-1], atol=1e-6)  # before the tail
    assert torch.equal(moved[0, 6:], features[0, 4:])
    [[several, _]] = inject_emotion([entry], field, field.encode(torch.tensor([3.0, 0.0]), 3.0))
    assert several.shape == (2, 8, WIDTH)
    assert torch.allclose(several[0], moved[0], atol=1e-6)


def test_a_field_by_position_serves_each_window_alike():
    field = random_field(positions=77, window=77, encoder=facts(family="SDXL"))
    features = torch.zeros(1, 154, WIDTH)
    [[moved, _]] = inject_emotion([[features, {"pooled_output": torch.zeros(1, 4)}]], field, field.encode(0.4, 2.0))
    assert torch.equal(moved[:, :77], moved[:, 77:])
    assert (moved[:, 1:77] != 0).any(-1).all()


def test_a_file_gives_the_same_field(tmp_path):
    field, path = random_field(added_tokens=3), tmp_path / "field.safetensors"
    save_network(field, path, {"pairs": 10})
    again = load_network(path, dtype=torch.float16)
    assert torch.equal(again.directions, field.directions)
    assert torch.equal(again.room, field.room)
    assert (again.encoder.family, again.encoder.head, again.encoder.tail) == ("Z-Image", 1, 2)
    assert read_metadata(path) == {"version": 2, "config": field.config, "training": {"pairs": 10}}
    for config in ({"feature_width": 0}, {"feature_width": 4, "window": 5}, {"feature_width": 4, "positions": True}):
        with pytest.raises(ValueError, match="This field cannot be built"):
            FieldConfig(**config)


def causal_encoder(padded: bool) -> Encoder:
    """A toy: a token's features are its word's, and a running mean of those before it; start and end tokens."""

    def encode(text):
        words = [hash_of(word) for word in text.split()]
        tokens = torch.stack([torch.ones(WIDTH), *words, -torch.ones(WIDTH)])
        features = tokens + 0.1 * tokens.cumsum(0) / torch.arange(1, len(tokens) + 1).unsqueeze(1)
        if padded:
            features = torch.cat([features, features[-1:].expand(77 - len(features), -1)])
        return features, None

    return Encoder(encode, "SDXL" if padded else "Z-Image", 1, 1, 77 if padded else None, padded)


def hash_of(word: str) -> torch.Tensor:
    return torch.randn(WIDTH, generator=torch.Generator().manual_seed(sum(map(ord, word))))


def test_the_instant_fit_finds_what_a_mood_appends():
    words = {1.5: "joy joy joy", -1.5: "grief grief grief"}
    pairs = [
        Pair(text, f"{text} {words[v]}", v, 0.0) for text in ("a dog", "a red boat", "the old house") for v in words
    ]
    fit = InstantFit(causal_encoder(padded=False), most_added=3)
    for pair in pairs * 20:
        fit.add(pair)
    field = fit.field()
    assert (fit.pairs, field.added_tokens, field.encoder.tail) == (120, 3, 1)
    plain, asked = (causal_encoder(False).encode(text)[0] for text in ("a tree", "a tree joy joy joy"))
    [[steered, _]] = inject_emotion([[plain.unsqueeze(0), {}]], field, field.encode(1.5, 0.0))
    [[other, _]] = inject_emotion([[plain.unsqueeze(0), {}]], field, field.encode(-1.5, 0.0))
    assert (steered[0, 3:6] - asked[3:6]).norm() < 0.2 * (other[0, 3:6] - asked[3:6]).norm()
    assert torch.equal(steered[0, :3], plain[:3])  # as words that are appended leave it


def test_shorter_words_are_filled_up_with_their_last_and_longer_ones_are_cut_off():
    words = torch.arange(6.0).reshape(3, 2)
    assert filled(words, 5)[:, 0].tolist() == [0, 2, 4, 4, 4] and filled(words, 2)[:, 0].tolist() == [0, 2]


@pytest.mark.parametrize("most, added", [(64, 4), (2, 2), (0, 0)])
def test_a_field_adds_as_many_tokens_as_hold_nearly_all_of_the_words(most, added):
    fit = InstantFit(causal_encoder(padded=False), most_added=most)
    for number in range(200):
        words = "joy " * (9 if number == 70 else 1 + number % 4)  # one phrase is far longer than all others
        fit.add(Pair("a dog", f"a dog {words}", 1.5, 0.0))
    assert fit.field().added_tokens == added


def test_where_no_pair_has_been_added_tokens_are_an_average_moods_and_not_nothing():
    fit = InstantFit(causal_encoder(padded=False))
    for words, valence in (("joy joy", 3.0), ("grief grief", -3.0)) * 2:
        fit.add(Pair("a dog", f"a dog {words}", valence, 0.0))
    fit.add(Pair("a dog", "a dog", 0.0, 0.0))  # has no words: neutral is not reached by any
    field = fit.field()
    moods = (Pair("a dog", f"a dog {words}", 0.0, 0.0) for words in ("joy joy", "grief grief"))
    joy, grief = (fit.read(pair).taught.words for pair in moods)

    def added(valence: float, arousal: float) -> torch.Tensor:
        return torch.einsum("nk,kmd->md", field_basis(torch.tensor([valence]), torch.tensor([arousal])), field.room)

    for unreached in ((0.0, 0.0), (3.0, 3.0), (-1.5, -3.0)):
        assert torch.allclose(added(*unreached), (joy + grief) / 2, atol=1e-5)
    assert (added(3.0, 0.0) - joy).norm() < 0.5 * (added(3.0, 0.0) - grief).norm()


def test_where_moods_mostly_rewrite_the_prompt_its_own_tokens_move_and_none_are_added():
    fit = InstantFit(causal_encoder(padded=False), most_added=3)
    for number in range(40):
        fit.add(Pair("a dog", "a dog joy joy" if number % 5 == 0 else "a joyful dog", 1.5, 0.0))
    field = fit.field()
    assert field.added_tokens == 0
    plain = causal_encoder(False).encode("a tree")[0].unsqueeze(0)
    [[steered, _]] = inject_emotion([[plain, {}]], field, field.encode(1.5, 0.0))
    assert steered.shape == plain.shape and (steered[0, 1:3] - plain[0, 1:3]).norm() > 0.1


def test_the_instant_fit_of_a_padded_encoder_goes_by_position():
    fit = InstantFit(causal_encoder(padded=True))
    for pair in draw_pairs(50):
        fit.add(pair)
    field = fit.field()
    assert (field.config.positions, field.added_tokens) == (77, 0)
    assert not field.directions[:, 0].any()  # the start token is the same in all prompts
    with pytest.raises(ValueError, match="NaN or infinite numbers for 'a dog'"):
        InstantFit(Encoder(lambda text: (torch.full((5, 4), torch.nan), None), "", 0, 0, None, False)).add(
            Pair("a dog", "a sad dog", -2.0, 0.0)
        )


def test_pairs_cover_the_plane_and_mostly_show_nobody():
    pairs = draw_pairs(1000, seed=3)
    assert pairs[:100] == draw_pairs(100, seed=3)
    assert pairs[:100] != draw_pairs(100, seed=4)
    cells = {(round(pair.valence / 1.5), round(pair.arousal / 1.5)) for pair in pairs[:25]}
    assert len(cells) > 15
    bodies = [phrase for cell in PHRASES["body"].values() for phrase in cell]
    with_bodies = sum(any(phrase in pair.emotional for phrase in bodies) for pair in pairs)
    assert 0 < with_bodies < 250
    assert len({pair.neutral for pair in pairs}) > 500
    assert set(KINDS) - set(WITHOUT_BODY) == {"body"}


def test_pairs_are_read_from_files_and_mistakes_are_told_by_line(tmp_path):
    def file(name, text):
        (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path / name

    pair = Pair("a dog", "a sad dog, rain", -2.5, -1.0)
    for name, text in (
        ("a.csv", '\ufeffneutral,emotional,valence,arousal\na dog,"a sad dog, rain",-2.5,-1\n'),
        ("b.csv", "arousal;valence;emotional;neutral\n\u22121;-2,5;a sad dog, rain;a dog\n"),
        ("c.tsv", "Neutral_prompt\temotional_prompt\tvalence\tarousal\tnote\na dog\ta sad dog, rain\t-2.5\t-1\tx\n"),
        ("d.jsonl", '{"neutral": "a dog", "emotional": "a sad dog, rain", "valence": -2.5, "arousal": -1}\n\n'),
        ("e.csv", 'sep=;\n\nneutral;emotional;valence;arousal;\na\x85dog;"a sad dog, rain";-2,5;-1;\n;;;;\n'),
        ("f.jsonl", '{"neutral": "a\u2028dog", "emotional": "a sad dog, rain", "valence": -2.5, "arousal": -1}'),
    ):
        assert read_pairs(file(name, text)) == [pair]
    for name, text, told in (
        ("a.csv", "neutral,emotional,valence,arousal\na,b,9,0\na,,0,0\n", r"line 2\): valence is 9"),
        ("b.csv", "neutral,emotional,valence,arousal\n", "has no rows"),
        ("c.jsonl", "[1]\n{\n", "expected a JSON object, got int"),
        ("d.jsonl", '{"neutral": "a", "emotional": 3, "valence": NaN, "arousal": 0}', "emotional expected text, got 3"),
        ("e.jsonl", '{"neutral": "a", "emotional": "b", "valence": NaN, "arousal": 0}', "valence is nan"),
        ("f.jsonl", '{"neutral": "\\ud83d", "emotional": "b", "valence": 0, "arousal": 0}', "surrogate"),
        ("h.csv", "neutral,emotional,valence,arousal\na dog,a  dog,1,0\na cat,a cat,2,0\n", "nothing to learn"),
        ("g.csv", "neutral,emotional,valence,arousal\n" + "a,b,0,0\n" * 100_001, "at most 100,000 pairs"),
    ):
        with pytest.raises(ValueError, match=told):
            read_pairs(file(name, text))
    with pytest.raises(FileNotFoundError):
        read_pairs(tmp_path / "none.csv")
