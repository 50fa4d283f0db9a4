"""The translated texts in ComfyUI itself: each interface in a language that it shows, in both renderers."""

import json
from pathlib import Path

import pytest

from scripts.browser import PINNED_FRONTEND
from scripts.server import Server
from tests.comfyui.interface import Interface

ROOT = Path(__file__).parents[3]
REFERENCE = ROOT / "tests" / "reference" / "node_texts.json"
FOUND = ROOT / "output" / "node_texts.json"
KIND = "EmotiCrafterConditioning"
PAD = {
    "de": {"aria-label": "Valenz und Erregung", "words": {"Lust", "Unlust", "Erregung"}, "name": "glücklich"},
    "zh": {"aria-label": "效价与唤醒度", "words": {"愉快", "不愉快", "唤醒度"}, "name": "快乐"},
}
TITLE = """() => {
    const node = app.graph.nodes[0], box = app.canvas.canvas.getBoundingClientRect();
    const [x, y] = app.canvas.ds.convertOffsetToCanvas([node.pos[0] + 60, node.pos[1] - 12]);
    return [box.left + x, box.top + y];
}"""


# ---- what the nodes say ----------------------------------------------------------------------------


def english_texts(server: Server) -> dict:
    """The nodes' texts in the form of a nodeDefs.json."""
    ours = {name: node for name, node in server.get("/object_info").items() if name.startswith("EmotiCrafter")}
    return {name: node_texts(node) for name, node in ours.items()}


def node_texts(node: dict) -> dict:
    specs = node["input"].get("required", {}) | node["input"].get("optional", {})
    texts = {"display_name": node["display_name"], "description": node["description"], "outputs": {}}
    if specs:
        # (Emotion Preset tells mistakes of the user's file in further lines)
        texts["inputs"] = {
            name: {"name": name, "tooltip": options["tooltip"].split("\n! ")[0]} for name, (_, options) in specs.items()
        }
    for index, (name, kind) in enumerate(zip(node["output_name"], node["output"], strict=True)):
        own_name = {"name": name} if name != kind else {}  # else the interface shows the kind's name
        texts["outputs"][str(index)] = own_name | {"tooltip": node["output_tooltips"][index]}
    return texts


def test_the_english_texts_are_those_that_were_translated(server):
    found = english_texts(server)
    if found != json.loads(REFERENCE.read_text("utf-8")):
        FOUND.parent.mkdir(exist_ok=True)
        FOUND.write_text(json.dumps(found, indent=2, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")
        pytest.fail(
            "The nodes say something else than was translated. Copy output/node_texts.json over "
            "tests/reference/node_texts.json, and change what differs in every locales/*/nodeDefs.json."
        )


def test_our_types_and_menu_groups_have_names_in_every_language(server):
    nodes = [node for name, node in server.get("/object_info").items() if name.startswith("EmotiCrafter")]
    groups = {part for node in nodes for part in node["category"].split("/")} - {"EmotiCrafter"}
    types = {kind for node in nodes for kind in node["output"] if kind.startswith("EMOTION")}
    for path in (ROOT / "locales").glob("*/main.json"):
        names = json.loads(path.read_text("utf-8"))
        assert names["nodeCategories"].keys() == groups, path
        assert names["dataTypes"].keys() == types, path


def test_comfyui_serves_the_translations(server):
    served = server.get("/i18n")
    for folder in (ROOT / "locales").iterdir():
        texts = json.loads((folder / "nodeDefs.json").read_text("utf-8"))
        assert served[folder.name]["nodeDefs"][KIND] == texts[KIND]


# ---- what the interface shows ----------------------------------------------------------------------


# The pinned interface loses every pack's texts in the languages that it has itself, and shows those in others; newer
# ones show them in their own languages, among which there is no German yet.
LANGUAGES = {PINNED_FRONTEND: "de"}


@pytest.fixture(scope="module", params=["canvas", "vue"])
def page(request, version, shown_by, browser):
    """(interface, language)."""
    language = LANGUAGES.get(version, "zh")
    shown_by.post("/settings", {"Comfy.Locale": language})
    interface = Interface(browser, shown_by, request.param, f"{version}-{language}")
    yield interface, language
    interface.close()
    shown_by.post("/settings", {"Comfy.Locale": "en"})  # other tests use this server


def test_a_node_speaks_the_language_of_the_interface(page):
    ui, language = page
    texts = json.loads((ROOT / "locales" / language / "nodeDefs.json").read_text("utf-8"))[KIND]
    words = PAD[language]
    ui.clear()
    node = ui.add(KIND, valence=2.5, arousal=1.6)
    pad = ui.pad(node)
    assert ui.run("() => app.graph.nodes[0].title") == texts["display_name"]
    labels = ui.run("() => app.graph.nodes[0].widgets.map((widget) => widget.label)")
    assert texts["inputs"]["valence"]["name"] in labels
    assert pad.field.get_attribute("aria-label") == words["aria-label"]
    assert words["words"] <= set(pad.element.locator(".word").all_inner_texts())
    pad.shows(2.5, 1.6)
    assert pad.name == words["name"]
    ui.screenshot("node")
    ui.page.mouse.move(*ui.run(TITLE))
    ui.page.get_by_text(texts["description"]).first.wait_for()
    ui.screenshot("tooltip")
    assert ui.errors == []
