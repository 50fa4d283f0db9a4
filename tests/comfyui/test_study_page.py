"""The page of a user study in a real browser, on a phone and on a desktop; it needs no server."""

import json
import re
from pathlib import Path

import pytest
from PIL import Image as Picture

from scripts.browser import launched
from trainer.manifest import Image, write_manifest
from trainer.study.analyse import analyse
from trainer.study.answers import read_answers
from trainer.study.key import load_key
from trainer.study.make import StudySettings, make_study
from trainer.study.plan import Amounts

SCREENSHOTS = Path(__file__).parents[2] / "output" / "browser"
VALUES = (-3.0, -1.5, 0.0, 1.5, 3.0)
AMOUNTS = Amounts(order=1, estimate=2, consistency=1, smoothness=1)
SIZES = {"phone": (360, 740), "desktop": (1280, 800)}
KEEPING_MS = 500
"""What Chromium may take to hand on what a page keeps; under load a page that is reloaded at once misses it."""
FORBIDDEN = """() => Object.defineProperty(window, "localStorage", {
    get() { throw new DOMException("no", "SecurityError"); },
})"""
FULL = """() => { Storage.prototype.setItem = () => { throw new DOMException("full", "QuotaExceededError"); }; }"""
NO_CLIPBOARD = """() => {
    Document.prototype.execCommand = () => false;
    delete Navigator.prototype.clipboard;
}"""


@pytest.fixture(scope="module")
def browser():
    with launched() as browser:
        yield browser


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A study of plain pictures, redder the more pleasant and bluer the more stirring they are asked to be."""
    images, folder = [], tmp_path_factory.mktemp("images")
    for method in ("ours", "rival"):
        for number in range(4):
            for v, a in [(v, 0.0) for v in VALUES] + [(0.0, a) for a in VALUES if a]:
                name = f"{method}{number}{v:+g}{a:+g}"
                colour = (128 + int(40 * v), 128, 128 + int(40 * a))
                Picture.new("RGB", (96, 96), colour).save(folder / f"{name}.png")
                images.append(
                    Image(Path(f"{name}.png"), f"Prompt <b>{number}</b>", v, a, number, method, name)
                )
    write_manifest(folder / "manifest.jsonl", images)
    settings = StudySettings(participants=8, amounts=AMOUNTS, contact="Anna (anna@example.org)")
    make_study(folder / "manifest.jsonl", folder / "study", settings)
    return folder / "study"


@pytest.fixture(scope="module")
def key(folder):
    return load_key(folder)


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
        earlier, self.page = self.page, self.context.new_page()
        if earlier:
            earlier.close()
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda said: said.type == "error" and self.errors.append(said.text))
        self.page.on("request", lambda request: self._note(request.url))
        self.page.goto((self.folder / "page" / "index.html").as_uri() + query)

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
            self.point(2 if words[1] == "right" else -2, 2 if words[0] == "top" else -2)
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
        """The screen's pixel of a point of the field."""
        box = self.page.locator(".field").bounding_box()
        return box["x"] + box["width"] * (valence + 3) / 6, box["y"] + box["height"] * (3 - arousal) / 6

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


@pytest.fixture(params=SIZES)
def person(browser, folder, request):
    """Somebody who has not agreed yet; a test that leaves an error behind fails."""
    person = Person(browser, folder, request.param)
    yield person
    assert person.errors == []
    person.context.close()


@pytest.fixture
def somebody(browser, folder):
    """Like `person`, on a phone, in a browser that a script has changed."""
    people = []

    def make(script: str = "") -> Person:
        people.append(Person(browser, folder, "phone", script))
        return people[-1]

    yield make
    for person in people:
        assert person.errors == []
        person.context.close()


# ---- the whole way -----------------------------------------------------------------------------------


def test_a_study_is_answered_from_consent_to_the_file(person, key, tmp_path):
    person.screenshot("consent")
    assert "about 5 minutes" in person.page.locator("main").inner_text()
    person.press("Start")
    assert person.page.get_by_role("checkbox").evaluate("(box) => box.matches(':invalid')")
    person.agree()
    tasks = key.participants[0]
    for kind in dict.fromkeys(task.kind for task in tasks):
        person.go_to(kind)
        person.screenshot(kind)
        assert not person.page.evaluate("document.documentElement.scrollWidth > window.innerWidth"), kind
        small = "(all) => all.filter((each) => each.offsetHeight && each.offsetHeight < 44).length"
        assert person.page.locator("button").evaluate_all(small) == 0, kind
    person.go_to(None)
    person.screenshot("end")
    assert "send them to Anna (anna@example.org)" in person.page.locator("main").inner_text()
    saved = person.save(tmp_path)
    assert person.page.get_by_text("Saved as answers-1-").is_visible()
    assert (saved["participant"], saved["drawn"], saved["touch"]) == (1, False, person.touch)
    assert [answer["task"] for answer in saved["answers"]] == list(range(len(tasks)))
    answers = read_answers(tmp_path, key)
    [whole] = answers.people
    assert whole.finished and whole.failed == 0 and whole.checks == 2
    measures = analyse(answers, key)["measures"]
    for name, mean in [("a_ranking", 1), ("v_ranking", 1), ("consistency", 4), ("smoothness", 4)]:
        assert [summary["mean"] for summary in measures[name]["methods"].values()] == [mean, mean]


def test_a_reload_goes_on_where_it_was_with_what_was_begun(person, tmp_path):
    person.agree()
    at = person.go_to("order")
    person.page.locator(".pictures .picture").first.press("ArrowDown")
    order = person.order()
    person.page.wait_for_timeout(KEEPING_MS)
    person.page.reload()
    assert person.heading == "Welcome back"
    assert f"You have answered {at} of 15 questions" in person.page.locator("main").inner_text()
    person.press("Go on")
    assert person.order() == order
    person.page.wait_for_timeout(KEEPING_MS)
    person.page.close()
    person.open()  # the next day
    person.press("Go on")
    assert person.order() == order
    person.go_to(None)
    person.page.wait_for_timeout(KEEPING_MS)
    person.page.reload()
    person.press("To the end page")
    assert len(person.save(tmp_path)["answers"]) == 15


# ---- putting in order --------------------------------------------------------------------------------


def test_a_picture_is_dragged_to_its_place(person):
    person.agree()
    person.go_to("order")
    one, two, three, four, five = person.order()
    person.drag(person.centre(0), person.centre(3))
    assert person.order() == [two, three, four, one, five]
    person.drag(person.centre(4), person.centre(0))
    assert person.order() == [five, two, three, four, one]
    dialog = person.page.get_by_role("dialog")
    person.page.keyboard.press("Enter")  # the picture that was dragged has the focus
    dialog.wait_for(timeout=9000)
    person.press("Close")
    person.drag(person.centre(1), person.centre(2))
    assert not dialog.is_visible()  # a drag is no tap
    person.page.wait_for_timeout(600)  # after a drag a finger needs a moment too
    person.tap(*person.centre(2))
    dialog.wait_for(timeout=9000)  # and a tap no drag
    person.screenshot("large")
    person.press("Close")
    assert person.order() == [five, three, two, four, one]
    styles = person.page.locator(".pictures li").evaluate_all("(all) => all.map((li) => li.style.transform)")
    assert styles == [""] * 5


def test_a_drag_that_is_broken_off_changes_nothing(somebody):
    person = somebody()
    person.agree()
    person.go_to("order")
    before = person.order()
    person.drag(person.centre(0), person.centre(3), drop=False)
    assert person.order() == before
    assert person.page.locator(".dragging").count() == 0


def test_a_drag_at_the_edge_scrolls(somebody):
    person = somebody()
    person.page.set_viewport_size({"width": 360, "height": 420})
    person.agree()
    person.go_to("order")
    first = person.order()[0]
    x, y = person.centre(0)
    finger = person.context.new_cdp_session(person.page)

    def touch(kind: str, *points: tuple[float, float]) -> None:
        touched = [{"x": px, "y": py} for px, py in points]
        finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touched})

    touch("touchStart", (x, y))
    touch("touchMove", (x, y + 40))
    touch("touchMove", (x, 410))
    person.page.wait_for_function(
        "() => window.scrollY + window.innerHeight >= document.documentElement.scrollHeight - 1"
    )
    touch("touchEnd")
    assert person.order().index(first) >= 3


def test_keys_and_buttons_move_pictures_and_keep_the_focus(person):
    person.agree()
    person.go_to("order")
    one, two, three, four, five = person.order()
    pictures = person.page.locator(".pictures .picture")
    pictures.first.focus()
    for key in ("ArrowRight", "ArrowDown", "ArrowLeft"):
        person.page.keyboard.press(key)
    assert person.order() == [two, one, three, four, five]
    assert person.page.get_by_text("Picture A is now at place 2 of 5.").count() == 1
    person.page.keyboard.press("End")
    assert person.order() == [two, three, four, five, one]
    assert pictures.last.evaluate("(picture) => picture === document.activeElement")
    person.page.keyboard.press("Enter")
    assert person.page.get_by_role("dialog").is_visible()
    person.page.keyboard.press("Escape")
    person.press("Move picture A one place earlier")
    assert person.order() == [two, three, four, one, five]
    assert person.button("Move picture B one place earlier").is_disabled()
    says = "Picture A, place 4 of 5. Arrow keys move it, Enter shows it large."
    assert person.button(says).count() == 1


def test_an_untouched_order_is_asked_about_once(somebody):
    person = somebody()
    person.agree()
    at = person.go_to("order")
    shown = person.order()
    person.press("Next")
    assert person.notice.startswith("You have not moved a picture.")
    person.press("Next")
    assert person.given(at) == shown
    assert person.page.evaluate("(at) => session.answers[at].moves", at) == 0


def test_the_practice_goes_on_only_when_it_is_right(somebody):
    person = somebody()
    person.agree()
    person.go_to("practice")
    person.press("Next")
    assert person.notice == "Please move the squares first."
    person.page.locator(".pictures .picture").first.press("ArrowDown")
    person.press("Next")
    assert person.notice.startswith("Not quite yet")
    assert not person.button("Skip").is_visible()
    person.sort()
    person.press("Next")
    assert person.heading.startswith("Sort by feeling")


# ---- estimating and rating ---------------------------------------------------------------------------


def test_a_feeling_is_pointed_at_by_tap_drag_and_keys(person):
    person.agree()
    at = person.go_to("estimate")
    person.press("Next")
    assert person.notice == "Please put the point into the field first."
    person.point(1.5, 0.5)
    sliders = [
        person.page.get_by_role("slider", name=name)
        for name in ("Unpleasant to pleasant", "Calm to stirring")
    ]
    assert [slider.input_value() for slider in sliders] == ["1.5", "0.5"]
    person.drag(person.place(1.5, 0.5), person.place(-2, -1))
    assert [slider.input_value() for slider in sliders] == ["-2", "-1"]
    person.drag(person.place(-2, -1), person.place(4, 1))  # beyond the field
    assert [slider.input_value() for slider in sliders] == ["3", "1"]
    sliders[0].press("ArrowLeft")
    sliders[1].press("ArrowUp")
    assert sliders[0].get_attribute("aria-valuetext") == "2.9 of 3, pleasant"
    person.screenshot("estimate-answered")
    person.press("Next")
    assert person.given(at) == [2.9, 1.1]


def test_going_back_changes_an_answer_and_skipping_leaves_none(somebody, tmp_path, key):
    person = somebody()
    person.agree()
    at = person.go_to("estimate")
    assert not person.button("Back").is_visible()  # another part lies behind
    person.point(1, 1)
    person.press("Next")
    person.press("Back")
    assert person.page.get_by_role("slider").first.input_value() == "1"
    person.point(-1, 2)
    person.press("Next")
    rated = person.go_to("consistency")
    person.press("Next")
    assert person.notice == "Please choose a number from 1 to 5 first."
    assert person.page.locator("blockquote").inner_text().startswith("Prompt <b>")
    person.press("Skip")
    assert person.given(at) == [-1, 2]
    assert person.given(rated) is None
    person.jump_to_the_end()
    person.save(tmp_path)
    assert "1 tasks skipped" in " ".join(read_answers(tmp_path, key).notes)


def test_ratings_work_with_the_keyboard(somebody):
    person = somebody()
    person.agree()
    person.go_to("consistency")
    person.page.get_by_role("radio", name="1, not at all").focus()
    person.page.keyboard.press("ArrowRight")
    person.page.keyboard.press("ArrowRight")
    assert person.page.get_by_role("radio", name="3").is_checked()
    group = person.page.get_by_role("group", name="How well does the picture show what these words say?")
    assert group.get_by_role("radio").count() == 5


# ---- what is kept, and where that is forbidden -------------------------------------------------------


@pytest.mark.parametrize("script", [FORBIDDEN, FULL])
def test_without_storage_it_warns_and_the_file_can_be_saved(somebody, key, tmp_path, script):
    person = somebody(script)
    assert person.warned
    person.agree()
    person.go_to("estimate")
    assert person.warned
    person.screenshot("not-kept")
    said = []
    person.page.on("dialog", lambda dialog: (said.append(dialog.type), dialog.dismiss()))
    person.page.close(run_before_unload=True)
    person.page.wait_for_timeout(300)
    assert said == ["beforeunload"]
    person.go_to(None)
    person.save(tmp_path)
    assert read_answers(tmp_path, key).people[0].finished


def test_a_disk_that_fills_up_on_the_way_is_told(somebody, tmp_path):
    person = somebody()
    person.agree()
    at = person.go_to("estimate")
    assert not person.warned
    person.page.evaluate(FULL)
    person.point(1, 1)
    person.press("Next")
    assert person.warned
    person.jump_to_the_end()
    assert {"answer": [1, 1], "moves": 1}.items() <= person.save(tmp_path)["answers"][at].items()


@pytest.mark.parametrize(
    "kept", ["{", "null", "[]", '{"answers": 5}', '{"study": "other", "participant": 1}']
)
def test_damaged_storage_starts_anew(somebody, kept):
    person = somebody()
    person.page.evaluate("(kept) => { localStorage[KEPT + 1] = kept; }", kept)
    person.page.reload()
    person.agree()
    assert person.button("Start this part").is_visible()


def test_people_on_one_device_are_kept_apart_and_can_delete(somebody):
    person = somebody()
    person.agree()
    person.go_to("order")
    person.open("?p=2")
    assert person.heading == "Pictures and feelings"
    assert person.page.get_by_text("You are participant 2.").is_visible()
    person.open("?p=1")
    person.page.on("dialog", lambda dialog: dialog.accept())
    person.press("Delete these answers and start anew")
    assert person.heading == "Pictures and feelings"
    assert person.page.evaluate("localStorage.length") == 0


def test_without_a_number_in_the_link_a_second_person_leaves_the_first_ones_answers(person):
    person.open("")
    person.agree()
    person.go_to("order")
    first = person.page.evaluate("session.participant")
    person.open("")
    assert person.heading == "Welcome back"
    assert person.page.get_by_text(f"You are participant {first}.").is_visible()
    person.screenshot("welcome-back")
    person.press("I am somebody else")
    person.agree()
    person.press("Start this part")
    second = person.page.evaluate("session.participant")
    assert second != first
    person.open("")
    assert person.heading == "Who are you?"
    person.screenshot("who")
    assert person.button(f"Participant {second}: 0 of 15 questions").is_visible()
    at = person.page.evaluate("(first) => keptSession(first).at", first)
    person.press(f"Participant {first}: {at} of 15 questions")
    person.press("Go on")
    assert person.page.evaluate("[session.participant, session.at]") == [first, at]
    person.open(f"?p={first}")  # a link of one's own leaves nothing to ask
    assert person.button("Go on").is_visible() and not person.button("I am somebody else").count()


def test_a_drawn_number_is_one_that_nobody_has(somebody):
    person = somebody()
    person.page.evaluate(
        "() => { for (const n of NUMBERS) if (n !== 5) keepSession(beginSession(n, true)); }"
    )
    sessions = person.page.evaluate("keptSessions().map((kept) => kept.session)")
    person.open("")
    person.press("I am somebody else")
    person.agree()
    assert person.page.evaluate("[session.participant, session.drawn]") == [5, True]
    assert set(sessions) < set(person.page.evaluate("keptSessions().map((kept) => kept.session)"))
    person.open("")
    person.press("I am somebody else")
    person.agree()
    assert person.notice.startswith("All numbers of this study have answers on this device. Please ask Anna")


# ---- numbers, texts, pictures ------------------------------------------------------------------------


@pytest.mark.parametrize("query", ["?p=9", "?p=0", "?p=x", "?p="])
def test_a_wrong_link_is_named(somebody, query):
    person = somebody()
    person.open(query)
    assert person.heading == "This link is not right"
    assert "one of 1 to 8. Please ask Anna" in person.page.locator("main").inner_text()


def test_a_number_is_typed_or_drawn(somebody, tmp_path):
    person = somebody()
    person.open("")
    number = person.page.get_by_label("Your participant number, if you were given one:")
    number.fill("99")
    person.agree()
    assert person.notice == "A participant number is one of 1 to 8. Leave the field empty if you have none."
    number.fill("7")
    person.press("Start")
    assert person.page.evaluate("[session.participant, session.drawn]") == [7, False]
    person.page.evaluate("localStorage.clear()")
    person.open("")
    person.agree()
    participant, drawn = person.page.evaluate("[session.participant, session.drawn]")
    assert 1 <= participant <= 8
    assert drawn


def test_answers_are_copied(somebody):
    person = somebody()
    person.context.grant_permissions(["clipboard-read", "clipboard-write"])
    person.agree()
    person.jump_to_the_end()
    person.press("Copy the answers")
    person.page.get_by_text("Copied. Paste it into a message to Anna").wait_for()
    copied = person.page.evaluate("navigator.clipboard.readText()")
    assert json.loads(copied)["participant"] == 1
    assert copied == person.page.locator("textarea").input_value()


def test_where_copying_is_forbidden_the_text_is_shown(somebody):
    person = somebody(NO_CLIPBOARD)
    person.agree()
    person.jump_to_the_end()
    person.press("Copy the answers")
    person.page.get_by_text("Open the text below, select all of it and copy it yourself").wait_for()
    assert person.page.locator("textarea").is_visible()


def test_missing_pictures_are_told(browser, folder, tmp_path):
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "index.html").write_bytes((folder / "page" / "index.html").read_bytes())
    (tmp_path / "key.json").write_bytes((folder / "key.json").read_bytes())
    person = Person(browser, tmp_path, "phone")
    person.agree()
    person.go_to("estimate")
    person.page.get_by_text(
        'A picture could not be loaded. Is the folder "images" beside this page?'
    ).wait_for()
    person.context.close()


def test_words_stand_out_from_their_ground(somebody):
    person = somebody()
    person.agree()
    assert contrast(person, "#where") > 4.5
    assert contrast(person, "button.main") > 4.5
    person.go_to("estimate")
    assert contrast(person, ".field span") > 4.5
    assert contrast(person, "button.quiet") > 4.5


def contrast(person: Person, selector: str) -> float:
    """As WCAG computes it, of an element's text on the nearest ground that is painted."""
    colours = person.page.locator(selector).first.evaluate(
        """(element) => {
            const ground = (each) => {
                const { backgroundColor: colour } = getComputedStyle(each);
                return colour === "rgba(0, 0, 0, 0)" ? ground(each.parentElement) : colour;
            };
            return [getComputedStyle(element).color, ground(element)];
        }"""
    )
    light = [luminance(*map(int, re.findall(r"\d+", colour)[:3])) for colour in colours]
    return (max(light) + 0.05) / (min(light) + 0.05)


def luminance(*rgb: int) -> float:
    linear = [v / 255 / 12.92 if v <= 10 else ((v / 255 + 0.055) / 1.055) ** 2.4 for v in rgb]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
