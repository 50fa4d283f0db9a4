"""The page of a user study in a real browser, on a phone and on a desktop; it needs no server."""

import json
import re
from itertools import product
from pathlib import Path

import pytest
from PIL import Image as Picture

from scripts.browser import launched
from tests.comfyui.person import SIZES, Person
from trainer.evaluation.manifest import Image, write_manifest
from trainer.study.analyse import analyse
from trainer.study.answers import read_answers
from trainer.study.key import SCALES, load_key
from trainer.study.make import StudySettings, make_study
from trainer.study.plan import Amounts, minutes

VALUES = (-3.0, -1.5, 0.0, 1.5, 3.0)
AMOUNTS = Amounts(order=1, estimate=2, consistency=1, smoothness=1)
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
            for v, a in product(VALUES, VALUES):
                name = f"{method}{number}{v:+g}{a:+g}"
                colour = (128 + int(40 * v), 128, 128 + int(40 * a))
                Picture.new("RGB", (96, 96), colour).save(folder / f"{name}.png")
                images.append(Image(Path(f"{name}.png"), f"Prompt <b>{number}</b>", v, a, number, method, name))
    write_manifest(folder / "manifest.jsonl", images)
    settings = StudySettings(participants=8, amounts=AMOUNTS, contact="Anna (anna@example.org)")
    make_study(folder / "manifest.jsonl", folder / "study", settings)
    return folder / "study"


@pytest.fixture(scope="module", params=SCALES)
def scaled(folder, request):
    """The same pictures, estimated with one of the scales; its folder and its name."""
    settings = StudySettings(participants=8, amounts=AMOUNTS, answer=request.param)
    made = folder.with_name(request.param)
    make_study(folder.with_name("manifest.jsonl"), made, settings)
    return made, request.param


@pytest.fixture(scope="module")
def key(folder):
    return load_key(folder)


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
    assert f"about {minutes(key.participants)} minutes" in person.page.locator("main").inner_text()
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
    dialog.wait_for()
    person.press("Close")
    person.drag(person.centre(1), person.centre(2))
    assert not dialog.is_visible()  # a drag is no tap
    person.page.wait_for_timeout(600)  # after a drag a finger needs a moment too
    person.tap(*person.centre(2))
    dialog.wait_for()  # and a tap no drag
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
    sliders = [person.page.get_by_role("slider", name=name) for name in ("Unpleasant to pleasant", "Calm to stirring")]
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


@pytest.mark.parametrize("device", SIZES)
def test_every_scale_is_answered_read_and_counted(browser, scaled, device, tmp_path):
    folder, scale = scaled
    person = Person(browser, folder, device)
    person.agree()
    person.go_to("estimate")
    person.screenshot(f"estimate-{scale}")
    assert not person.page.evaluate("document.documentElement.scrollWidth > window.innerWidth")
    assert person.page.evaluate("document.documentElement.scrollHeight <= window.innerHeight"), "all of it is in view"
    person.go_to(None)
    person.save(tmp_path)
    answers = read_answers(tmp_path, load_key(folder))
    [whole] = answers.people
    assert whole.finished and whole.failed == 0 and whole.checks == 2
    estimates = [answer for task, answer in whole.given if task.kind == "estimate"]
    assert len(estimates) == 4 and all(abs(value - 2) < 0.5 for answer in estimates for value in answer)
    assert person.errors == []
    person.context.close()


@pytest.mark.parametrize("scaled", ["affective-slider"], indirect=True)
def test_both_sliders_begin_in_the_middle_and_one_that_stays_there_is_asked_about(browser, scaled):
    person = Person(browser, scaled[0], "desktop")
    person.agree()
    at = person.go_to("estimate")
    names = ("Unpleasant to pleasant", "Calm to stirring")
    sliders = [person.page.get_by_role("slider", name=name) for name in names]
    assert [slider.input_value() for slider in sliders] == ["0", "0"]
    sliders[1].press("End")
    for _ in range(2):
        sliders[1].press("ArrowLeft")
    assert sliders[1].get_attribute("aria-valuetext") == "96 percent stirring"
    person.press("Next")
    assert person.notice == "A slider has not been moved. If its middle is what you mean, press Next again."
    person.page.wait_for_timeout(KEEPING_MS)
    person.page.reload()
    person.press("Go on")
    assert [slider.input_value() for slider in sliders] == ["0", "2.88"]
    person.press("Next")
    person.press("Next")
    assert person.given(at) == [0, 2.88]
    assert person.errors == []
    person.context.close()


@pytest.mark.parametrize("scaled", ["affect-grid"], indirect=True)
def test_a_square_is_chosen_by_tap_and_keys(browser, scaled):
    person = Person(browser, scaled[0], "phone")
    person.agree()
    at = person.go_to("estimate")
    person.press("Next")
    assert person.notice == "Please choose a square first."
    assert person.page.get_by_role("radio").count() == 81
    person.point(-3 + 0.1, 3 - 0.1)
    assert person.page.get_by_role("radio", name="pleasant 1 of 9, stirring 9 of 9").is_checked()
    for key in ("ArrowUp", "ArrowRight", "ArrowDown", "ArrowDown"):
        person.page.keyboard.press(key)
    person.screenshot("grid-answered")
    person.press("Next")
    assert person.given(at) == [-2.25, 1.5]
    person.press("Back")
    assert person.page.get_by_role("radio", name="pleasant 2 of 9, stirring 7 of 9").is_checked()
    assert person.errors == []
    person.context.close()


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
    assert person.page.get_by_role("button", name="Picture in row").count() == 25
    assert person.page.get_by_text("more pleasant →").is_visible()
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
    group = person.page.get_by_role("group", name="How well do the pictures change as the arrows say?")
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
    with person.page.expect_event("dialog"):
        person.page.close(run_before_unload=True)
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


@pytest.mark.parametrize("kept", ["{", "null", "[]", '{"answers": 5}', '{"study": "other", "participant": 1}'])
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
    person.page.evaluate("() => { for (const n of NUMBERS) if (n !== 5) keepSession(beginSession(n, true)); }")
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
    person.page.get_by_text('A picture could not be loaded. Is the folder "images" beside this page?').wait_for()
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
