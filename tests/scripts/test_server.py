"""scripts/server.py and scripts/launch_comfyui.py, as far as they go without a ComfyUI."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from scripts import server
from scripts.installation import SetupError
from scripts.server import Result, Server, ServerError
from tests.library.chat_server import serving, status

ROOT = Path(__file__).parents[2]


def test_the_base_folder_shows_the_pack_and_the_stand_ins(tmp_path):
    server.prepare_base(tmp_path)
    links = {link.name: link.resolve() for link in (tmp_path / "custom_nodes").iterdir()}
    stand_ins = {"tiny-sdxl": ROOT / "scripts" / "tiny_sdxl", "small-families": ROOT / "scripts" / "small_families"}
    assert links == {"emoticrafter-comfyui": ROOT, **stand_ins}
    server.prepare_base(tmp_path, stand_ins=False)  # a second time is no error
    assert (tmp_path / "models" / "emoticrafter").is_dir()


def test_where_links_are_not_allowed_the_pack_is_copied_without_caches(tmp_path, monkeypatch):
    def refused(self, target, target_is_directory=False):
        raise OSError("A required privilege is not held by the client")

    source = tmp_path / "checkout"
    for name in (".venv/big", ".git/config", "output/old.png", "nodes/__init__.py", "__init__.py"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text("")
    monkeypatch.setattr(Path, "symlink_to", refused)
    for _ in range(2):
        server._link(source, tmp_path / "copy")
    copied = {p.relative_to(tmp_path / "copy").as_posix() for p in (tmp_path / "copy").rglob("*")}
    assert copied == {server.COPY_MARK, "nodes", "nodes/__init__.py", "__init__.py"}


@pytest.mark.parametrize("name", ["emoticrafter-comfyui", "tiny-sdxl", "probe"])
def test_a_folder_of_somebody_else_is_named_and_stays(tmp_path, name):
    checkout = tmp_path / "base" / "custom_nodes" / name
    (checkout / ".git").mkdir(parents=True)
    (checkout / "work.py").write_text("mine")
    with pytest.raises(SetupError, match=rf"{name} is there already .*\n.*--base, or move it away"):
        Server(tmp_path / "base", nodes=(tmp_path / "probe",))
    assert (checkout / "work.py").read_text() == "mine"


def test_a_base_whose_pack_is_the_checkout_itself_is_used_as_it_is(tmp_path):
    """ComfyUI with the pack cloned into it, and `serve --base ../..` there."""
    checkout = tmp_path / "custom_nodes" / "emoticrafter-comfyui"
    checkout.mkdir(parents=True)
    server._link(checkout, checkout)
    assert checkout.is_dir()
    assert not checkout.is_symlink()


def test_a_taken_port_is_named_with_what_to_do(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ServerError, match=f"Port {port} is taken .*\n.*--port"):
            server.check_port(port)


def test_a_server_that_ends_while_it_starts_is_reported_with_its_log(tmp_path, monkeypatch):
    broken = tmp_path / "comfyui"
    broken.mkdir()
    (broken / "main.py").write_text("print('no such option'); raise SystemExit(3)")
    monkeypatch.setenv("COMFYUI_PATH", str(broken))
    monkeypatch.setenv("COMFYUI_PYTHON", sys.executable)
    with pytest.raises(ServerError, match=r"ended while it started, with code 3(.|\n)*no such option"):
        Server(tmp_path / "base").start()


def test_a_server_is_asked_through_no_proxy(tmp_path, monkeypatch):
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with serving(status(200, "pong")) as echo:
        running = Server(tmp_path, port=echo.server_port)
        assert running.post("/prompt", {}) == b"pong"


def test_no_server_outlives_the_process_that_started_it(tmp_path):
    (tmp_path / "main.py").write_text("import time\nprint('up', flush=True)\ntime.sleep(600)\n")
    launcher = [sys.executable, str(ROOT / "scripts" / "launch_comfyui.py"), str(tmp_path / "main.py")]
    with subprocess.Popen(launcher, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline().strip() == b"up"
        process.stdin.close()  # what the system does when the parent is gone
        assert process.wait(300) == 1


def test_a_launched_script_sees_its_own_arguments_and_folder(tmp_path):
    (tmp_path / "beside.py").write_text("name = 'beside'")
    (tmp_path / "main.py").write_text("import sys, beside; print(beside.name, __name__, sys.argv[1:])")
    launcher = [sys.executable, str(ROOT / "scripts" / "launch_comfyui.py"), str(tmp_path / "main.py")]
    with subprocess.Popen([*launcher, "--cpu"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.read().decode().strip() == "beside __main__ ['--cpu']"


def test_messages_of_the_server_become_a_result():
    result = Result("id")
    for kind, data in [
        ("execution_cached", {"nodes": ["1"]}),
        ("executing", {"node": "3"}),
        ("progress", {"value": 1, "max": 4}),
        ("executing", {"node": "3"}),
        ("executing", {"node": "4"}),
    ]:
        assert server._take(result, kind, data) is False
    assert server._take(result, "executing", {"node": None}) is True
    assert (result.cached, result.executed, result.failure) == (["1"], ["3", "4"], None)


def test_a_refusal_names_every_node_and_what_is_wrong_with_it():
    answer = {
        "error": {"message": "Prompt outputs failed validation", "details": ""},
        "node_errors": {
            "9": {"class_type": "KSampler", "errors": [{"message": "Value bigger than max of 30", "details": "cfg"}]}
        },
    }
    assert server._refusal(answer) == (
        "The server refused the prompt: Prompt outputs failed validation\n"
        "node 9 (KSampler): Value bigger than max of 30: cfg"
    )
