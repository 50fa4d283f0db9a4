"""pyproject.toml says what pip installs, and what registries show: addresses, pictures and licences."""

import re
import sys
from pathlib import Path

from fontTools.ttLib import TTFont
from packaging.licenses import canonicalize_license_expression
from PIL import Image

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PROJECT, COMFY = PYPROJECT["project"], PYPROJECT["tool"]["comfy"]


def test_every_address_is_in_the_repository_and_leads_to_a_file():
    repository = PROJECT["urls"]["Repository"]
    for address in (*PROJECT["urls"].values(), COMFY["Icon"], COMFY["Banner"]):
        assert address.startswith(repository)
        _, branch, path = address.removeprefix(repository).partition("/main/")
        assert not branch or (ROOT / path).is_file(), address


def test_the_pictures_have_the_shapes_that_the_registry_asks_for():
    with Image.open(ROOT / COMFY["Icon"].partition("/main/")[2]) as icon:
        assert icon.width == icon.height <= 400
    with Image.open(ROOT / COMFY["Banner"].partition("/main/")[2]) as banner:
        assert banner.width * 9 == banner.height * 21


def test_every_licence_in_the_repository_is_named():
    expression = PROJECT["license"]
    assert canonicalize_license_expression(expression) == expression
    rooms = (ROOT, *(ROOT / name for name in ("emoticrafter", "miniature", "nodes", "trainer", "web")))
    found = {path for room in rooms for path in (room.glob("*") if room == ROOT else room.rglob("*"))}
    assert {path for path in found if "LICENSE" in path.name} == {ROOT / name for name in PROJECT["license-files"]}
    titles = {"Apache License": "Apache-2.0", "SIL OPEN FONT LICENSE Version 1.1": "OFL-1.1", "MIT License": "MIT"}
    texts = [(ROOT / name).read_text("utf-8") for name in PROJECT["license-files"]]
    named = [next(name for title, name in titles.items() if title in text) for text in texts]
    assert " AND ".join(dict.fromkeys(named)) == expression


def test_the_fonts_licence_names_the_version_that_the_font_has():
    fonts = ROOT / "emoticrafter" / "figures" / "fonts"
    version = TTFont(fonts / "Inter-Regular.otf")["name"].getDebugName(5)
    number = re.fullmatch(r"Version ([0-9.]+);git-[0-9a-f]+", version).group(1)
    assert f"Inter Regular {number} " in (fonts / "Inter-LICENSE.txt").read_text("utf-8")


def test_every_package_is_installed():
    found = {path.parent for room in ("emoticrafter", "trainer") for path in (ROOT / room).rglob("__init__.py")}
    packages = PYPROJECT["tool"]["setuptools"]["packages"]
    assert sorted(packages) == sorted(".".join(path.relative_to(ROOT).parts) for path in found)
