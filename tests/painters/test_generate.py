"""Generation: what is planned, drawn, kept, resumed and shared out, by three painters at sizes that draw nothing."""

import io
import json
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from PIL import Image as Pillow

from tests.tiny_miniature import Paints, make_run, save_tiny_network
from tests.tiny_sdxl import make_tiny_sdxl
from trainer.core.processes import Processes
from trainer.core.prompts import read_prompts
from trainer.core.rows import DataError
from trainer.evaluation.manifest import read_manifest
from trainer.generate import main
from trainer.painters.draw import Job, complete, draw, load_painter
from trainer.painters.plan import LEVELS, PLAIN, PROMPTS, estimate, grid, plan, share
from trainer.painters.settings import ComfyuiSettings, MiniatureSettings, SdxlSettings
from trainer.painters.store import Store

SETTINGS = {"painter": "test"}


@pytest.fixture
def painted(tmp_path, monkeypatch):
    """Runs the sdxl command with a painter of colours in place of the pipeline."""
    network = save_tiny_network(tmp_path / "network.safetensors", 64)

    def run(*arguments, painter=None, out="images"):
        painter = painter or Paints()
        monkeypatch.setattr("trainer.painters.draw.load_painter", lambda settings, device: painter)
        command = ["sdxl", "--out", str(tmp_path / out), "--limit", "2", *arguments]
        without = {"--plain", "--rewritten"} & set(arguments)
        code = main(command if without else [*command, "--network", str(network)])
        return SimpleNamespace(code=code, drawn=painter.drawn, out=tmp_path / out)

    return run


# ---- the plan --------------------------------------------------------------------------------------


def test_the_protocol_is_3300_pictures():
    tasks = plan(read_prompts(PROMPTS), grid(), [0], "ours", SETTINGS)
    assert len(tasks) == 3300 == len({task.path for task in tasks}) == len({task.made for task in tasks})
    assert len(plan(read_prompts(PROMPTS), PLAIN, [0], "plain", SETTINGS)) == 132
    assert "PFLOP" in estimate(3300, 1024**2, None, None, 3e14)


def test_processes_share_whole_prompts():
    tasks = plan(read_prompts(PROMPTS), grid(), [0], "ours", SETTINGS)
    shares = [share(tasks, Processes(4, rank)) for rank in range(4)]
    assert sorted(t.path for share in shares for t in share) == sorted(t.path for t in tasks)
    assert {len(share) for share in shares} == {33 * 25}
    assert not {t.number for t in shares[0]} & {t.number for t in shares[1]}


def test_the_empty_prompt_is_drawn_alone(painted, capsys):
    found = painted("--empty")
    assert found.code == 0 and len(found.drawn) == 25 and {task.text for task in found.drawn} == {""}
    assert [image.prompt for image in read_manifest(found.out / "manifest.jsonl")] == [""] * 25
    assert painted("--empty", "--prompts", "mine.txt").code == 1
    assert "--empty draws the empty prompt alone: leave out --prompts" in capsys.readouterr().err


def test_odd_prompt_files_are_refused(tmp_path):
    path = tmp_path / "prompts.txt"
    path.write_text("\n\n")
    with pytest.raises(DataError, match="has no prompts"):
        read_prompts(path)
    path.write_text("A dog.\nA cat.\nA dog.\n")
    with pytest.raises(DataError, match=r"has 'A dog\.' more than once"):
        read_prompts(path)


# ---- drawing and resuming --------------------------------------------------------------------------


def test_pictures_manifest_and_hashes(painted):
    found = painted()
    assert found.code == 0 and len(found.drawn) == 50
    images = read_manifest(found.out / "manifest.jsonl")
    assert len(images) == 50 and {image.method for image in images} == {"ours"}
    asked = (read_prompts(PROMPTS)[1], 3, -1.5)
    [image] = [image for image in images if (image.prompt, image.valence, image.arousal) == asked]
    assert Pillow.open(image.path).getpixel((0, 0)) == (248, 68, 1)
    checked = subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=found.out, check=False)
    assert checked.returncode == 0
    assert not list(found.out.rglob("*.tmp"))


def test_a_second_run_draws_nothing_and_damage_is_mended(painted):
    first = painted()
    assert painted().drawn == []
    broken, gone = sorted((first.out / "ours").rglob("*.png"))[:2]
    broken.write_bytes(broken.read_bytes()[:-5])
    gone.unlink()
    kept = {path: path.stat().st_mtime_ns for path in (first.out / "ours").rglob("*.png")}
    painted()
    changed = {path for path in (first.out / "ours").rglob("*.png") if path.stat().st_mtime_ns != kept.get(path)}
    assert changed == {broken, gone}
    assert len(read_manifest(first.out / "manifest.jsonl")) == 50


def test_an_interrupted_run_goes_on(painted):
    stopped = painted(painter=Paints(fail_at=20))
    assert stopped.code == 130 and not (stopped.out / "manifest.jsonl").exists()
    [part] = (stopped.out / "parts").glob("*.jsonl")
    part.write_bytes(part.read_bytes()[:-7])  # and its last note was cut off
    assert len(painted().drawn) == 35  # the batch of the lost note is drawn again whole
    assert len(read_manifest(stopped.out / "manifest.jsonl")) == 50


def test_other_settings_draw_again(painted):
    painted()
    assert len(painted("--steps", "30").drawn) == 50
    assert len(painted("--steps", "30", "--limit", "1").drawn) == 0


def test_methods_and_the_plain_prompts_share_a_manifest(painted):
    painted()
    found = painted("--plain")
    assert len(found.drawn) == 2
    images = read_manifest(found.out / "manifest.jsonl")
    assert sorted(map(str, {image.method for image in images})) == ["ours", "plain"] and len(images) == 52


def rewritten_file(path, prompts, levels=LEVELS):
    rows = [
        {"prompt": prompt, "valence": v, "arousal": a, "rewritten": f"{prompt} at {v:g}, {a:g}"}
        for prompt in prompts
        for v in levels
        for a in levels
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_rewritten_prompts_are_drawn_and_the_manifest_has_the_neutral_ones(painted, tmp_path):
    prompts = read_prompts(PROMPTS)[:2]
    path = rewritten_file(tmp_path / "rewritten.jsonl", prompts)
    found = painted("--rewritten", path)
    assert found.code == 0 and len(found.drawn) == 50
    assert all(task.text == f"{task.prompt} at {task.valence:g}, {task.arousal:g}" for task in found.drawn)
    images = read_manifest(found.out / "manifest.jsonl")
    assert {image.method for image in images} == {"rewriting"} and {i.prompt for i in images} == set(prompts)
    assert painted("--rewritten", path).drawn == []
    text = Path(path).read_text()
    Path(path).write_text(text.replace(" at 3, 3", " in rapture"))
    batches = painted("--rewritten", path).drawn
    assert len(batches) == 10 and sum("in rapture" in task.text for task in batches) == 2


def test_rewritten_prompts_that_do_not_fit_are_refused(painted, tmp_path, capsys):
    prompts = read_prompts(PROMPTS)[:2]
    path = rewritten_file(tmp_path / "rewritten.jsonl", prompts[:1])
    assert painted("--rewritten", path).code == 1
    assert "lack 25 of 50 points, such as" in capsys.readouterr().err
    Path(path).write_text('{"prompt": "A dog.", "valence": 7, "arousal": 0, "rewritten": "A cat."}\n')
    assert painted("--rewritten", path).code == 1
    said = capsys.readouterr().err
    assert "valence is 7, outside -3..3" in said and "rewritten" in said
    assert painted("--rewritten", path, "--plain").code == 1
    assert "leave out --plain and --network" in capsys.readouterr().err


def test_the_last_process_writes_the_manifest(painted, monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    found = painted()
    assert len(found.drawn) == 25 and not (found.out / "manifest.jsonl").exists()
    assert "25 pictures are left to the other processes" in capsys.readouterr().out
    monkeypatch.setenv("RANK", "0")
    assert len(painted().drawn) == 25
    assert len(read_manifest(found.out / "manifest.jsonl")) == 50


@pytest.mark.slow
def test_a_resumed_job_draws_what_an_uninterrupted_one_does(run, tmp_path):
    """Whatever is missing, a picture is drawn beside the same others: to the bit, for all painters."""
    painter = MiniatureSettings(run)
    tasks = plan(["a cat", "a dog"], grid((-3.0, 0.0, 3.0)), [0, 1], "plain", painter.as_json())
    resumed, whole = (Job(tmp_path / name, painter, tasks, 4, "cpu") for name in ("resumed", "whole"))
    draw(whole, tasks)
    for some in (tasks[1::3], tasks[5:9], tasks):
        draw(resumed, resumed.store.missing(some))
    for task in tasks:
        assert (resumed.folder / task.path).read_bytes() == (whole.folder / task.path).read_bytes()


@pytest.mark.slow
def test_a_picture_of_nan_is_told_and_not_kept(run, tmp_path):
    painter = MiniatureSettings(run, run / "emotion" / "default-0" / "network.safetensors", strength=1e38)
    job = Job(tmp_path / "images", painter, plan(["a cat"], PLAIN, [0], "ours", painter.as_json()), device="cpu")
    with pytest.raises(DataError, match=r"gave NaN for 'a cat' at strength 1e\+38"):
        complete(job)
    assert not list(job.folder.rglob("*.png"))


def test_batches_follow_from_the_plan_alone():
    tasks = plan(["a", "b", "c"], grid((-3.0, 0.0, 3.0)), [0, 1], "ours", SETTINGS)
    painter = SimpleNamespace()
    whole = list(Job(Path(), painter, tasks, 4).batches(tasks))
    assert [len(batch) for batch in whole] == [4, 4, 1] * 6
    assert list(Job(Path(), painter, tasks, 4).batches([tasks[5], tasks[40]])) == [whole[1], whole[13]]
    fewer = [task for task in tasks if task.number < 2 and task.seed == 0]
    assert all(batch in whole for batch in Job(Path(), painter, fewer, 4).batches(fewer))
    server = ComfyuiSettings(workflow=Path("w.json"))
    assert list(Job(Path(), server, tasks, 4).batches(tasks[:2])) == [[tasks[0]], [tasks[1]]]


@pytest.mark.slow
def test_processes_draw_a_job_together(run, tmp_path):
    """Each in a process of its own, with the job as it is: what they draw is what one alone draws."""
    painter = MiniatureSettings(run)
    tasks = plan(["a cat", "a dog", "a tree"], grid((-3.0, 3.0)), [0], "plain", painter.as_json())
    apart, alone = (Job(tmp_path / name, painter, tasks, 4, "cpu") for name in ("apart", "alone"))
    complete(apart, processes=2)
    draw(alone, tasks)
    assert len(read_manifest(apart.folder / "manifest.jsonl")) == len(tasks)
    assert len(list((apart.folder / "parts").glob("plain-*-of-2.jsonl"))) == 2
    for task in tasks:
        assert (apart.folder / task.path).read_bytes() == (alone.folder / task.path).read_bytes()


def test_two_commands_do_not_draw_the_same(painted, tmp_path, capsys):
    with Store(tmp_path / "images").drawing("ours", Processes()):
        assert painted().code == 1
    assert "start all processes with torchrun" in capsys.readouterr().err


def test_a_dry_run_draws_nothing_and_says_what_it_takes(painted, capsys):
    found = painted("--dry-run")
    said = capsys.readouterr().out
    assert found.drawn == [] and not found.out.exists()
    assert "ours: 50 pictures of 2 prompts, 50 of 50 to be drawn here" in said
    assert "disk: about 0.08 GB" in said and "--limit 1" in said
    painted("--limit", "1")
    capsys.readouterr()
    painted("--dry-run")
    assert "s a picture so far" in capsys.readouterr().out


def test_what_is_wrong_is_said_in_a_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for words, said in (
        ("sdxl", "give --network"),
        ("sdxl --network none.safetensors", "--network none.safetensors does not exist"),
        ("sdxl --plain --method ../x", "expected letters, digits"),
        ("sdxl --method plain", "give --plain"),
        ("sdxl --plain --seeds 1 1", "different numbers"),
        ("sdxl --plain --model nowhere", "could not be loaded as SDXL"),
        ("miniature --run nowhere", "nowhere"),
        ("comfyui --workflow none.json", "none.json: cannot be read"),
    ):
        assert main([*words.split(), "--out", str(tmp_path / "images")]) == 1
        error = capsys.readouterr().err
        assert "error: " in error and said in error and "Traceback" not in error


# ---- SDXL ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sdxl(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "sdxl"
    make_tiny_sdxl().save_pretrained(folder)
    return folder


@pytest.mark.slow
def test_sdxl_draws_the_emotion_and_resumes(sdxl, tmp_path):
    network = save_tiny_network(tmp_path / "network.safetensors", 64)
    common = ["--model", str(sdxl), "--size", "32", "--steps", "2", "--limit", "1", "--device", "cpu"]
    common += ["--out", str(tmp_path / "images"), "--levels=-3,0,3"]
    assert main(["sdxl", *common, "--network", str(network), "--batch", "4"]) == 0
    assert main(["sdxl", *common, "--plain"]) == 0
    images = read_manifest(tmp_path / "images" / "manifest.jsonl")
    ours = {(i.method, i.valence, i.arousal): np.array(Pillow.open(i.path)).astype(int) for i in images}
    plain = ours.pop(("plain", 0.0, 0.0))
    assert len(ours) == 9 and plain.shape == (32, 32, 3)
    assert all(np.abs(picture - plain).max() > 0 for picture in ours.values())
    assert np.abs(ours["ours", 3.0, 3.0] - ours["ours", -3.0, -3.0]).max() > 0


@pytest.mark.slow
def test_sdxl_with_strength_0_is_the_plain_picture(sdxl, tmp_path):
    network = save_tiny_network(tmp_path / "network.safetensors", 64)
    tasks = plan(["A dog."], grid((0.0, 3.0)), [5], "ours", SETTINGS)
    [plain] = load_painter(SdxlSettings(str(sdxl), None, size=32, steps=2), "cpu").draw(tasks[:1])
    unchanged = load_painter(SdxlSettings(str(sdxl), network, size=32, steps=2, strength=0.0), "cpu").draw(tasks)
    assert all(np.abs(np.array(picture).astype(int) - np.array(plain)).max() <= 1 for picture in unchanged)


@pytest.mark.slow
def test_a_network_of_another_width_is_refused(sdxl, tmp_path, capsys):
    network = save_tiny_network(tmp_path / "network.safetensors", 48)
    arguments = ["sdxl", "--model", str(sdxl), "--network", str(network), "--out", str(tmp_path / "images")]
    assert main([*arguments, "--limit", "1", "--device", "cpu"]) == 1
    assert "reads text features 48 wide" in capsys.readouterr().err


# ---- the miniature ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of the miniature with an untrained generator, autoencoder and emotion network."""
    return make_run(tmp_path_factory.mktemp("miniature"), "default-0")


@pytest.mark.slow
def test_the_miniature_draws_its_held_out_prompts(run, tmp_path):
    common = ["miniature", "--run", str(run), "--out", str(tmp_path / "images"), "--limit", "2"]
    common += ["--device", "cpu"]
    assert main([*common, "--levels", "-3,3", "--seeds", "0", "1"]) == 0
    assert main([*common, "--plain", "--seeds", "0", "1"]) == 0
    images = read_manifest(tmp_path / "images" / "manifest.jsonl")
    assert len(images) == 2 * 2 * 4 + 2 * 2
    plain = [Pillow.open(image.path).tobytes() for image in images if image.method == "plain"]
    assert len(set(plain)) == 4  # another noise for each prompt and seed
    assert Pillow.open(images[0].path).size == (32, 32)


def test_held_out_prompts_differ():
    from trainer.miniature.held_out import held_out_prompts

    prompts = held_out_prompts()
    assert len(prompts) == len(set(prompts)) == 42


def test_a_run_without_a_network_says_what_to_do(run, tmp_path, capsys):
    words = ["miniature", "--run", str(run), "--network", "gone.safetensors", "--out", str(tmp_path)]
    assert main(words) == 1
    assert "gone.safetensors does not exist" in capsys.readouterr().err


# ---- ComfyUI ---------------------------------------------------------------------------------------

WORKFLOW = {
    "1": {"class_type": "CLIPTextEncode", "inputs": {"text": "{prompt}", "clip": ["9", 1]}},
    "2": {
        "class_type": "EmotiCrafterConditioning",
        "inputs": {"conditioning": ["1", 0], "valence": 0, "arousal": 0.0, "strength": 1.0},
    },
    "3": {"class_type": "KSampler", "inputs": {"seed": 1, "positive": ["2", 0], "steps": 4}},
    "4": {"class_type": "SaveImage", "inputs": {"images": ["3", 0]}},
}


@pytest.fixture
def comfyui(tmp_path):
    """A server that speaks as ComfyUI does and draws the valence as red."""
    state = SimpleNamespace(prompts=[], fail=None, workflow=tmp_path / "workflow.json")
    state.workflow.write_text(json.dumps(WORKFLOW))

    class Handler(BaseHTTPRequestHandler):
        def answer(self, data, status=200):
            data = data if isinstance(data, bytes) else json.dumps(data).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def do_POST(self):
            if isinstance(state.fail, bytes):
                return self.answer(state.fail)
            if state.fail == "refuse":
                return self.answer({"error": {"message": "no such node"}}, 400)
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            state.prompts.append(body["prompt"])
            return self.answer({"prompt_id": str(len(state.prompts) - 1)})

        def do_GET(self):
            address = urlsplit(self.path)
            if address.path == "/view":
                number = int(parse_qs(address.query)["filename"][0])
                red = round(128 + 40 * state.prompts[number]["2"]["inputs"]["valence"])
                buffer = io.BytesIO()
                Pillow.new("RGB", (8, 8), (red, 0, 0)).save(buffer, "PNG")
                return self.answer(buffer.getvalue())
            number = address.path.rpartition("/")[2]
            image = {"filename": number, "subfolder": "", "type": "output"}
            status = {"status_str": "success", "messages": []}
            if state.fail == "node":
                detail = {"node_type": "KSampler", "node_id": "3", "exception_message": "out of memory"}
                status = {"status_str": "error", "messages": [["execution_error", detail]]}
            shown = {"images": [{**image, "filename": "preview", "type": "temp"}]}
            return self.answer({number: {"outputs": {"2": shown, "4": {"images": [image]}}, "status": status}})

        def log_message(self, *args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    state.arguments = ["comfyui", "--server", f"http://127.0.0.1:{server.server_port}", "--limit", "1"]
    state.arguments += ["--workflow", str(state.workflow), "--out", str(tmp_path / "images"), "--levels=-3,3"]
    yield state
    server.shutdown()
    server.server_close()


def test_a_server_on_this_computer_is_asked_without_a_proxy(comfyui, monkeypatch):
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert main(comfyui.arguments) == 0


def test_a_workflow_gets_prompt_seed_and_emotion(comfyui, tmp_path):
    assert main([*comfyui.arguments, "--seeds", "42"]) == 0
    images = read_manifest(tmp_path / "images" / "manifest.jsonl")
    assert {(i.valence, Pillow.open(i.path).getpixel((0, 0))[0]) for i in images} == {(-3, 8), (3, 248)}
    sent = comfyui.prompts[0]
    assert sent["1"]["inputs"] == {"text": images[0].prompt, "clip": ["9", 1]}
    assert sent["3"]["inputs"]["seed"] == 42 and sent["2"]["inputs"]["strength"] == 1.0
    assert main([*comfyui.arguments, "--plain", "--seeds", "42"]) == 0
    assert comfyui.prompts[-1]["2"]["inputs"]["strength"] == 0


def test_a_network_goes_into_its_loader_and_a_fit_keeps_its_seed(comfyui, tmp_path, capsys):
    arguments = [*comfyui.arguments, "--network", "z_image.safetensors", "--seeds", "42"]
    assert main(arguments) == 1
    assert "has no Load Emotion Network that --network could name" in capsys.readouterr().err
    ours = {
        "5": {"class_type": "EmotiCrafterLoader", "inputs": {"network_name": "other.safetensors", "precision": "auto"}},
        "6": {"class_type": "EmotiCrafterFit", "inputs": {"name": "mine", "seed": 7}},
    }
    comfyui.workflow.write_text(json.dumps(WORKFLOW | ours))
    assert main(arguments) == 0
    assert comfyui.prompts[0]["5"]["inputs"] == {"network_name": "z_image.safetensors", "precision": "auto"}
    assert comfyui.prompts[0]["6"]["inputs"]["seed"] == 7 and comfyui.prompts[0]["3"]["inputs"]["seed"] == 42
    drawn = len(comfyui.prompts)
    assert main(arguments) == 0 and len(comfyui.prompts) == drawn
    arguments[arguments.index("z_image.safetensors")] = "newer.safetensors"
    assert main(arguments) == 0 and len(comfyui.prompts) == 2 * drawn  # another network, other pictures


def test_what_the_server_says_comes_through(comfyui, capsys):
    comfyui.fail = "refuse"
    assert main(comfyui.arguments) == 1
    assert "refused the workflow (HTTP 400)" in capsys.readouterr().err
    comfyui.fail = "node"
    assert main(comfyui.arguments) == 1
    assert "KSampler (3) failed: out of memory" in capsys.readouterr().err
    comfyui.arguments[2] = "http://127.0.0.1:9"
    assert main(comfyui.arguments) == 1
    assert "is ComfyUI running there?" in capsys.readouterr().err


def test_a_server_that_is_not_comfyui_is_told_in_one_line(comfyui, capsys):
    answers = [b"<html>", b"[]", b"{}", b'{"prompt_id": 3}', b"[" * 100_000, b"\xff", b'{"prompt_id": "\x1b[2J/../x"}']
    for comfyui.fail in answers:
        assert main(comfyui.arguments) == 1
        [*_, line] = capsys.readouterr().err.splitlines()
        assert "unlike ComfyUI" in line and line.isprintable()
    for comfyui.arguments[2] in ("http://[::1", "http://me:secret@127.0.0.1", "ftp://host"):
        assert main(comfyui.arguments) == 1
        told = capsys.readouterr().err
        assert "--server: expected an address such as" in told and "secret" not in told


def test_a_workflow_without_a_place_is_refused(comfyui, capsys):
    no_place = {"class_type": "CLIPTextEncode", "inputs": {"text": "a dog"}}
    for workflow, said in (
        ({"nodes": [], "links": []}, "Export (API)"),
        (WORKFLOW | {"1": no_place}, "write {prompt} in the text"),
        ({key: node for key, node in WORKFLOW.items() if key != "3"}, "no sampler with a seed"),
        ({key: node for key, node in WORKFLOW.items() if key != "2"}, "no EmotiCrafter node"),
        ([], "is not a ComfyUI workflow"),
    ):
        comfyui.workflow.write_text(json.dumps(workflow))
        assert main(comfyui.arguments) == 1
        assert said in capsys.readouterr().err


def test_levels_that_would_share_a_picture_s_name_are_refused(capsys):
    with pytest.raises(SystemExit):
        main(["sdxl", "--plain", "--out", "images", "--levels=0,0.004"])
    assert "expected numbers that differ by 0.01 or more, got '0,0.004'" in capsys.readouterr().err


def test_no_picture_is_named_after_a_negative_zero():
    tasks = plan(["a cat"], grid((-0.001, -0.0)), [0], "ours", {})
    assert {task.path for task in tasks} == {"ours/0000-0/v+0.00a+0.00.png"}
