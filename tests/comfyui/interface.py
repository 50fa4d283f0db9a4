"""ComfyUI's interface in a real browser, and the valence-arousal pad in it, as a person has them in front of them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page

from scripts.browser import READY
from scripts.server import PACK_NAME, QUEUE_SECONDS, START_SECONDS, Server

ROOT = Path(__file__).parents[2]
SCREENSHOTS = ROOT / "output" / "browser"
SETTINGS = {
    "Comfy.TutorialCompleted": True,
    "Comfy.Workflow.ShowMissingModelsWarning": False,
    "Comfy.Minimap.Visible": False,
    "Comfy.ColorPalette": "dark",
    "Comfy.OnboardingCoachmarks.Seen": ["appMode", "firstRun"],
}
DESKTOP = {"viewport": {"width": 1400, "height": 900}}
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
PADS = {
    "EmotiCrafterConditioning": [1, 1, 1, 0, 1, "", "keep", 0],
    "EmotiCrafterCLIP": [1, 1, 1, 0, 1, "", "keep", 0],
    "EmotiCrafterVAEncoder": [],
    "EmotiCrafterRegional": [1, 0],
    "EmotiCrafterValenceArousal": [],
}
"""The nodes that have a pad, and what each saves after the two values, at its defaults."""
TRACKER = "app.extensionManager.workflow.activeWorkflow.changeTracker"
"""ComfyUI's, which keeps the steps that can be undone."""
NODE = "((id) => app.canvas.graph.nodes.find((node) => node.id == id))"

STILL = """async () => {
    const places = () => JSON.stringify([...document.querySelectorAll(".emoticrafter-pad .plane")].map((plane) =>
        plane.getBoundingClientRect()));
    for (let last = null, times = 0; times < 3; times = last === places() ? times + 1 : 0) {
        last = places();
        await new Promise((done) => setTimeout(done, 30));
        await new Promise(requestAnimationFrame);
    }
}"""
"""Wait until no pad moves on the screen any more: Nodes 2.0 lays nodes out some frames after they were made."""

DRAWN = """([selector, count]) => {
    const pictures = [...document.querySelectorAll(`${selector} .fan img`)];
    return pictures.length === count && pictures.every((image) => image.complete && image.naturalWidth > 0);
}"""

# Nodes 2.0 goes on showing a node's old elements when undo has made it anew.
MARK = """(id) => {
    document.querySelectorAll(`[data-test="${id}"]`).forEach((pad) => delete pad.dataset.test);
    const shown = document.querySelector(`[data-node-id="${id}"] .emoticrafter-pad`);
    const { element } = NODE(id).widgets.find((widget) => widget.name === "va_pad");
    (element.isConnected ? element : shown).dataset.test = id;
}""".replace("NODE", NODE)


class Interface:
    """One page of a server's interface.

    Args:
        renderer: "canvas" or "vue" (Nodes 2.0).
        blocked: a file of the pack's that the browser is not given.
        screen: DESKTOP or PHONE.
        script: JavaScript that runs before the page's own.
    """

    def __init__(
        self,
        browser: Browser,
        server: Server,
        renderer: str,
        name: str,
        blocked: str | None = None,
        screen: dict = DESKTOP,
        script: str = "",
    ):
        server.post("/settings", {**SETTINGS, "Comfy.VueNodes.Enabled": renderer == "vue"})
        self.renderer, self.name = renderer, name
        self.touch = screen.get("has_touch", False)
        self.page = browser.new_page(**screen)
        self.page.add_init_script(script)
        self.page.set_default_timeout(60_000)
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self._note)
        if blocked:
            self.page.route(f"**/extensions/**/{blocked}", lambda route: route.abort())
        self.page.goto(server.address, wait_until="commit")
        self.page.wait_for_function(READY, timeout=START_SECONDS * 1000)  # on a busy machine, minutes
        self.page.wait_for_function("(vue) => LiteGraph.vueNodesMode === vue", arg=renderer == "vue")

    def _note(self, message) -> None:
        """The interface has errors of its own with every server; only those about us count."""
        if message.type == "error" and f"extensions/{PACK_NAME}" in message.text + str(message.location):
            self.errors.append(message.text)

    def close(self) -> None:
        self.page.close()

    def screenshot(self, name: str) -> None:
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{self.name}-{self.renderer}-{name}.png")

    # ---- the graph -----------------------------------------------------------------------------------

    def run(self, script: str, argument=None):
        """The result of a JavaScript function in the page."""
        return self.page.evaluate(script, argument)

    def until(self, condition: str, argument=None) -> None:
        """Wait until a JavaScript function gives something true, as the promise of an async one would at once."""
        assert not condition.startswith("async"), condition
        self.page.wait_for_function(condition, arg=argument)

    def load(self, workflow: dict) -> None:
        self.run("(workflow) => app.loadGraphData(workflow)", workflow)

    def clear(self) -> None:
        """An empty graph at zoom 1, with an undo history of its own."""
        # Without the mark, Nodes 2.0 of 2025 enlarges the nodes at every undo, and notes that as a further step.
        drawn_by = {"workflowRendererVersion": "Vue" if self.renderer == "vue" else "LG"}
        empty = {"last_node_id": 0, "last_link_id": 0, "nodes": [], "links": [], "version": 0.4}
        self.load(empty | {"extra": {"ds": {"scale": 1, "offset": [0, 0]}, **drawn_by}})

    def add(self, kind: str, x: int = 300, y: int = 160, **values) -> int:
        """Add a node and give its id."""
        node_id = self.run(
            """([kind, pos, values]) => {
                const node = LiteGraph.createNode(kind);
                node.pos = pos;
                app.canvas.graph.add(node);
                for (const widget of node.widgets) if (widget.name in values) widget.value = values[widget.name];
                const tracker = TRACKER;
                tracker.captureCanvasState ? tracker.captureCanvasState() : tracker.checkState();
                return node.id;
            }""".replace("TRACKER", TRACKER),
            [kind, [x, y], values],
        )
        return node_id

    def connect(self, source: int, output: int, target: int, name: str) -> None:
        self.run(
            f"""([source, output, target, name]) => {{
                const node = {NODE}(target);
                {NODE}(source).connect(output, node, node.inputs.findIndex((input) => input.name === name));
            }}""",
            [source, output, target, name],
        )

    def view(self, scale: float, offset: tuple[float, float]) -> None:
        """Zoom and pan; `offset` is in units of the graph."""
        self.run(
            """([scale, offset]) => {
                Object.assign(app.canvas.ds, { scale, offset });
                app.canvas.setDirty(true, true);
            }""",
            [scale, list(offset)],
        )
        self.settle()

    def settle(self) -> None:
        """Wait until everything has its place."""
        self.run(STILL)

    def values(self, node_id: int) -> tuple[float, float]:
        """(valence, arousal) that a node's widgets hold."""
        pair = f"(id) => ['valence', 'arousal'].map((n) => {NODE}(id).widgets.find((w) => w.name === n).value)"
        return tuple(self.run(pair, node_id))

    def prompt(self) -> dict:
        """What would be queued now, by class name."""
        output = self.run("async () => (await app.graphToPrompt()).output")
        return {node["class_type"]: node["inputs"] for node in output.values()}

    def steps(self) -> int:
        """How many steps can be undone."""
        return self.run(f"() => {TRACKER}.undoQueue.length")

    def undo(self, keys: str = "Control+z") -> None:
        """Press the keys for a step back, or forward, and wait until ComfyUI has taken it and can take another."""
        before = self.page.evaluate_handle(f"() => {TRACKER}.activeState")
        self.page.keyboard.press(keys)
        self.until(f"(before) => {TRACKER}.activeState !== before", before)

    def serialized(self) -> dict:
        """The graph as its file would hold it."""
        return json.loads(self.run("() => JSON.stringify(app.graph.serialize())"))

    # ---- the pad -------------------------------------------------------------------------------------

    def pad(self, node_id: int) -> "Pad":
        """The pad of one node."""
        self.until(f"(id) => {NODE}(id)?.widgets?.some((widget) => widget.name === 'va_pad')", node_id)
        self.settle()
        self.run(MARK, node_id)
        return Pad(self, f'.emoticrafter-pad[data-test="{node_id}"]')

    def pad_of_first_node(self) -> "Pad":
        """The pad of the graph's first node, whichever object and id that is after an undo."""
        return self.pad(self.run("() => app.graph.nodes[0].id"))

    def pad_of_first_pad(self) -> "Pad":
        """The pad of the first node that has one."""
        kinds = list(PADS)
        return self.pad(self.run("(kinds) => app.graph.nodes.find((node) => kinds.includes(node.type)).id", kinds))

    def pad_of_type(self, kind: str) -> "Pad":
        """The pad of the graph's first node of one class."""
        return self.pad(self.run("(kind) => app.graph.nodes.find((node) => node.type === kind).id", kind))


class Pad:
    """Drives one pad with mouse and keyboard, and reads what it shows."""

    def __init__(self, interface: Interface, selector: str):
        self.interface, self.selector = interface, selector
        self.mouse = interface.page.mouse
        self.element = interface.page.locator(selector)
        self.field = self.element.locator(".field")
        self.switch = self.element.get_by_role("switch", name="Run when let go")
        self.look = self.element.locator("button.look")
        self.fan = self.element.locator(".fan")

    def position(self, valence: float, arousal: float) -> tuple[float, float]:
        """The screen's pixel of a point of the plane."""
        box = self.element.locator(".plane").bounding_box()
        x = box["x"] + box["width"] * (valence + 3) / 6
        return x, box["y"] + box["height"] * (3 - arousal) / 6

    def drag(self, start: tuple[float, float], end: tuple[float, float], steps: int = 5) -> None:
        """With the mouse, on a phone with a finger."""
        with self.held(start, end, steps):
            pass

    @contextmanager
    def held(self, start: tuple[float, float], end: tuple[float, float], steps: int = 5) -> Iterator[None]:
        """Dragged from one point to another, and let go at the end of the block."""
        hand = _Finger(self.interface.page) if self.interface.touch else self.mouse
        hand.move(*self.position(*start))
        hand.down()
        hand.move(*self.position(*end), steps=steps)
        yield
        hand.up()

    def click(self, valence: float, arousal: float) -> None:
        self.mouse.click(*self.position(valence, arousal))

    def shows(self, valence: float, arousal: float) -> None:
        """Wait until the pad shows this point, in numbers and on the plane, or fail."""
        text = ", ".join(f"{v:+.2f}".replace("-", "−") if v else "0.00" for v in (valence, arousal))
        left, top = (valence + 3) / 6 * 100, (3 - arousal) / 6 * 100
        self.interface.until(
            """([selector, text, left, top]) => {
                const pad = document.querySelector(selector);
                const point = pad?.querySelector(".point").style;
                return pad?.querySelector(".numbers").textContent === text
                    && Math.abs(parseFloat(point.left) - left) < 0.01
                    && Math.abs(parseFloat(point.top) - top) < 0.01;
            }""",
            [self.selector, text, left, top],
        )

    def is_locked(self) -> None:
        """Wait until the pad tells that it cannot be moved, or fail."""
        self.element.locator(".field[aria-readonly=true]").wait_for()

    def is_on(self) -> None:
        """Wait until letting the point go runs the graph, or fail."""
        self.element.locator("[role=switch][aria-checked=true]").wait_for()

    def is_drawn(self, count: int = 9) -> None:
        """Wait until the pictures round the point are there, all of them, or fail."""
        page = self.interface.page
        page.wait_for_function(DRAWN, arg=[self.selector, count], timeout=QUEUE_SECONDS * 1000)
        self.look.and_(page.get_by_role("button", name="Close")).wait_for()

    def is_free(self) -> None:
        self.element.locator(".field[aria-readonly=false]").wait_for()

    @property
    def name(self) -> str:
        """What the pad calls the point."""
        return self.element.locator(".name").inner_text()


class _Finger:
    """A finger on the screen, moved as Playwright's mouse is."""

    def __init__(self, page: Page):
        self.session = page.context.new_cdp_session(page)
        self.at, self.pressed = (0.0, 0.0), False

    def _send(self, kind: str, *points: tuple[float, float]) -> None:
        touched = [{"x": x, "y": y} for x, y in points]
        self.session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touched})

    def move(self, x: float, y: float, steps: int = 1) -> None:
        (left, top), self.at = self.at, (x, y)
        if self.pressed:
            for part in (step / steps for step in range(1, steps + 1)):
                self._send("touchMove", (left + (x - left) * part, top + (y - top) * part))

    def down(self) -> None:
        self.pressed = True
        self._send("touchStart", self.at)

    def up(self) -> None:
        self.pressed = False
        self._send("touchEnd")
