"""The evaluation's models, tiny and untrained: image models, readers, scores, and fitting."""

import base64
import io
import json
import sys

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from safetensors.torch import save_file
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, Dinov2Config, Dinov2Model

from emoticrafter.language.chat import ChatSettings, FatalError
from emoticrafter.research.readers import ClipHeads, load_emotion_reader, save_heads
from tests.library.chat_server import says, serving, status
from trainer.core.rows import DataError
from trainer.evaluate import main
from trainer.evaluation.chat_reader import IMAGE_SIZE, connect, parse_answer
from trainer.evaluation.fit import Parts, held_out, part
from trainer.evaluation.manifest import Image, write_manifest
from trainer.evaluation.measures import clip_scores, lpips_distance
from trainer.evaluation.readers import MiniatureReader, load_backbone, load_va_reader, same_sizes
from trainer.features.tokenizer import clip_tokenizer

SIZE = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
RANDOM = np.random.default_rng(0)
PICTURES = [RANDOM.integers(0, 256, (40, 36, 3), dtype=np.uint8) for _ in range(5)]
SMALL = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A folder with an untrained CLIP of width 16."""
    folder = tmp_path_factory.mktemp("models") / "clip"
    torch.manual_seed(0)
    text = SMALL | {"vocab_size": 49408, "bos_token_id": 49406, "eos_token_id": 49407}
    vision = SMALL | {"image_size": 32, "patch_size": 16}
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=16))
    for parameter in (model.visual_projection.weight, model.text_projection.weight):
        torch.nn.init.normal_(parameter)
    model.save_pretrained(folder)
    CLIPImageProcessor(**SIZE).save_pretrained(folder)
    clip_tokenizer().save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def dinov2(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "dinov2"
    torch.manual_seed(0)
    small = {"hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 32}
    Dinov2Model(Dinov2Config(**small, patch_size=16)).save_pretrained(folder)
    CLIPImageProcessor(**SIZE).save_pretrained(folder)
    return str(folder)


# ---- image models ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_features_do_not_depend_on_the_batch_and_a_model_is_loaded_once(clip, dinov2):
    assert load_backbone(clip) is load_backbone(clip)
    for source, width in ((clip, 16), (dinov2, 24)):
        backbone = load_backbone(source)
        together = backbone.images(PICTURES)
        assert together.shape == (5, width) and backbone.width == width
        torch.testing.assert_close(together[2:3], backbone.images(PICTURES[2:3]), atol=1e-5, rtol=1e-4)


def test_the_smallest_pictures_are_not_taken_for_channels(clip, dinov2):
    for size in ((1, 1), (3, 1), (1, 40), (3, 3)):
        pixels = np.random.default_rng(0).integers(256, size=(*size, 3), dtype=np.uint8)
        larger = np.kron(pixels, np.ones((8, 8, 1), np.uint8))
        for backbone in map(load_backbone, (clip, dinov2)):
            small, large = backbone.images([pixels])[0], backbone.images([larger])[0]
            assert torch.cosine_similarity(small, large, dim=0) > 0.9, size


def test_a_missing_model_says_which_id_to_get(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(DataError, match="hf download someone/clip-that-is-not-here --local-dir DIR"):
        load_backbone("someone/clip-that-is-not-here")


def test_a_folder_without_a_model_says_what_belongs_there(tmp_path, dinov2):
    with pytest.raises(DataError, match=r"not a complete model: expected .* config.json, model.safetensors"):
        load_backbone(str(tmp_path))
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(DataError, match="is a bert model; expected one of clip, dinov2"):
        load_backbone(str(tmp_path))
    with pytest.raises(DataError, match="is not a CLIP, so it has no CLIPScore: give --clip openai/"):
        clip_scores(load_backbone(dinov2))


# ---- scores ----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_clip_scores_are_those_of_torchmetrics(clip):
    """torchmetrics 1.9 takes transformers 4's models; this one stands between."""
    from torchmetrics.functional.multimodal import clip_image_quality_assessment, clip_score
    from transformers import CLIPProcessor

    backbone = load_backbone(clip)

    class Model(torch.nn.Module):
        config = backbone.model.config

        def get_image_features(self, pixels):
            return backbone.model.get_image_features(pixels).pooler_output

        def get_text_features(self, tokens, mask):
            return backbone.model.get_text_features(tokens, mask).pooler_output

    both = Model(), CLIPProcessor(CLIPImageProcessor.from_pretrained(clip), clip_tokenizer())
    beach = "A dog runs along a beach."
    prompts = [beach, "A cat.", beach, "A man reads.", "A long " * 60]
    tensors = [torch.from_numpy(picture).permute(2, 0, 1) for picture in PICTURES]
    measure = clip_scores(backbone)
    found = measure.run(PICTURES, prompts)
    assert measure.columns == ("CLIPScore", "CLIP-IQA") and measure.reads_prompt
    for picture, prompt, (score, _) in zip(tensors[:4], prompts, found, strict=False):
        with torch.no_grad():
            expected = clip_score(picture, prompt, model_name_or_path=lambda: both)
        assert score == pytest.approx(expected.item(), abs=1e-3)
    assessment = clip_image_quality_assessment
    quality = assessment(torch.stack(tensors), model_name_or_path=lambda: both, data_range=1.0).numpy()
    # It resizes floats, the processor whole numbers.
    assert found[:, 1] == pytest.approx(quality, abs=2e-3)
    assert found[:, 1].min() >= 0 and found[:, 1].max() <= 1


@pytest.fixture(scope="module")
def alexnet(tmp_path_factory):
    from torchvision.models import alexnet

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("alexnet") / "alexnet.safetensors"
    save_file(alexnet().state_dict(), path)
    return path


@pytest.mark.slow
def test_lpips_takes_weights_from_a_file(alexnet):
    import lpips
    from safetensors.torch import load_file

    found = lpips_distance("alex", alexnet)
    first = [RANDOM.integers(0, 256, (64, 64, 3), dtype=np.uint8) for _ in range(3)]
    second = [first[0], 255 - first[1], RANDOM.integers(0, 256, (64, 64, 3), dtype=np.uint8)]
    values = found.run(first, second)
    assert values[0] == pytest.approx(0, abs=1e-6) and (values[1:] > 1e-4).all()
    torch.manual_seed(1)
    direct = lpips.LPIPS(pnet_rand=True, verbose=False)
    state = {key: load_file(alexnet)[f"features.{key.split('.', 1)[1]}"] for key in direct.net.state_dict()}
    direct.net.load_state_dict(state)
    a, b = (torch.from_numpy(np.stack(part)).permute(0, 3, 1, 2) / 127.5 - 1 for part in (first, second))
    assert values == pytest.approx(direct(a, b).flatten().detach().numpy(), abs=1e-5)


@pytest.mark.slow
def test_without_its_package_lpips_can_be_left_out(monkeypatch):
    monkeypatch.setitem(sys.modules, "lpips", None)
    with pytest.raises(DataError, match="or leave it out with --lpips none"):
        lpips_distance("alex")


def test_lpips_without_weights_says_which_file_to_get(tmp_path, alexnet, monkeypatch):
    def offline(*args, **kwargs):
        raise OSError("no route to host")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", offline)
    with pytest.raises(DataError, match=r"Get https://\S+/alexnet\S+\.pth .* --lpips-weights"):
        lpips_distance("alex")
    with pytest.raises(DataError, match=r"does not hold torchvision's vgg16: features\.\d+\."):
        lpips_distance("vgg", alexnet)
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"no")
    with pytest.raises(DataError, match=r"broken.safetensors, given as the weights of alexnet, cannot be read"):
        lpips_distance("alex", broken)


# ---- readers ---------------------------------------------------------------------------------------


def test_heads_in_the_published_form(clip, tmp_path):
    heads = ClipHeads(16, clip)
    save_heads(heads, tmp_path / "heads.safetensors")
    torch.save(heads.state_dict(), tmp_path / "heads.pth")
    reader = load_va_reader(tmp_path / "heads.safetensors")  # it names its own backbone
    values = reader.read(PICTURES)
    features = load_backbone(clip).images(PICTURES)
    expected = 6 * torch.sigmoid(heads.valence(features)) - 3
    assert values[:, 0] == pytest.approx(expected[:, 0].detach().numpy(), abs=1e-5)
    published = load_va_reader(tmp_path / "heads.pth", clip)
    assert published.read(PICTURES) == pytest.approx(values)
    assert published.fingerprint == reader.fingerprint


def test_heads_of_another_width_and_other_files_are_refused(clip, tmp_path):
    save_heads(ClipHeads(512), tmp_path / "heads.safetensors")
    with pytest.raises(DataError, match=r"512 wide .*gives 16: give --backbone openai/clip-vit-base-patch32"):
        load_va_reader(tmp_path / "heads.safetensors", clip)
    save_file({"weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(DataError, match="fit-reader"):
        load_va_reader(tmp_path / "other.safetensors")


def test_batches_end_where_the_size_changes():
    pictures = [np.zeros((8, size, 3), np.uint8) for size in (8, 8, 4, 8)]
    shapes = [tuple(batch.shape) for batch in same_sizes(pictures, "cpu")]
    assert shapes == [(2, 3, 8, 8), (1, 3, 8, 4), (1, 3, 8, 8)]


def test_the_miniature_s_reader_stays_on_the_plane():
    from emoticrafter.research.readers import Reader

    network = Reader((32, 32), 2)
    torch.nn.init.constant_(network.head.bias, 9.0)
    assert (MiniatureReader(network).read(PICTURES) == 3).all()


@pytest.mark.slow
def test_the_command_with_every_score(clip, alexnet, tmp_path, capsys):
    images = []
    for number in range(2):
        for valence in (-3.0, 3.0):
            path = tmp_path / f"{number}{valence:+g}.png"
            Pillow.fromarray(RANDOM.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(path)
            images.append(Image(path.name, f"thing {number}", valence, 0.0, 0, "ours", path.stem))
    write_manifest(tmp_path / "manifest.jsonl", images)
    save_heads(ClipHeads(16, clip), tmp_path / "heads.safetensors")
    arguments = [str(tmp_path), "--reader", str(tmp_path / "heads.safetensors"), "--clip", clip]
    arguments += ["--device", "cpu", "--lpips", "alex", "--lpips-weights", str(alexnet), "--out", str(tmp_path / "out")]
    assert main(arguments) == 0
    found = json.loads((tmp_path / "out" / "results.json").read_text())
    ours = found["table"]["ours"]
    assert {"V-Error", "CLIPScore", "CLIP-IQA", "LPIPS-V", "LPIPS-Continuous"} <= ours.keys()
    assert "LPIPS-A" not in ours  # there are no neighbours along arousal
    assert found["made_by"]["valence and arousal"] == f"linear heads on {clip}"
    assert str(alexnet) in found["made_by"]["LPIPS"]
    assert "too few for intervals" in capsys.readouterr().out


# ---- a vision-language model -----------------------------------------------------------------------


@pytest.fixture
def chat():
    """A server that rates every picture alike, once its faults are used up."""
    with serving(content='{"valence": 1.5, "arousal": -2}') as server:
        yield server


def settings(url, **changed):
    return ChatSettings(url, "eyes", **({"tries": 1, "backoff": 0.01, "timeout": 10} | changed))


def test_a_model_is_shown_the_image_and_asked_once(chat):
    reader = connect(settings(chat.url, key="secret"))
    big = np.zeros((1000, 2000, 3), np.uint8)
    assert [*map(list, reader.read([big]))] == [[1.5, -2.0]]
    [(_, headers, body)] = chat.requests
    assert headers["Authorization"] == "Bearer secret"
    [image] = body["messages"][1]["content"]
    kind, data = image["image_url"]["url"].split(",")
    assert kind == "data:image/jpeg;base64"
    assert Pillow.open(io.BytesIO(base64.b64decode(data))).size == (IMAGE_SIZE, IMAGE_SIZE // 2)
    assert "secret" not in repr(reader.__dict__) and "secret" not in reader.fingerprint


def test_nonsense_is_asked_again_and_then_left_unread(chat):
    reader = connect(settings(chat.url), workers=1)
    chat.faults += [says("It is a lovely day."), says({"valence": 9, "arousal": 0})]
    assert [*map(list, reader.read(PICTURES[:1]))] == [[1.5, -2.0]]
    _, _, body = chat.requests[2]
    assert "valence is '9', expected a number from -3 to 3" in body["messages"][-1]["content"]
    chat.faults += [says("no")] * 3
    assert np.isnan(list(reader.read(PICTURES[:1]))).all()
    assert "3 answers, none usable" in reader.failures[0]


def test_a_server_that_will_not_answer_ends_the_run(chat, monkeypatch):
    monkeypatch.setattr("trainer.evaluation.chat_reader.SILENCE", 3)
    for fault, times, message in ((500, 3, "none of the last 3 images"), (401, 1, r"HTTP 401.*--key-from")):
        chat.faults += [status(fault)] * times
        with pytest.raises(FatalError, match=message):
            list(connect(settings(chat.url), workers=1).read(PICTURES[:times]))


def test_answers_are_kept_as_they_come_and_no_picture_is_paid_for_twice(chat, tmp_path, monkeypatch, capsys):
    images = []
    for number, level in enumerate((-3.0, -1.5, 0.0, 1.5, 3.0)):
        Pillow.fromarray(PICTURES[number]).save(tmp_path / f"{number}.png")
        images.append(Image(f"{number}.png", "a dog", level, 0.0, 0, "ours", str(number)))
    write_manifest(tmp_path / "manifest.jsonl", images)
    monkeypatch.setenv("THE_KEY", "secret")
    command = [str(tmp_path), "--out", str(tmp_path / "out"), "--chat-url", chat.url, "--chat-model", "eyes"]
    command += ["--key-from", "THE_KEY", "--clip", "none", "--lpips", "none", "--workers", "1"]
    chat.faults += [says({"valence": 1, "arousal": 0})] * 3 + [status(401)] * 2
    assert main(command) == 1
    assert "HTTP 401" in capsys.readouterr().err
    assert len((tmp_path / "manifest.measured.jsonl").read_text().splitlines()) == 3
    chat.requests.clear()
    chat.faults[:] = [says("no")] * 3
    assert main(command) == 1
    said = capsys.readouterr().err
    assert f"{tmp_path / '3.png'} was not read by eyes: 3 answers, none usable" in said
    assert len(chat.requests) == 3 + 1  # the nonsense about the fourth picture, and the fifth
    assert main(command) == 0
    assert len(chat.requests) == 5 and "secret" not in (tmp_path / "out" / "results.json").read_text()


def test_what_is_taken_for_a_rating():
    assert parse_answer('```json\n{"valence": -3, "arousal": 0.25}\n```') == (-3.0, 0.25)
    bad = ('{"valence": 1}', '{"valence": true, "arousal": 0}', '{"valence": NaN, "arousal": 0}')
    for text in ("", "[]", "null", *bad):
        with pytest.raises(ValueError, match=r"it is not|expected a number"):
            parse_answer(text)


# ---- fitting ---------------------------------------------------------------------------------------


@pytest.fixture
def rated(tmp_path):
    """240 pictures from blue to red, which is their valence; arousal is noise."""
    folder, rows, random = tmp_path / "pictures", [], np.random.default_rng(1)
    folder.mkdir()
    for number in range(240):
        valence, arousal = random.uniform(-2.5, 2.5, 2)
        colour = 128 + 45 * valence * np.array([1, 0, -1])
        pixels = np.clip(random.normal(colour, 2, (32, 32, 3)), 0, 255).astype(np.uint8)
        Pillow.fromarray(pixels).save(folder / f"{number}.png")
        rows.append({"image": f"{number}.png", "valence": valence, "arousal": arousal})
    table = tmp_path / "ratings.jsonl"
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return table, folder


def fit(rated, clip: str, out, *more: str) -> int:
    table, folder = rated
    words = ["fit-reader", str(table), "--folder", str(folder), "--out", str(out), "--backbone", clip]
    return main([*words, "--device", "cpu", *more])


@pytest.mark.slow
def test_a_reader_learns_what_is_in_the_features(rated, clip, tmp_path, capsys):
    out = tmp_path / "reader.safetensors"
    assert fit(rated, clip, out) == 0
    printed = capsys.readouterr().out
    assert "always the mean rating" in printed
    training = json.loads(_metadata(out)["training"])
    valence, arousal = (training["held_out"][axis] for axis in ("valence", "arousal"))
    assert valence["error"] < 0.5 * valence["constant"] and valence["tau"] > 0.7
    assert abs(arousal["tau"]) < 0.6 and arousal["error"] > 0.5 * arousal["constant"]
    assert sum(training["pictures"].values()) == 240
    (tmp_path / "reader.features.json").write_text("{")  # a damaged note costs time alone
    assert fit(rated, clip, out) == 0
    first = load_emotion_reader(out).state_dict()
    assert fit(rated, clip, out) == 0  # from the kept features
    torch.testing.assert_close(load_emotion_reader(out).state_dict(), first, atol=0, rtol=0)
    blue, red = (np.full((32, 32, 3), colour, np.uint8) for colour in ((30, 128, 226), (226, 128, 30)))
    values = load_va_reader(out).read([blue, red])[:, 0]
    assert values[0] < -1 < 1 < values[1]
    assert load_emotion_reader(out).width == 16


def _metadata(path):
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        return file.metadata()


def test_parts_do_not_overlap_and_stay():
    hashes = [f"{n * 2654435761 % 2**32:08x}" for n in range(1000)]
    parts = part(hashes)
    sizes = [len(rows) for rows in (parts.learned, parts.calibrating, parts.held_out)]
    assert sum(sizes) == 1000 and sizes == pytest.approx([700, 150, 150], abs=15)
    again = part(hashes[::-1])
    assert {hashes[n] for n in parts.held_out} == {hashes[::-1][n] for n in again.held_out}


def test_the_calibration_of_few_pictures_is_not_their_error():
    random = np.random.default_rng(0)
    read = torch.from_numpy(random.uniform(-2, 2, (60, 2))).float()
    heads = ClipHeads(2, "x")
    for column, head in enumerate((heads.valence, heads.arousal)):
        head.weight.data = torch.eye(2)[column][None]
        head.bias.data.zero_()
    features = torch.logit((read + 3) / 6)
    ratings = read + torch.from_numpy(random.normal(0, 1, (60, 2))).float()  # right on average, and noisy
    parts = Parts(torch.arange(20), torch.arange(20, 30), torch.arange(30, 60))
    found = held_out(heads.requires_grad_(False), features, ratings, parts)["valence"]
    assert found["error"] == pytest.approx((ratings - read)[30:, 0].abs().mean().item(), abs=1e-5)
    assert found["calibration"] < 0.6 * found["error"]  # in 30 parts it would be 1


@pytest.mark.slow
def test_a_reader_that_is_no_better_than_the_mean_says_so(rated, clip, tmp_path, capsys):
    table, _ = rated
    rows = [json.loads(line) for line in table.read_text().splitlines()]
    values = np.random.default_rng(5).uniform(-2.5, 2.5, (240, 2)).tolist()
    changed = [row | {"valence": v, "arousal": a} for row, (v, a) in zip(rows, values, strict=True)]
    table.write_text("".join(json.dumps(row) + "\n" for row in changed))
    out = tmp_path / "reader.safetensors"
    assert fit(rated, clip, out) == 0
    assert "no better than always saying the mean rating" in capsys.readouterr().out


@pytest.mark.slow
def test_pictures_that_cannot_be_read_are_named(rated, clip, tmp_path, capsys):
    _, folder = rated
    (folder / "7.png").write_bytes(b"no")
    out = tmp_path / "reader.safetensors"
    assert fit(rated, clip, out) == 1
    said = capsys.readouterr().err
    assert "7.png cannot be read as an image" in said and "--skip-bad" in said and not out.exists()
    assert fit(rated, clip, out, "--skip-bad") == 0
    assert sum(json.loads(_metadata(out)["training"])["pictures"].values()) == 239


def test_too_few_pictures_make_no_reader(rated, clip, tmp_path, capsys):
    table, _ = rated
    table.write_text("".join(table.read_text().splitlines(True)[:10]))
    out = tmp_path / "reader.safetensors"
    assert fit(rated, clip, out) == 1
    assert "needs at least 40" in capsys.readouterr().err
    assert not out.exists()
