"""The pack among others: what loading it changes, where it looks for files, under which names it works."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.installation import ROOT, comfyui_folder, comfyui_python
from scripts.server import PACK_NAME, PromptError, Server
from scripts.stand_ins import NETWORK_NAME, write_network
from tests.comfyui.graphs import Graph, report

NODE_IDS = {
    "EmotiCrafterLoader",
    "EmotiCrafterVAEncoder",
    "EmotiCrafterInjection",
    "EmotiCrafterConditioning",
    "EmotiCrafterValenceArousal",
    "EmotiCrafterPreset",
    "EmotiCrafterRegional",
    "EmotiCrafterRewrite",
    "EmotiCrafterGrid",
    "EmotiCrafterPath",
    "EmotiCrafterGridImage",
    "EmotiCrafterReadEmotion",
    "EmotiCrafterMap",
    "EmotiCrafterMiniature",
    "EmotiCrafterBaseline",
    "EmotiCrafterFit",
    "EmotiCrafterCLIP",
    "EmotiCrafterRange",
}


# ---- loading it ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def loaded(server, tmp_path_factory):
    """What loading the pack changed in a process like ComfyUI's (see comfyui_import.py)."""
    base = tmp_path_factory.mktemp("import base")
    (base / "models" / "emoticrafter").mkdir(parents=True)
    write_network(base / "models" / "emoticrafter" / NETWORK_NAME)
    program = Path(__file__).with_name("comfyui_import.py")
    command = [comfyui_python(), program, server.base / "custom_nodes" / PACK_NAME, base]
    done = subprocess.run(command, cwd=comfyui_folder(), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_loading_the_pack_gives_its_nodes_and_prints_nothing(loaded):
    assert set(loaded["nodes"]) >= NODE_IDS
    assert len(set(loaded["nodes"])) == len(loaded["nodes"])
    assert loaded["printed"] == ""
    assert not loaded["v1"]  # even an empty NODE_CLASS_MAPPINGS would hide all nodes


def test_every_output_has_a_display_name(loaded):
    """Without one newer ComfyUIs show its id, and the translations of its type are lost."""
    assert loaded["unnamed"] == []


def test_loading_the_pack_changes_no_setting_of_the_process(loaded):
    assert loaded["changed"] == []


def test_loading_the_pack_imports_nothing_but_itself_and_the_standard_library(loaded):
    others = {name.split(".")[0] for name in loaded["modules"] if PACK_NAME not in name}
    assert others <= set(sys.stdlib_module_names)
    assert not [name for name in loaded["modules"] if "trainer" in name]


def test_loading_the_pack_opens_no_model_file(loaded):
    assert loaded["models_opened"] == []


def test_the_server_loads_the_pack_without_a_complaint(server):
    # Newer ComfyUIs colour their log.
    log = re.sub(r"\x1b\[[\d;]*m", "", server.log()).partition("Starting server")[0]
    about_us = [line for line in log.splitlines() if "emoticrafter" in line.lower()]
    assert about_us
    assert all(re.match(r"(\[INFO\])?\s+\d+\.\d seconds: ", line) for line in about_us), about_us


def test_installing_the_pack_changes_no_package():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    ours = re.findall(r'"([^"]+)"', re.search(r"^dependencies = \[(.*?)\]", text, re.DOTALL | re.MULTILINE)[1])
    lines = (comfyui_folder() / "requirements.txt").read_text(encoding="utf-8").splitlines()
    theirs = {re.split(r"[^\w.-]", line.strip())[0].lower() for line in lines if line.strip()[:1] not in ("", "#")}
    for requirement in ours:
        name, specifier = re.fullmatch(r"([\w-]+)(.*)", requirement).groups()
        assert name.lower() in theirs
        assert re.fullmatch(r"(>=[\d.]+)?", specifier), f"{requirement} would keep other packs from newer versions"
    assert not (ROOT / "requirements.txt").exists()


# ---- where it looks for files ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """A server whose models/emoticrafter cannot be made, with further folders in its extra_model_paths.yaml."""
    base = tmp_path_factory.mktemp("bare server")
    config = base / "extra_model_paths.yaml"
    folders = [base / "extra one", base / "a file", base / "never made"]
    config.write_text(f"mine:\n  emoticrafter: |\n{''.join(f'    {folder}{chr(10)}' for folder in folders)}")
    folders[0].mkdir()
    folders[1].touch()
    probe_nodes = Path(__file__).parent / "probe_nodes"
    server = Server(base, arguments=("--extra-model-paths-config", str(config)), nodes=(probe_nodes,))
    (base / "models" / "emoticrafter").rmdir()
    (base / "models" / "emoticrafter").touch()
    with server:
        yield server


def options(server: Server) -> list[str]:
    info = server.get("/object_info/EmotiCrafterLoader")["EmotiCrafterLoader"]
    return info["input"]["required"]["network_name"][1]["options"]


def graph_with(name: str) -> Graph:
    graph = Graph()
    network = graph.network(name)
    graph.add("ProbeNetwork", "network", first=network, second=network)
    return graph


def test_without_any_network_the_nodes_are_there_and_the_error_names_every_folder(bare):
    assert bare.object_info().keys() >= NODE_IDS
    assert options(bare) == []
    with pytest.raises(PromptError) as caught:
        bare.queue(graph_with("my.safetensors"))
    message = str(caught.value)
    assert "There is no emotion network 'my.safetensors'" in message
    assert "No network file was found." in message
    assert f"{bare.base / 'extra one'} (searched)" in message
    assert f"{bare.base / 'a file'} (not a folder)" in message
    assert f"{bare.base / 'never made'} (not there)" in message
    assert f"{bare.models / 'emoticrafter'} (not a folder)" in message


def test_a_model_folder_that_cannot_be_made_is_told_and_does_no_harm(bare):
    assert f"[EmotiCrafter] {bare.models / 'emoticrafter'} cannot be created" in bare.log()


def test_a_file_in_a_folder_of_extra_model_paths_is_found_and_loaded(bare):
    folder = bare.base / "extra one"
    (folder / "sub").mkdir()
    write_network(folder / "sub" / "my own.safetensors")
    (folder / "my.ckpt").touch()
    [name] = options(bare)
    assert Path(name) == Path("sub/my own.safetensors")
    for saved in (name, r"sub\my own.safetensors"):  # as a workflow of Windows has it
        assert report(bare.queue(graph_with(saved)), "network")[0]["same"]
    with pytest.raises(PromptError, match=r"Did you mean 'sub.{1,2}my own\.safetensors'\?"):
        bare.queue(graph_with("My Own.safetensors"))
    with pytest.raises(PromptError, match=r"Found: sub.my own\.safetensors\."):
        bare.queue(graph_with("another.safetensors"))


def test_a_prompt_that_names_no_network_is_refused_by_the_server(bare):
    graph = Graph(loader={"class_type": "EmotiCrafterLoader", "inputs": {"dtype": "auto"}})
    graph.add("ProbeNetwork", "network", first=["loader", 0], second=["loader", 0])
    with pytest.raises(PromptError, match="Required input is missing: network_name"):
        bare.queue(graph)
