"""The real ComfyUI server that the tests of this folder share."""

from pathlib import Path

import pytest

from scripts.installation import comfyui_folder, prepare
from scripts.server import Server
from scripts.stand_ins import write_stand_ins


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """A running server with this pack, the untrained stand-ins and the probe nodes in it."""
    prepare()
    base = tmp_path_factory.mktemp("comfyui")
    with Server(base, nodes=(Path(__file__).parent / "probe_nodes",)) as running:
        write_stand_ins(base)
        yield running


@pytest.fixture(scope="module", params=[False, True], ids=["", "dynamic VRAM"])
def dynamic_vram(request) -> bool:
    """Once without and, where ComfyUI has it, once with DynamicVRAM, as far as a processor can have it."""
    if request.param and not (comfyui_folder() / "comfy" / "memory_management.py").is_file():
        pytest.skip("this ComfyUI has no DynamicVRAM")
    return request.param
