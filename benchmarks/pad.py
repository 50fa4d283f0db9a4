"""What the valence-arousal pad costs in the browser: while it is dragged, and while nobody touches it.

    .venv/bin/python benchmarks/pad.py
    .venv/bin/python benchmarks/pad.py --pads 50 --seconds 10

For each version of ComfyUI's interface and each renderer, with a real server and headless Chromium:
the processor time of one pointer movement, the time between frames during a drag (beside that of a page that only
waits for frames, and as their ratio), how far anything shifted meanwhile (Chromium's layout shift; 0 is none), what
"run when let go" needs from the finger's leaving the pad until the prompt is on its way, and the page's processor time
when idle, with pads on the screen and with the same nodes without. Where the interface has App mode, the drag is
measured there, too, on a desktop and on a phone.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT))

from scripts.browser import NEWEST_FRONTEND, PINNED_FRONTEND, chromium, frontend  # noqa: E402
from scripts.server import Server  # noqa: E402
from tests.comfyui.interface import DESKTOP, PHONE, Interface  # noqa: E402

MOVES = 300
RUNS = 5
STEPS = 120
APP = ROOT / "workflows" / "mood_board_miniature.app.json"

HANDLE = """([selector, moves]) => {
    const field = document.querySelector(selector + " .field");
    const box = field.getBoundingClientRect();
    const send = (type, x, y) => field.dispatchEvent(new PointerEvent(type,
        { pointerId: 1, button: 0, clientX: box.x + x * box.width, clientY: box.y + y * box.height, bubbles: true }));
    field.setPointerCapture = () => {};
    const times = [];
    send("pointerdown", 0.5, 0.5);
    for (let move = 0; move < moves; move++) {
        const angle = move / 7;
        const start = performance.now();
        send("pointermove", 0.5 + 0.4 * Math.cos(angle), 0.5 + 0.4 * Math.sin(angle));
        times.push(performance.now() - start);
    }
    send("pointerup", 0.5, 0.5);
    delete field.setPointerCapture;
    return times;
}"""
FRAMES = """() => {
    window.frameTimes = [];
    let last = performance.now();
    const note = (now) => {
        window.frameTimes.push(now - last);
        last = now;
        window.frameRequest = requestAnimationFrame(note);
    };
    window.frameRequest = requestAnimationFrame(note);
}"""
FRAMES_END = "() => { cancelAnimationFrame(window.frameRequest); return window.frameTimes.slice(2); }"
SHIFTS = """() => {
    window.shift = 0;
    const moved = ({ node }) => node && !(node.closest ? node : node.parentElement)?.closest(".plane"); // but the point
    const add = (list) => list.getEntries().forEach((each) => {
        if (!each.sources.some(moved)) return;
        window.shift += each.value;
        window.shifted = each.sources.map(({ node }) => node?.className ?? node?.textContent);
    });
    new PerformanceObserver(add).observe({ type: "layout-shift" });
}"""
LET_GO = "() => addEventListener('pointerup', () => (window.letGo = performance.now()), { capture: true, once: true })"
SENT = """() => {
    const { fetch } = window;
    window.fetch = function (address, options) {
        if (options?.method !== "POST" || !String(address.url ?? address).endsWith("/prompt"))
            return fetch.apply(this, arguments);
        window.sent = performance.now();
        return Promise.resolve(Response.json({ prompt_id: "none", number: 1, node_errors: {} }));
    };
}"""


def frame_times(ui: Interface, work) -> list[float]:
    """Milliseconds between frames while `work()` runs."""
    ui.run(FRAMES)
    work()
    return ui.run(FRAMES_END)


def drag(ui: Interface, pad) -> str:
    """What a drag costs: frames, and what shifts."""
    waiting = frame_times(ui, lambda: time.sleep(2))
    ui.run(SHIFTS)
    dragging = frame_times(ui, lambda: pad.drag((-2, 2), (2, -2), steps=STEPS))
    late, usual = (statistics.quantiles(times, n=20)[-1] for times in (dragging, waiting))
    return (
        f"frames: waiting {statistics.median(waiting):.1f} ms (95 %: {usual:.1f}),"
        f" dragging {statistics.median(dragging):.1f} ms (95 %: {late:.1f}),"
        f" ratio {statistics.median(dragging) / statistics.median(waiting):.2f} ({late / usual:.2f});"
        f" shift {ui.run('() => window.shift'):.4f}"
    )


def queueing(ui: Interface, pad) -> float:
    """Milliseconds from letting the point go until the prompt is sent, the median of RUNS."""
    ui.run(SENT)
    times = []
    for run in range(RUNS):
        ui.run(LET_GO)
        ui.run("() => { window.sent = null; }")
        pad.drag((0, 0), (1 + run / 10, -1))
        ui.until("() => window.sent")
        times.append(ui.run("() => window.sent - window.letGo"))
    return statistics.median(times)


def measure_app(browser, server, version: str) -> None:
    for name, screen in (("desktop", DESKTOP), ("phone", PHONE)):
        ui = Interface(browser, server, "canvas", version, screen=screen)
        workflow = json.loads(APP.read_text("utf-8"))
        ui.run("(workflow) => app.loadGraphData(workflow, true, true, 'mood.app')", workflow)
        if ui.touch:
            ui.page.get_by_role("tab", name="Edit & Run").tap()
        ui.page.locator(".emoticrafter-pad").wait_for()
        pad = ui.pad_of_type("EmotiCrafterConditioning")
        latency = queueing(ui, pad)
        pad.switch.click()
        print(f"{version} App mode, {name}  {drag(ui, pad)}  let go to sent {latency:.0f} ms", flush=True)
        ui.close()


def busy(ui: Interface, seconds: float) -> float:
    """The page's processor time, in milliseconds a second, while nobody does anything."""
    session = ui.page.context.new_cdp_session(ui.page)
    session.send("Performance.enable")

    def total() -> float:
        metrics = {each["name"]: each["value"] for each in session.send("Performance.getMetrics")["metrics"]}
        return metrics["TaskDuration"]

    time.sleep(1.5)  # what loading left to do
    before = total()
    time.sleep(seconds)
    used = (total() - before) * 1000 / seconds
    session.detach()
    return used


def add_nodes(ui: Interface, count: int) -> list[int]:
    """A block of nodes that all fit on the screen."""
    ui.clear()
    nodes = [ui.add("EmotiCrafterVAEncoder", x=300 * (i % 6), y=420 * (i // 6)) for i in range(count)]
    ui.view(min(0.7, 1.7 / -(-count // 6)), (80, 130))
    return nodes


def measure(browser, server, version: str, renderer: str, pads: int, seconds: float) -> None:
    ui = Interface(browser, server, renderer, version)
    ui.clear()
    pad = ui.pad(ui.add("EmotiCrafterConditioning"))
    handled = ui.run(HANDLE, [pad.selector, MOVES])
    frames = drag(ui, pad)
    pad.switch.click()
    latency = queueing(ui, pad)
    add_nodes(ui, pads)
    with_pads = busy(ui, seconds)
    ui.close()
    ui = Interface(browser, server, renderer, version, blocked="va_nodes.js")
    add_nodes(ui, pads)
    without = busy(ui, seconds)
    ui.close()
    print(
        f"{version} {renderer:6}  one movement {statistics.median(handled):.2f} ms  {frames}"
        f"  let go to sent {latency:.0f} ms  idle: {pads} pads {with_pads:.1f} ms/s, without {without:.1f} ms/s",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pads", type=int, default=12, help="nodes on the screen when idle (%(default)s)")
    parser.add_argument("--seconds", type=float, default=5, help="of each idle measurement (%(default)s)")
    options = parser.parse_args()
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"]) as browser,
    ):
        for version in (PINNED_FRONTEND, NEWEST_FRONTEND):
            own = () if version == PINNED_FRONTEND else ("--front-end-root", str(frontend(version)))
            with tempfile.TemporaryDirectory() as base, Server(Path(base), arguments=own) as server:
                for renderer in ("canvas", "vue"):
                    measure(browser, server, version, renderer, options.pads, options.seconds)
                if version != PINNED_FRONTEND:
                    measure_app(browser, server, version)


if __name__ == "__main__":
    main()
