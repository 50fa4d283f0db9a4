"""What the page of a study shows and gives away, and what its key holds."""

import base64
import hashlib
import html
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture
from PIL import PngImagePlugin
from scipy import stats

from tests.study.studies import SETTINGS, images, save
from trainer.core.rows import DataError
from trainer.evaluation.manifest import read_manifest
from trainer.study.key import load_key
from trainer.study.make import make_study
from trainer.study.plan import Amounts


def page_of(study: Path) -> str:
    return (study / "page" / "index.html").read_text("utf-8")


def test_the_page_tells_nothing_of_methods_and_values(study, study_key):
    page = page_of(study)
    for word in ("ours", "rival"):
        assert not re.search(rf"\b{word}\b", page)
    names = sorted(path.name for path in (study / "page" / "images").iterdir())
    assert names == [f"{number:04d}.jpg" for number in range(1, len(names) + 1)]
    assert names == sorted(study_key.pictures)
    plan = json.loads(re.search(r'id="plan">(.*?)</script>', page, re.DOTALL)[1])
    fields = {name for tasks in plan["participants"] for task in tasks for name in task}
    assert fields == {"kind", "images", "axis", "check"}
    shown = [task for tasks in plan["participants"] for task in tasks if task["kind"] == "smoothness"]
    assert not any("axis" in task for task in shown)


def test_the_numbers_of_pictures_do_not_follow_methods_or_values(study_key):
    pictures = [study_key.pictures[name] for name in sorted(study_key.pictures)]
    numbers = range(len(pictures))
    for values in zip(*((p.method == "ours", p.valence, p.arousal) for p in pictures), strict=True):
        assert stats.kendalltau(numbers, values).pvalue > 0.01


def test_the_page_loads_nothing_from_anywhere(study):
    page = page_of(study)
    assert not re.findall(r"""(?:src|href)=["']""", page)
    assert set(re.findall(r"https?://[^\s\"'`<>]+", page)) <= {"http://www.w3.org/2000/svg"}
    policy = html.unescape(re.search(r'Content-Security-Policy" content="(.*?)"', page)[1])
    script = re.search(r"<script>(.*?)</script>", page, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy.startswith("default-src 'none'; ")
    assert f"script-src 'sha256-{digest}'" in policy


def test_the_same_seed_makes_the_same_bytes(study_manifest, study, tmp_path):
    make_study(study_manifest, tmp_path / "again", SETTINGS)
    files = sorted(path.relative_to(study) for path in study.rglob("*") if path.is_file())
    assert len(files) > 20
    assert all((study / file).read_bytes() == (tmp_path / "again" / file).read_bytes() for file in files)


def test_pictures_lose_what_is_written_in_them_and_keep_what_they_show(tmp_path):
    found = images(contents=2)
    manifest = save(found, tmp_path)
    note = PngImagePlugin.PngInfo()
    note.add_text("prompt", "secret workflow of ours")
    for image in read_manifest(manifest):
        Picture.new("RGBA", (300, 150), (200, 30, 30, 255)).save(image.path, pnginfo=note)
    make_study(manifest, tmp_path / "study", replace(SETTINGS, amounts=Amounts(1, 1, 1, 1), image_size=100))
    for path in (tmp_path / "study" / "page" / "images").iterdir():
        assert b"secret" not in path.read_bytes()
        with Picture.open(path) as picture:
            assert picture.size == (100, 50)
            assert np.abs(np.array(picture.getpixel((50, 25))) - (200, 30, 30)).max() < 8


def test_one_file_holds_everything(study_manifest, tmp_path):
    make_study(study_manifest, tmp_path / "study", replace(SETTINGS, single_file=True))
    assert [path.name for path in (tmp_path / "study" / "page").iterdir()] == ["index.html"]
    plan = json.loads(re.search(r'id="plan">(.*?)</script>', page_of(tmp_path / "study"), re.DOTALL)[1])
    assert all(source.startswith("data:image/jpeg;base64,") for source in plan["sources"].values())
    used = {image for tasks in plan["participants"] for task in tasks for image in task["images"]}
    assert used == plan["sources"].keys()


def test_texts_stay_texts(tmp_path):
    evil = "</script><script>alert(1)</script>{{script}}"
    manifest = save([replace(image, prompt=f"{evil} {image.seed}") for image in images(contents=4)], tmp_path)
    make_study(manifest, tmp_path / "study", replace(SETTINGS, title=evil, consent=f"{evil} {{minutes}}\n\nTwo"))
    page = page_of(tmp_path / "study")
    assert page.count("<script") == 2
    plan = json.loads(re.search(r'id="plan">(.*?)</script>', page, re.DOTALL)[1])
    assert plan["title"] == evil
    assert re.fullmatch(re.escape(evil) + r" \d+", plan["consent"][0])
    assert plan["consent"][1] == "Two"


def test_a_study_that_is_there_is_never_changed(study_manifest, study):
    before = page_of(study)
    with pytest.raises(DataError, match="exists already, and a study must not change"):
        make_study(study_manifest, study, replace(SETTINGS, seed=5))
    assert page_of(study) == before


def test_a_page_without_a_head_is_refused(study_manifest, tmp_path):
    with pytest.raises(DataError, match="--title is empty"):
        make_study(study_manifest, tmp_path / "study", replace(SETTINGS, title=" "))
    assert not (tmp_path / "study").exists()


def test_every_unreadable_image_is_named_and_nothing_is_written(tmp_path):
    manifest = save(images(), tmp_path)
    for image in read_manifest(manifest):
        image.path.write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"images cannot be read\n.*cannot be read as an image(.*\n)+.*and \d+ more"):
        make_study(manifest, tmp_path / "study", SETTINGS)
    assert not list(tmp_path.glob("*study*"))


def test_a_key_that_was_changed_is_refused(study, tmp_path):
    text = (study / "key.json").read_text("utf-8")
    changed = tmp_path / "key.json"
    changed.write_text(text.replace('"ours"', '"mine"', 1), "utf-8")
    with pytest.raises(DataError, match="was changed after it was written"):
        load_key(changed)
    for broken in ("{}", "[", '{"format": "emoticrafter-study-key"}', text.replace('"kind"', '"sort"', 1)):
        changed.write_text(broken, "utf-8")
        with pytest.raises(DataError, match=r"not the key of a study. Expected the key\.json"):
            load_key(changed)
