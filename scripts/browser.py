"""The browser and the second interface that the browser tests use: find them, and fetch what is missing.

    python scripts/browser.py          # install Chromium if it is missing (Debian and Ubuntu, as root)

CHROMIUM names another browser of that family (Chrome, Edge); otherwise PATH is searched. Standard library only.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT))

from scripts.installation import CACHE, SetupError, comfyui_folder, python_in  # noqa: E402

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "microsoft-edge")
PACKAGE = "chromium"
WITHOUT = "Without a browser, make test-fast runs lint and the fast tests."

PINNED_FRONTEND = "1.32.9"
"""The interface that the packaged ComfyUI brings; a server shows its own by itself."""
NEWEST_FRONTEND = "1.58.1"
FRONTEND_SHA256 = "37912597537a731a8f421179618a736c24184c5bdbfa327f38b2fb7c291852d9"

READY = """() => window.LiteGraph?.registered_node_types?.EmotiCrafterConditioning !== undefined
    && !!window.app?.extensionManager?.workflow?.activeWorkflow?.changeTracker"""
"""JavaScript: the interface has loaded the graph that it starts with."""


# ---- Chromium --------------------------------------------------------------------------------------


def find_chromium() -> Path | None:
    """The browser that CHROMIUM names, or the first on PATH. Raises SetupError if CHROMIUM is not a file."""
    own = os.environ.get("CHROMIUM")
    if own and not Path(own).is_file():
        raise SetupError(f"CHROMIUM is {own}, which is not a file; set it to a browser's executable.")
    found = own or next(filter(None, map(shutil.which, NAMES)), None)
    return Path(found) if found else None


def chromium() -> Path:
    """The browser's executable. Raises SetupError with what to do if there is none."""
    found = find_chromium()
    if found is None:
        raise SetupError(
            f"The browser tests need Chromium, and none of {', '.join(NAMES)} is on PATH.\n"
            f"Install it (Debian, Ubuntu: sudo apt-get install {PACKAGE}), or set CHROMIUM to the executable of "
            f"Chromium, Chrome or Edge.\n{WITHOUT}"
        )
    return found


@contextmanager
def launched() -> Iterator[Browser]:
    """Chromium, driven by Playwright; one at a time in a process."""
    from playwright.sync_api import sync_playwright

    with (
        sync_playwright() as playwright,
        # Chromium's sandbox does not start as root, and the only pages are this project's own.
        playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"]) as browser,
    ):
        yield browser


def install_chromium() -> Path:
    """Install Chromium with apt-get if it is missing. Raises SetupError if that is not possible."""
    if find_chromium() is None and shutil.which("apt-get") and os.geteuid() == 0:
        _apt_get("update")
        _apt_get("install", "--yes", "--no-install-recommends", PACKAGE)
    return chromium()


def _apt_get(*arguments: str) -> None:
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(["apt-get", "-qq", *arguments], env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SetupError(f"apt-get {arguments[0]} failed:\n{done.stdout[-1000:]}{done.stderr[-2000:]}\n{WITHOUT}")


# ---- the interface ---------------------------------------------------------------------------------


def bundled_frontend() -> str:
    """The version of the interface that the ComfyUI in use brings."""
    requirements = (comfyui_folder() / "requirements.txt").read_text(encoding="utf-8")
    return re.search(r"^comfyui-frontend-package==([\d.]+)", requirements, re.MULTILINE)[1]


def frontend(version: str = NEWEST_FRONTEND) -> Path:
    """The folder of ComfyUI's interface, for `--front-end-root`; fetched from PyPI on the first call."""
    folder = CACHE / f"frontend-{version}"
    if not (folder / "index.html").is_file():
        CACHE.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as temporary:
            wheel = _download(f"comfyui-frontend-package=={version}", Path(temporary))
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(temporary)
            shutil.rmtree(folder, ignore_errors=True)
            (Path(temporary) / "comfyui_frontend_package" / "static").replace(folder)
    return folder


def _download(requirement: str, folder: Path) -> Path:
    command = [str(python_in(ROOT / ".venv")), "-m", "pip", "download", "--quiet", "--no-deps"]
    done = subprocess.run([*command, "--dest", str(folder), requirement], capture_output=True, text=True)
    if done.returncode:
        raise SetupError(f"pip download {requirement} failed:\n{done.stderr[-2000:]}")
    [wheel] = folder.glob("*.whl")
    found = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if found != FRONTEND_SHA256:
        raise SetupError(
            f"{wheel.name} is not the file that this project was tested with, and is not used.\n"
            f"  expected sha256 {FRONTEND_SHA256}\n  got             {found}"
        )
    return wheel


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    try:
        print(install_chromium())
    except SetupError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
