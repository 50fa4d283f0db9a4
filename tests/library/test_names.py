"""Names that another system wrote, and folders that ComfyUI's server cannot serve."""

from pathlib import Path

from emoticrafter.names import advice_on, folder_problem, listed_name


def test_a_name_is_found_as_another_system_writes_it():
    linux, windows = ["sdxl/ours.safetensors", "é.pth", r"odd\name.pth"], [r"sdxl\ours.safetensors"]
    assert listed_name(r"sdxl\ours.safetensors", linux) == "sdxl/ours.safetensors"
    assert listed_name("sdxl/ours.safetensors", windows) == r"sdxl\ours.safetensors"
    assert listed_name("e\u0301.pth", linux) == "é.pth"
    assert listed_name(r"odd\name.pth", [*linux, "odd/name.pth"]) == r"odd\name.pth", "its own name comes first"
    for missing in ("SDXL/ours.safetensors", "ours.safetensors", "../ours.safetensors", "", None, ["é.pth"], 3):
        assert listed_name(missing, linux) not in linux


def test_a_name_that_is_nearly_right_gets_advice():
    names = ["sdxl/Ours.safetensors", "miniature.safetensors"]
    for name in (r"SDXL\ours.safetensors", "Ours.safetensors", "sdxl/Ourz.safetensors", "other/ours.safetensors"):
        assert advice_on(name, names) == " Did you mean 'sdxl/Ours.safetensors'?", name
    for name in ("something else", "", None, 3):
        assert advice_on(name, names) == ""
    assert advice_on("x", []) == ""


def test_a_folder_that_cannot_be_served_is_told():
    for name in ("ComfyUI-EmotiCrafter", "emoticrafter_2", "a(b)", "a+b&c", "~x"):
        assert folder_problem(Path("/custom_nodes") / name) is None, name
    for name in ("a b", "a[b]", "a#b", "a%20b", "a?b", "ä", "情绪", "a{b}", "a|b", 'a"b', "😀"):
        told = folder_problem(Path("/custom_nodes") / name)
        assert "the pad on the nodes, the help pages and the templates are missing. Rename it" in told
        assert told.isprintable()
    assert "does not find the help pages" in folder_problem(Path("/custom_nodes/EmotiCrafter-1.0"))
    assert "does not find the help pages" in folder_problem(Path("/custom_nodes/a@b"))
    assert "no translations and templates" in folder_problem(Path("/ComfyUI [new]/custom_nodes/a"))
