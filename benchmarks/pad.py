"""What the valence-arousal pad costs in the browser: while it is dragged, and while nobody touches it.

    .venv/bin/python benchmarks/pad.py
    .venv/bin/python benchmarks/pad.py --pads 50 --seconds 10

For each version of ComfyUI's interface and each renderer, with a real server and headless Chromium:
the processor time of one pointer movement, the time between frames during a drag (beside that of a page that only
waits for frames), and the page's processor time when idle, with pads on the screen and with the same nodes without.
"""

from __future__ import annotations

import argparse
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
from tests.comfyui.interface import Interface  # noqa: E402

MOVES = 300

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


def frame_times(ui: Interface, work) -> list[float]:
    """Milliseconds between frames while `work()` runs."""
    ui.run(FRAMES)
    work()
    return ui.run(FRAMES_END)


def drag_round(ui: Interface, pad) -> None:
    ui.page.mouse.move(*pad.position(0, 0))
    ui.page.mouse.down()
    for step in range(40):
        ui.page.mouse.move(*pad.position(-2 + step / 10, 2 - step / 10), steps=3)
    ui.page.mouse.up()


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
    waiting = frame_times(ui, lambda: time.sleep(2))
    dragging = frame_times(ui, lambda: drag_round(ui, pad))
    add_nodes(ui, pads)
    with_pads = busy(ui, seconds)
    ui.close()
    ui = Interface(browser, server, renderer, version, blocked="va_nodes.js")
    add_nodes(ui, pads)
    without = busy(ui, seconds)
    ui.close()
    late = statistics.quantiles(dragging, n=20)[-1]
    print(
        f"{version} {renderer:6}  one movement {statistics.median(handled):.2f} ms"
        f"  frames: waiting {statistics.median(waiting):.1f} ms, dragging {statistics.median(dragging):.1f} ms"
        f" (95 %: {late:.1f} ms)  idle: {pads} pads {with_pads:.1f} ms/s, without {without:.1f} ms/s",
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


if __name__ == "__main__":
    main()
