"""Somebody who takes part in a user study: its page in a real browser, as a person has it in front of them."""

import json
import re
from pathlib import Path

from trainer.study.key import load_key

SCREENSHOTS = Path(__file__).parents[2] / "output" / "browser"
# What the browser keeps for the study, in order; nothing where it is not allowed to.
KEPT = "() => { try { return JSON.stringify(Object.entries(localStorage).sort()); } catch { return ''; } }"
SIZES = {"phone": (360, 740), "desktop": (1280, 800)}


class Person:
    """Somebody in front of the page, with a finger on the phone and a mouse on the desktop."""

    def __init__(self, browser, folder: Path, device: str, script: str = ""):
        width, height = SIZES[device]
        self.touch, self.device, self.folder = device == "phone", device, folder
        self.values = {name: p.valence + p.arousal for name, p in load_key(folder).pictures.items()}
        self.context = browser.new_context(
            viewport={"width": width, "height": height}, has_touch=self.touch, is_mobile=self.touch
        )
        self.context.set_default_timeout(60_000)
        if script:
            self.context.add_init_script(f"({script})()")
        self.errors: list[str] = []
        self.page = None
        self.open()

    def open(self, query: str = "?p=1") -> None:
        """Open the study in a new tab, and close the one before: it would go on reacting to what is kept."""
        address = (self.folder / "page" / "index.html").as_uri() + query
        earlier, self.page = self.page, self.context.new_page()
        if earlier and not earlier.is_closed():
            # Tabs are processes: what one of them keeps reaches another a moment later. That goes both ways: the new
            # tab tries at once whether it may keep anything, so the earlier one is asked before.
            kept = earlier.evaluate(KEPT)
            self.page.goto(address)
            self.page.wait_for_function(f"(kept) => ({KEPT})() === kept", arg=kept)
            earlier.close()
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda said: said.type == "error" and self.errors.append(said.text))
        self.page.on("request", lambda request: self._note(request.url))
        self.page.goto(address)

    def _note(self, address: str) -> None:
        if not address.startswith(("file:", "data:", "blob:")):
            self.errors.append(f"asked for {address}")

    def button(self, name: str):
        return self.page.get_by_role("button", name=name, exact=True)

    def press(self, name: str) -> None:
        self.button(name).tap() if self.touch else self.button(name).click()

    def agree(self) -> None:
        self.page.get_by_role("checkbox").check()
        self.press("Start")

    @property
    def heading(self) -> str:
        return self.page.get_by_role("heading").inner_text()

    @property
    def notice(self) -> str:
        return self.page.get_by_role("alert").inner_text()

    @property
    def warned(self) -> bool:
        return self.page.get_by_text("This browser does not keep your answers").is_visible()

    def screenshot(self, name: str) -> None:
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.wait_for_function("() => [...document.images].every((image) => image.complete)")
        self.page.screenshot(path=SCREENSHOTS / f"study-{self.device}-{name}.png")

    # ---- tasks ---------------------------------------------------------------------------------------

    def go_to(self, kind: str | None) -> int:
        """Answer until the first task of a kind (None: to the end), past its instructions; gives its number."""
        while True:
            if self.button("Start this part").count():
                self.press("Start this part")
            at, found, check = self.page.evaluate(
                "[session.at, tasks[session.at]?.kind ?? null, tasks[session.at]?.check ?? null]"
            )
            if found == kind and check is None:
                return at
            self.answer(found, check)
            self.press("Next")

    def answer(self, kind: str, check: str | int | None) -> None:
        """Answer what is shown as somebody does who sees what was asked for."""
        if kind in ("practice", "order"):
            self.sort()
        elif kind == "estimate":
            words = (check or "top right").split()
            self.estimate(2 if words[1] == "right" else -2, 2 if words[0] == "top" else -2)
        else:
            self.page.locator(".choices label").nth((check or 4) - 1).click()

    def order(self) -> list[str]:
        """File names of the pictures as they lie; of the practice's squares, their addresses."""
        return self.page.evaluate(
            "[...document.querySelectorAll('.pictures img')].map((image) => image.src.split('/').pop())"
        )

    def sort(self) -> None:
        """Put the pictures in the right order with the keyboard."""
        names = self.order()
        for target, name in enumerate(sorted(names, key=self.value)):
            place = self.order().index(name)
            picture = self.page.locator(".pictures .picture").nth(place)
            picture.focus()
            for _ in range(place - target):
                self.page.keyboard.press("ArrowUp")  # the focus goes with the picture

    def value(self, name: str) -> float:
        """Valence or arousal of a series' picture (the other one is 0); brightness of a square."""
        grey = re.search(r"%23(\w)", name)
        return int(grey[1], 16) if grey else self.values[name]

    def place(self, valence: float, arousal: float) -> tuple[float, float]:
        """The screen's pixel of a point of the field, or of the grid's squares."""
        box = self.page.locator(".field, .cells").bounding_box()
        return box["x"] + box["width"] * (valence + 3) / 6, box["y"] + box["height"] * (3 - arousal) / 6

    def estimate(self, valence: float, arousal: float) -> None:
        """On whatever stands beside the picture."""
        sliders = self.page.locator(".affective input").all()
        for slider, value in zip(sliders, (valence, arousal), strict=False):
            box = slider.bounding_box()
            self.tap(box["x"] + box["width"] * (value + 3) / 6, box["y"] + box["height"] / 2)
        if not sliders:
            self.point(valence, arousal)

    def point(self, valence: float, arousal: float) -> None:
        self.tap(*self.place(valence, arousal))

    def tap(self, x: float, y: float) -> None:
        self.page.touchscreen.tap(x, y) if self.touch else self.page.mouse.click(x, y)

    def centre(self, place: int) -> tuple[float, float]:
        box = self.page.locator(".pictures .picture").nth(place).bounding_box()
        return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def drag(self, start: tuple[float, float], end: tuple[float, float], drop: bool = True) -> None:
        """With finger or mouse; without `drop`, a call comes in between (finger only)."""
        parts = [step / 8 for step in range(1, 9)]
        path = [(start[0] + (end[0] - start[0]) * t, start[1] + (end[1] - start[1]) * t) for t in parts]
        if self.touch:
            finger = self.context.new_cdp_session(self.page)
            for kind, point in [("touchStart", start), *(("touchMove", point) for point in path)]:
                touched = [{"x": point[0], "y": point[1]}]
                finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touched})
            end_of_it = "touchEnd" if drop else "touchCancel"
            finger.send("Input.dispatchTouchEvent", {"type": end_of_it, "touchPoints": []})
        else:
            self.page.mouse.move(*start)
            self.page.mouse.down()
            for point in path:
                self.page.mouse.move(*point)
            self.page.mouse.up()

    def given(self, task: int):
        """The answer that the page keeps."""
        return self.page.evaluate("(task) => session.answers[task].answer", task)

    def jump_to_the_end(self) -> None:
        self.page.evaluate("() => { session.at = tasks.length; next(); }")

    def save(self, folder: Path) -> dict:
        """Download the answers into a folder."""
        with self.page.expect_download() as download:
            self.press("Save the file")
        path = folder / download.value.suggested_filename
        download.value.save_as(path)
        return json.loads(path.read_text("utf-8"))
