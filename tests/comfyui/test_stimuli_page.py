"""The jsPsych page of a set of pictures in a real browser, from the disk; its ratings become norms."""

import csv

import pytest

from scripts.browser import launched
from tests.comfyui.person import SCREENSHOTS
from tests.stimuli.sets import make_set
from trainer.stimuli.__main__ import main

SEEN = 3
GRID = "pleasantness 7, arousal 2"


@pytest.fixture(scope="module")
def browser():
    with launched() as browser:
        yield browser


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    manifest = make_set(tmp_path_factory.mktemp("stimuli"))
    assert main(["measure", str(manifest)]) == 0
    return manifest


@pytest.fixture
def page_of(browser, measured, tmp_path):
    """Opens the page of an export on a phone; a test that leaves an error behind fails."""
    errors, contexts = [], []

    def open_page(answer: str):
        out = tmp_path / answer
        options = ["--formats", "jspsych", "--answer", answer, "--each", str(SEEN)]
        assert main(["export", str(measured.with_name("norms.csv")), "--out", str(out), *options]) == 0
        contexts.append(browser.new_context(viewport={"width": 360, "height": 740}))
        contexts[-1].set_default_timeout(60_000)
        page = contexts[-1].new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda said: said.type == "error" and errors.append(said.text))
        page.on(
            "request", lambda request: request.url.startswith(("file:", "blob:", "data:")) or errors.append(request.url)
        )
        page.goto((out / "jspsych" / "index.html").as_uri() + "?p=12")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert errors == []


def nine_points(page) -> None:
    page.get_by_role("button", name="Next").click()
    assert page.locator("input:invalid").count() > 0  # nothing is chosen yet, so it stays
    for name, value in (("valence", 7), ("arousal", 2)):
        page.locator(f"input[name={name}][value='{value}']").check()


def sliders(page) -> None:
    thumbs = page.get_by_role("slider")
    assert [thumbs.nth(place).input_value() for place in (0, 1)] == ["5", "5"]
    assert page.get_by_role("button", name="Next").is_disabled()
    page.get_by_label("Unpleasant to Pleasant").fill("7")
    assert page.get_by_role("button", name="Next").is_disabled()
    page.get_by_label("Calm to Stirred").fill("2")


def grid(page) -> None:
    assert page.get_by_role("radio").count() == 81
    page.get_by_role("radio", name=GRID).check()


@pytest.mark.parametrize(
    ("answer", "give"), [("nine-point", nine_points), ("affective-slider", sliders), ("affect-grid", grid)]
)
def test_a_set_is_rated_and_its_ratings_become_norms(page_of, measured, tmp_path, answer, give):
    page = page_of(answer)
    assert "Some pictures may upset you: unpleasant and stirring." in page.locator("body").inner_text()
    page.get_by_role("button", name="Start").click()
    for number in range(SEEN):
        picture = page.get_by_role("img", name="The picture to rate")
        picture.wait_for()
        assert picture.evaluate("(img) => img.decode().then(() => img.naturalWidth)") == 48
        give(page)
        if number == 0:
            page.screenshot(path=SCREENSHOTS / f"stimuli-{answer}.png")
            assert not page.evaluate("document.documentElement.scrollWidth > window.innerWidth")
        if number < SEEN - 1:
            seen = picture.get_attribute("src")
            page.get_by_role("button", name="Next").click()
            page.locator(f"img:not([src='{seen}'])").wait_for()
    with page.expect_download() as download:
        page.get_by_role("button", name="Next").click()
    saved = tmp_path / download.value.suggested_filename
    download.value.save_as(saved)
    assert saved.name == "ratings-12.csv"
    assert page.get_by_role("heading", name="Thank you").is_visible()
    assert main(["measure", str(measured), "--ratings", str(saved)]) == 0
    with measured.with_name("norms.csv").open(encoding="utf-8", newline="") as stream:
        rated = [row for row in csv.DictReader(stream) if row["raters_valence_n"] == "1"]
    assert [(row["raters_valence_mean"], row["raters_arousal_mean"]) for row in rated] == [("7", "2")] * SEEN
