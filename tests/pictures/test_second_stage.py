"""The second stage: a network learns through frozen models; what learns, what stays, resume, refusals, the file."""

import dataclasses
import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from emoticrafter import EmotionNetwork, NetworkConfig, load_network, save_network
from emoticrafter.encoders import EncoderFacts
from emoticrafter.field import EmotionField, FieldConfig
from emoticrafter.fit.loop import Fit
from emoticrafter.weights import read_metadata
from tests.tiny_miniature import make_run, save_tiny_network
from tests.tiny_sdxl import make_tiny_sdxl
from trainer.baselines.__main__ import main as baselines
from trainer.core.command_line import TrainingError
from trainer.core.device import Machine
from trainer.core.lock import alone
from trainer.data.pairs import PairTable
from trainer.miniature.__main__ import main as miniature
from trainer.miniature.captioning import written_captions
from trainer.miniature.dataset import make_plan
from trainer.miniature.flow import FlowText, make_language_model, make_transformer, sample_flow, train_pieces
from trainer.miniature.flow_files import save_flow
from trainer.miniature.generator import denoising_loss
from trainer.miniature.models import make_autoencoder, noise_schedule
from trainer.miniature.readers import KINDS, Reader, save_reader, teacher_recipe
from trainer.miniature.recipe import TINY, TINY_FLOW, keep
from trainer.miniature.sampling import sample
from trainer.painters.draw import load_painter
from trainer.painters.plan import grid, plan
from trainer.painters.settings import MiniatureSettings
from trainer.pictures import stage as second_stage
from trainer.pictures.__main__ import main
from trainer.pictures.base import load_base
from trainer.pictures.lessons import draw, paired
from trainer.pictures.loading import from_run
from trainer.pictures.models import UNetModel
from trainer.pictures.seen import STEPS, drawn, truth_of
from trainer.pictures.settings import TEACHERS, Settings
from trainer.pictures.stage import make_loss, train
from trainer.runs.run import Run, small_schedule

pytestmark = pytest.mark.slow

CPU = Machine(torch.device("cpu"))
WIDTH = sum(TINY.text_widths)
SHORT = "--steps 2 --batch 2 --device cpu --precision float32"


def tiny(teacher, **settings):
    return Settings(**{"teacher": teacher, "steps": 4, "batch": 4, **settings})


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """An untrained run of the tiny miniature with a fitted network; its pictures are painted when they are needed."""
    return make_run(tmp_path_factory.mktemp("runs") / "tiny", "default-0")


@pytest.fixture(scope="module")
def network(run):
    return run / "emotion" / "default-0" / "network.safetensors"


@pytest.fixture
def stage(run, network):
    return {teacher: from_run(run, network, teacher, CPU, contrary_share=0.5) for teacher in TEACHERS}.get


def save_correcting(path, width=WIDTH):
    """A network that corrects a field, both with weights that do something."""
    torch.manual_seed(0)
    config = NetworkConfig(width, 64, 1, 2, 8, field_positions=1, output="free")
    corrects = EmotionNetwork(config)
    for weight in corrects.parameters():
        torch.nn.init.normal_(weight, std=0.1)
    save_network(corrects, path, {"method": "network"})
    return path


def brightness(pictures):
    """Of two colours, far from 0: [B, 2]."""
    return 10 * pictures.mean((2, 3))[:, :2]


def gradients_in_parts(given, loss, batch, counts=(1, 4)):
    """Of all weights that learn, for each number of parts."""
    learn = [weight for weight in given.beginning.network.parameters() if weight.requires_grad]
    for count in counts:
        given.beginning.network.zero_grad()
        for part in batch.parts(count):
            loss(given.beginning.network, part).backward()
        yield torch.cat([weight.grad.flatten() for weight in learn])


def state_of(path):
    return load_network(path).state_dict()


# --- what learns -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("teacher", TEACHERS)
def test_the_network_learns_and_the_model_stays(stage, network, teacher, tmp_path):
    given = stage(teacher)
    frozen = {name: weight.clone() for name, weight in given.model.base.unet.state_dict().items()}
    path = train(tiny(teacher), given, tmp_path, CPU)
    before, after = state_of(network), state_of(path)
    assert [name for name, weight in after.items() if torch.equal(weight, before[name])] == []
    assert all(torch.equal(weight, frozen[name]) for name, weight in given.model.base.unet.state_dict().items())
    parts = (given.model.base.unet, given.model.base.text)
    assert all(weight.grad is None for part in parts for weight in part.parameters())


@pytest.mark.parametrize("teacher", ["words", "labels"])
def test_the_loss_falls(stage, teacher):
    given, settings = stage(teacher), tiny(teacher, batch=8, steps=15, lr=0.01)
    network, loss = given.beginning.network, make_loss(settings, given)

    def of():
        with torch.no_grad():
            batches = (draw(settings, given.pictures, given.lessons, 1000 + step) for step in range(4))
            return sum(loss(network, batch).item() for batch in batches)

    before = of()
    fit = Fit(network, small_schedule(settings.steps, settings.lr, 0.5))
    while fit.step < settings.steps:
        fit.advance(lambda part: loss(network, part), [draw(settings, given.pictures, given.lessons, fit.step)])
    assert of() < before


def test_what_the_reader_wants_to_see_is_learned(stage):
    """Darkness, in the pictures of a batch: an untrained reader sees the same in everything."""
    given, settings = stage("reader"), tiny("reader", batch=8, steps=10, lr=1e-4)
    watcher = dataclasses.replace(given.watcher, reader=brightness, truth=torch.zeros(16, 2))
    loss = make_loss(settings, dataclasses.replace(given, watcher=watcher))
    batch = draw(settings, given.pictures, given.lessons, 0)
    fit = Fit(given.beginning.network, small_schedule(settings.steps, settings.lr))
    losses = [fit.advance(lambda part: loss(fit.model, part), [batch])[0].item() for _ in range(settings.steps)]
    assert losses[-1] < losses[0]


def test_a_network_that_does_what_the_words_do_has_nothing_to_learn(stage):
    """Under the same prompts the student is the teacher, and only the network is between them."""
    given, settings = stage("words"), tiny("words", batch=8, empty_share=0.5)
    batch = draw(settings, given.pictures, given.lessons, 0)
    still = EmotionField(FieldConfig(WIDTH)).train()
    loss = make_loss(settings, given)
    assert "" in batch.neutral and "" not in batch.emotional
    nothing = loss(still, batch._replace(emotional=batch.neutral))
    assert nothing < 1e-9 and loss(still, batch) > 1000 * nothing


def test_words_need_no_labels(stage):
    """Another picture of the scene, whatever its own emotion, is as good."""
    given, settings = stage("words"), tiny("words")
    unlabelled = dataclasses.replace(given.pictures, valence=None, arousal=None)
    loss, batch = make_loss(settings, given), draw(settings, unlabelled, given.lessons, 0)
    assert loss(given.beginning.network, batch).isfinite()


def test_captions_and_labels_tell_of_the_same_pictures(stage):
    words, labels = stage("words").lessons, stage("labels").lessons
    told = [[(pair.neutral, pair.valence, pair.arousal) for pair in pairs] for pairs in words.pairs]
    assert told == [[(pair.neutral, pair.valence, pair.arousal) for pair in pairs] for pairs in labels.pairs]
    assert all(pair.emotional != pair.neutral for pairs in words.pairs for pair in pairs)


@pytest.mark.parametrize("teacher", TEACHERS)
def test_some_prompts_have_words_of_another_mood(stage, teacher):
    given = stage(teacher)
    plain = draw(tiny(teacher, batch=64), given.pictures, given.lessons, 0)
    mixed = draw(tiny(teacher, batch=64, contrary_share=0.5), given.pictures, given.lessons, 0)
    contrary = [row for row in range(64) if mixed.neutral[row] != plain.neutral[row]]
    assert 18 < len(contrary) < 44 and {plain.neutral[row] for row in contrary}.isdisjoint({""})
    own = set(plain.emotional)
    for row in contrary:
        # Words of the same scene, whose mood is not the one that is asked.
        assert len(mixed.neutral[row]) > len(plain.neutral[row]) and mixed.neutral[row] not in own
    assert mixed.emotional == plain.emotional
    for same in ("latents", "noise", "share", "valence", "arousal"):
        assert torch.equal(getattr(mixed, same), getattr(plain, same)), same


def test_words_of_another_mood_are_those_of_other_pairs(stage):
    """One of two scenes has two moods; the other one's only words are its own."""
    said = [("a house", "a gloomy house", -2.0), ("a house", "a bright house", 2.0), ("a tree", "a happy tree", 1.0)]
    neutral, emotional, valence = zip(*said, strict=True)
    table = PairTable(neutral, emotional, valence, [0.0] * 3, ["test"] * 3, ["train"] * 3, ["a", "b", "c"])
    pictures = stage("words").pictures
    batch = draw(
        tiny("words", batch=64, contrary_share=1.0), pictures, paired([["a house"], ["a tree"]], table, "pairs"), 0
    )
    asked = dict(zip(batch.emotional, batch.neutral, strict=True))
    assert asked == {"a gloomy house": "a bright house", "a bright house": "a gloomy house", "a happy tree": "a tree"}


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@torch.no_grad()
def test_the_loss_of_labels_is_the_baselines(stage, prediction, monkeypatch):
    given, settings = stage("labels"), tiny("labels", batch=8)
    schedule = noise_schedule()
    schedule.register_to_config(prediction_type=prediction)
    model = UNetModel(dataclasses.replace(given.model.base, schedule=schedule))
    batch = draw(settings, given.pictures, given.lessons, 3)
    network = given.beginning.network
    text = model.read(batch.neutral)
    features = network(text.features, batch.valence, batch.arousal)
    monkeypatch.setattr(torch, "randint", lambda *_, **__: model.noise(batch.share).time)
    monkeypatch.setattr(torch, "randn_like", lambda *_: batch.noise)
    latents = batch.latents.float()
    expected = denoising_loss(model.base.unet, schedule, latents, features, text.pooled, settings.snr_limit)
    torch.testing.assert_close(
        make_loss(settings, dataclasses.replace(given, model=model))(network, batch), expected, atol=1e-5, rtol=1e-4
    )


def test_a_network_in_which_a_field_is_keeps_it(run, tmp_path):
    start = save_correcting(tmp_path / "start.safetensors")
    path = train(tiny("words"), from_run(run, start, "words", CPU), tmp_path / "out", CPU)
    before, after = state_of(start), state_of(path)
    same = {name for name, weight in after.items() if torch.equal(weight, before[name])}
    assert same == {name for name in after if name.startswith("field.")} != set()


def test_a_field_learns_its_directions(run, tmp_path):
    start = tmp_path / "field.safetensors"
    save_network(EmotionField(FieldConfig(WIDTH, 77)), start)
    path = train(tiny("words"), from_run(run, start, "words", CPU), tmp_path / "out", CPU)
    assert state_of(path)["directions"].abs().max() > 0


def test_guidance_enlarges_what_tells_a_prompt_from_none(stage):
    given = stage("labels")
    plain, unguided, guided = (
        make_loss(settings, given)
        for settings in (tiny("labels"), tiny("labels", guidance=1.0), tiny("labels", guidance=2.0))
    )
    batch, network = draw(tiny("labels", batch=8), given.pictures, given.lessons, 0), given.beginning.network
    assert plain(network, batch) == unguided(network, batch) != guided(network, batch)
    empty = batch._replace(neutral=[""] * len(batch.neutral))
    still = EmotionField(FieldConfig(WIDTH)).train()
    assert torch.isclose(guided(still, empty), plain(still, empty), rtol=1e-4), "nothing tells it from none"


def test_the_reader_sees_what_the_sampler_draws(stage):
    model, noise = stage("reader").model, torch.randn(3, 4, 4, 4)
    text, nothing = model.read(["a house", "a dog", ""]), model.read([""])
    expected = sample(model.base.unet, text[::2], nothing[::2], noise, STEPS, guidance=3.0)
    torch.testing.assert_close(drawn(model, text, noise, 3.0), expected, atol=1e-4, rtol=1e-4)


def test_what_is_wanted_is_what_the_reader_sees_in_true_pictures(run):
    """As far as a cubic goes: one that reads a cubic of the truth is met exactly, whatever the pictures hold."""
    given = from_run(run, run / "emotion" / "default-0" / "network.safetensors", "reader", CPU)
    emotion = torch.rand(200, 2) * 6 - 3
    sight = SimpleNamespace(returned=np.zeros((100, 8, 8, 3), np.uint8), emotion=emotion)
    seen = iter((0.7 * emotion[::2] - 0.01 * emotion[::2] ** 3).split(64))
    truth = truth_of(lambda _: next(seen), sight, CPU)
    watcher = dataclasses.replace(given.watcher, truth=truth)
    with dataclasses.replace(CPU, bfloat16=True).autocast():
        wanted = watcher.wanted(torch.tensor([3.0, 0.0]), torch.tensor([-1.0, 0.0]))
    torch.testing.assert_close(wanted, torch.tensor([[1.83, -0.69], [0.0, 0.0]]), atol=1e-4, rtol=0)


@pytest.mark.parametrize("kind", ["field", "network"])
def test_what_strength_1_is_can_be_less_of_what_was_learned(run, kind, tmp_path):
    start = save_correcting(tmp_path / "start.safetensors")
    if kind == "field":
        save_network(EmotionField(FieldConfig(WIDTH, 77)), start)
    paths = [
        train(tiny("words", residual_scale=scale), from_run(run, start, "words", CPU), tmp_path / str(scale), CPU)
        for scale in (1.0, 0.5)
    ]
    features = torch.randn(2, 77, WIDTH)
    whole, half = (
        load_network(path).inject(features, load_network(path).encode(2.0, 1.0)) - features for path in paths
    )
    assert torch.allclose(half, whole / 2, atol=1e-6) and whole.abs().max() > 1e-5


def test_a_network_whose_output_is_normed_is_not_scaled(run, network, tmp_path):
    with pytest.raises(ValueError, match=r"cannot be scaled: .* Set the strength"):
        train(tiny("words", residual_scale=0.9), from_run(run, network, "words", CPU), tmp_path / "out", CPU)
    assert not (tmp_path / "out" / "recipe.json").exists()


# --- the run ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("corrects", [False, True])
@pytest.mark.parametrize("teacher", TEACHERS)
def test_an_interrupted_stage_ends_as_one_in_one_go(run, network, teacher, corrects, tmp_path):
    start = save_correcting(tmp_path / "start.safetensors") if corrects else network
    settings = tiny(teacher)
    whole = train(settings, from_run(run, start, teacher, CPU), tmp_path / "whole", CPU)
    given = from_run(run, start, teacher, CPU)
    half = Fit(given.beginning.network, small_schedule(settings.steps, settings.lr, settings.ema, seed=settings.seed))
    begun = Run(half, tmp_path / "parts", settings.batch)
    begun.folder.mkdir()
    loss = make_loss(settings, given)
    for step in range(2):
        half.advance(lambda part: loss(half.model, part), [draw(settings, given.pictures, given.lessons, step)])
    begun.save()
    parts = train(settings, from_run(run, start, teacher, CPU), tmp_path / "parts", CPU)
    parts, whole = state_of(parts), state_of(whole)
    assert [name for name, weight in whole.items() if not torch.equal(weight, parts[name])] == []


@pytest.mark.parametrize("teacher", ["words", "reader"])
def test_parts_of_a_batch_give_the_same_gradient(stage, teacher):
    given, settings = stage(teacher), tiny(teacher, batch=8)
    one, other = gradients_in_parts(given, make_loss(settings, given), draw(settings, given.pictures, given.lessons, 0))
    torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-3)


def test_the_command_writes_a_network_that_steers_and_tells_both_stages(run, network, tmp_path, capfd):
    words, labels = tmp_path / "words-0", tmp_path / "labels-0"
    command = f"--miniature {run} {SHORT}"
    assert main(f"{command} --network {network} --teacher words --out {words}".split()) == 0
    path = words / "network.safetensors"
    written = path.stat().st_mtime_ns
    assert main(f"{command} --network {network} --teacher words --out {words}".split()) == 0
    assert path.stat().st_mtime_ns == written and "is finished" in capfd.readouterr().out
    assert main(f"{command} --network {path} --teacher labels --out {labels}".split()) == 0
    told = read_metadata(labels / "network.safetensors")["training"]
    assert told["scale"] == read_metadata(network)["training"]["scale"]
    assert [stage["settings"]["teacher"] for stage in told["stages"]] == ["words", "labels"]
    assert all(stage["model"]["sha256"] and "24" in stage["pictures"] for stage in told["stages"])
    tasks = plan(["a cat"], grid((-3.0, 3.0)), [0], "words", {})
    pictures = load_painter(MiniatureSettings(run, path), "cpu").draw(tasks)
    assert len({picture.tobytes() for picture in pictures}) == 4
    table = tmp_path / "table.md"
    measure = f"measure --out {run} --prompts 1 --seeds 1 --device cpu --networks {path} --table {table}"
    assert miniature(measure.split()) == 0
    assert "| words" in table.read_text()


def test_what_does_not_go_together_is_refused_in_a_sentence(run, network, tmp_path, capsys):
    wide = save_tiny_network(tmp_path / "wide" / "network.safetensors", WIDTH + 1)
    other = tmp_path / "in-one-piece.safetensors"
    save_network(EmotionField(FieldConfig(WIDTH, window=None)), other)
    begun = f"--miniature {run} --out {tmp_path / 'begun'} {SHORT}"
    assert main(f"{begun} --network {network}".split()) == 0
    new = f"--miniature {run} --out {tmp_path / 'new'} {SHORT}"
    capsys.readouterr()
    for command, message in (
        (f"{new} --network {wide}", f"{WIDTH + 1} wide, in windows of 77, and the text of generator is {WIDTH} wide"),
        (f"{new} --network {other}", "in one piece, and the text of generator"),
        (f"{new} --network {tmp_path / 'none.safetensors'}", "There is no file"),
        (f"{new} --network {network} --accumulate 3", "--batch is 2, which 1 process with --accumulate 3 cannot share"),
        (f"{new} --network {network} --pairs pairs.csv", "--pairs goes with --sdxl"),
        (f"{new} --network {network} --snr-limit -1", "snr_limit is -1.0: expected 0 or more"),
        (f"{begun} --network {network} --teacher labels", "teacher was words and is labels"),
        (f"{begun} --network {network} --contrary-share 0.25", "contrary_share was not set and is 0.25"),
        (f"{begun} --network {save_correcting(tmp_path / 'c.safetensors')}", "recipe: begun was "),
    ):
        assert main(command.split()) == 1, command
        said = capsys.readouterr().err
        assert message in said and said.count("\n") == 1, said
    assert not (tmp_path / "new" / "recipe.json").exists()


def test_another_reader_one_that_measures_and_one_in_training_do_not_teach(run, network, tmp_path, capsys):
    shutil.copytree(run, own := tmp_path / "run")
    teacher, settings = own / "readers" / "teacher.safetensors", teacher_recipe(TINY)
    teacher.unlink(missing_ok=True)
    command = f"--miniature {own} --network {network} --out {tmp_path / 'out'} {SHORT} --teacher reader".split()

    def refused(message):
        assert main(command) == 1
        said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
        assert len(said) == 1 and message in said[0], said

    with alone(own):
        refused("Another run is writing in")
    assert main(command) == 0
    assert read_metadata(tmp_path / "out" / "network.safetensors")["training"]["stages"][0]["reader"]
    save_reader(Reader(settings.reader_channels, KINDS["emotion"]), teacher, "emotion", settings, {})
    refused("or other pictures: reader was ")
    for kind in KINDS:
        shutil.copy(own / "readers" / f"{kind}.safetensors", teacher)
        refused("teacher.safetensors is another reader than its name says: delete it")


def test_memory_that_ends_loses_nothing(stage, tmp_path, monkeypatch):
    given, settings = stage("words"), tiny("words")

    def full(*_):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(second_stage, "under_words", full)
    with pytest.raises(TrainingError, match=r"cannot hold 4 pictures at a time. Add --accumulate 2, which gives"):
        train(settings, given, tmp_path, CPU)
    monkeypatch.undo()
    assert train(settings, given, tmp_path, CPU, accumulate=2).is_file()


# --- SDXL ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sdxl(tmp_path_factory):
    """A tiny untrained SDXL, three rated pictures, pairs of prompts for two of them, and a network."""
    folder = tmp_path_factory.mktemp("sdxl")
    make_tiny_sdxl().save_pretrained(folder)
    rows = []
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 256, (40, 50, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
        asked = {"valence": number - 1.0, "arousal": 1.5, "seed": 0, "method": "photo"}
        rows.append({"path": f"{number}.png", "prompt": f"a stone {number}", **asked})
    write(folder / "manifest.jsonl", rows)
    write(folder / "alike.jsonl", [row | {"valence": 2.0} for row in rows])
    write(folder / "unrated.jsonl", [{name: of for name, of in row.items() if name != "valence"} for row in rows])
    said = {"emotional": "a lonely stone in the rain", "valence": -2.0, "split": "train"}
    pairs = [{"neutral": f"A stone  {number}", "arousal": number - 1.0, **said} for number in (0, 2, 2)]
    write(folder / "pairs.jsonl", pairs)
    write(folder / "others.jsonl", [pair | {"neutral": "a tree"} for pair in pairs])
    save_tiny_network(folder / "network.safetensors", 64)
    return folder


def write(path, rows):
    path.write_text("\n".join(map(json.dumps, rows)))


@pytest.mark.parametrize("more", ["--teacher labels", "--teacher labels --snr-limit 0", "--pairs {}/pairs.jsonl"])
def test_sdxl_teaches_with_its_activations_computed_twice(sdxl, tmp_path, more):
    command = f"--sdxl {sdxl} --manifest {sdxl / 'manifest.jsonl'} --network {sdxl / 'network.safetensors'}"
    command += f" --resolution 32 {SHORT} {more.format(sdxl)}"
    assert main(f"{command} --out {tmp_path / 'kept'}".split()) == 0
    assert main(f"{command} --out {tmp_path / 'twice'} --gradient-checkpointing --accumulate 2".split()) == 0
    kept, twice = (state_of(tmp_path / name / "network.safetensors") for name in ("kept", "twice"))
    for name, weight in kept.items():
        torch.testing.assert_close(twice[name], weight, atol=1e-4, rtol=1e-3)
    assert not torch.equal(
        kept["input_projection.weight"], state_of(sdxl / "network.safetensors")["input_projection.weight"]
    )


def test_checkpointing_reaches_the_frozen_unet(sdxl):
    """diffusers computes twice only where a gradient is wanted, whatever the mode of the module is."""
    base = load_base(sdxl, CPU)
    base.unet.enable_gradient_checkpointing()
    model, kept = UNetModel(base), []
    text = model.read(["a stone"])
    features = text.features.clone().requires_grad_()
    at = model.noise(torch.tensor([0.5]))

    def sizes():
        kept.clear()
        with torch.autograd.graph.saved_tensors_hooks(
            lambda tensor: kept.append(tensor.numel()) or tensor, lambda t: t
        ):
            model.velocity(torch.randn(1, 4, 8, 8), at, text._replace(features=features))
        return sum(kept)

    twice = sizes()
    base.unet.disable_gradient_checkpointing()
    assert twice < sizes() / 2


def test_bad_pictures_and_pairs_are_named(sdxl, tmp_path, capsys):
    command = f"--sdxl {sdxl} --network {sdxl / 'network.safetensors'} --resolution 32 --out {tmp_path / 'out'} {SHORT}"
    manifest = f"--manifest {sdxl / 'manifest.jsonl'}"
    for more, message in (
        (f"--teacher labels --manifest {sdxl / 'alike.jsonl'}", "alike.jsonl: all have valence 2 and arousal 1.5"),
        (f"--teacher labels --manifest {sdxl / 'unrated.jsonl'}", "valence is missing"),
        (f"{manifest} --pairs {sdxl / 'others.jsonl'}", "No picture has a neutral prompt of others.jsonl"),
        (f"{manifest} --pairs {sdxl / 'pairs.jsonl'} --contrary-share 0.5", "pairs.jsonl has no words of another mood"),
        (f"{manifest} --teacher labels --contrary-share 0.5", "manifest.jsonl has no words of another mood"),
        (manifest, "--pairs goes with --sdxl and --teacher words, which needs them"),
        (f"{manifest} --teacher reader", "--teacher reader goes with --miniature"),
        ("--teacher labels", "--sdxl and --manifest go together"),
    ):
        assert main(f"{command} {more}".split()) == 1, more
        assert message in capsys.readouterr().err
    assert not (tmp_path / "out" / "latents.npy").exists()


def test_latents_of_a_baseline_serve(sdxl, tmp_path):
    """Both write the same source beside the same latents."""
    both = f"--sdxl {sdxl} --manifest {sdxl / 'manifest.jsonl'} --resolution 32"
    assert baselines(f"train --method time-embedding {both} --out {tmp_path / 'baseline'} {SHORT}".split()) == 0
    stage = f"{both} --teacher labels --network {sdxl / 'network.safetensors'} --out {tmp_path / 'stage'} {SHORT}"
    assert main(stage.split()) == 0
    for name in ("source.json", "latents.npy"):
        assert (tmp_path / "baseline" / name).read_bytes() == (tmp_path / "stage" / name).read_bytes()


# --- the second miniature --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def flow_run(tmp_path_factory):
    """A run of the tiny second miniature, untrained."""
    out = tmp_path_factory.mktemp("runs") / "flow"
    keep(TINY_FLOW, out)
    torch.manual_seed(0)
    transformer, language_model = make_transformer(TINY_FLOW), make_language_model(TINY_FLOW)
    for weight in transformer.parameters():
        torch.nn.init.normal_(weight, std=0.1)
    captions, _, moods = written_captions(make_plan("training", 24, TINY_FLOW), TINY_FLOW)
    save_flow(
        transformer, FlowText(language_model, train_pieces(captions + moods, TINY_FLOW.pieces)), out / "generator"
    )
    make_autoencoder().save_pretrained(out / "autoencoder")
    return out


def save_unpadded(path, added_tokens):
    """A network for prompts of their own lengths, which corrects a field that may add tokens."""
    torch.manual_seed(0)
    width = TINY_FLOW.text_width
    facts = EncoderFacts("Lumina 2", torch.zeros(width), torch.ones(width), head=1)
    config = NetworkConfig(width, 64, 1, 2, 8, 100, window=None, added_tokens=added_tokens, field_positions=1)
    save_network(EmotionNetwork(config, facts), path)
    return path


@pytest.mark.parametrize("added_tokens", [0, 3])
@pytest.mark.parametrize("teacher", TEACHERS)
def test_the_second_miniature_teaches_too(flow_run, teacher, added_tokens, tmp_path):
    start = save_unpadded(tmp_path / "start.safetensors", added_tokens)
    given = from_run(flow_run, start, teacher, CPU)
    frozen = {name: weight.clone() for name, weight in given.model.transformer.state_dict().items()}
    path = train(tiny(teacher), given, tmp_path / "out", CPU)
    before, after = state_of(start), state_of(path)
    moved = {name for name, weight in after.items() if not torch.equal(weight, before[name])}
    assert moved == {name for name in after if not name.startswith("field.")}
    assert all(torch.equal(weight, frozen[name]) for name, weight in given.model.transformer.state_dict().items())
    tasks = plan(["a cat"], grid((-3.0, 3.0)), [0], "x", {})
    pictures = load_painter(MiniatureSettings(flow_run, path), "cpu").draw(tasks)
    assert len({picture.tobytes() for picture in pictures}) == 4


def test_the_reader_sees_what_the_second_miniatures_sampler_draws(flow_run, tmp_path):
    model = from_run(flow_run, save_unpadded(tmp_path / "start.safetensors", 3), "reader", CPU).model
    noise, text, nothing = torch.randn(3, 4, 4, 4), model.read(["a house", "a dog", ""]), model.read([""])
    expected = sample_flow(model.transformer, text[:2], nothing[:2], noise, STEPS, 3.0, model.recipe.shift)
    torch.testing.assert_close(drawn(model, text, noise, 3.0), expected, atol=1e-4, rtol=1e-4)


def test_prompts_of_any_length_in_a_part_give_the_same_gradient(flow_run, tmp_path):
    """How far the features move counts as much beside a long prompt as beside a short one."""
    settings = tiny("reader", batch=4)
    given = from_run(flow_run, save_unpadded(tmp_path / "start.safetensors", 3), "reader", CPU)
    loss, batch = make_loss(settings, given), draw(settings, given.pictures, given.lessons, 0)
    with torch.no_grad():
        for weight in given.beginning.network.parameters():
            weight += 0.05 * torch.randn_like(weight)
    one, other = gradients_in_parts(given, loss, batch._replace(neutral=["", *batch.neutral[1:]]))
    torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-3)


def test_the_second_miniature_refuses_the_firsts_network(flow_run, network, tmp_path, capsys):
    assert main(f"--miniature {flow_run} --network {network} --out {tmp_path / 'out'} {SHORT}".split()) == 1
    assert "the text of the second miniature is 32 wide, in one piece" in capsys.readouterr().err


def test_settings_are_checked():
    with pytest.raises(ValueError, match=r"teacher is 'mother': expected one of words, labels"):
        Settings(teacher="mother")
    with pytest.raises(ValueError, match=r"steps is 0: expected more than 0; .* expected shares of 1"):
        Settings(steps=0, empty_share=2)
