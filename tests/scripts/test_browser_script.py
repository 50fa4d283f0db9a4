"""scripts/browser.py: it finds a browser or says what to do, and takes no interface that nobody tested."""

import subprocess
import zipfile
from pathlib import Path

import pytest

from scripts import browser
from scripts.installation import SetupError


def programs(monkeypatch, **found: str) -> None:
    monkeypatch.delenv("CHROMIUM", raising=False)
    monkeypatch.setattr(browser.shutil, "which", lambda name: found.get(name.replace("-", "_")))


def test_the_browser_that_chromium_names_goes_first(monkeypatch, tmp_path):
    programs(monkeypatch, chromium="/usr/bin/chromium")
    assert browser.chromium() == Path("/usr/bin/chromium")
    own = tmp_path / "my browser"
    own.touch()
    monkeypatch.setenv("CHROMIUM", str(own))
    assert browser.chromium() == own


def test_another_browser_of_the_family_serves_too(monkeypatch):
    programs(monkeypatch, google_chrome="/opt/chrome")
    assert browser.chromium() == Path("/opt/chrome")


def test_without_a_browser_it_says_what_to_do(monkeypatch):
    programs(monkeypatch)
    with pytest.raises(SetupError, match=r"apt-get install chromium\), or set CHROMIUM") as told:
        browser.install_chromium()
    assert str(told.value).endswith("Without a browser, make test-fast runs lint and the fast tests.")


def test_a_wrong_chromium_is_named(monkeypatch, tmp_path):
    programs(monkeypatch, chromium="/usr/bin/chromium")
    monkeypatch.setenv("CHROMIUM", str(tmp_path / "none"))
    with pytest.raises(SetupError, match="none, which is not a file"):
        browser.chromium()


def test_root_on_debian_gets_chromium_installed(monkeypatch):
    found = {"apt_get": "/usr/bin/apt-get"}
    programs(monkeypatch)
    monkeypatch.setattr(browser.shutil, "which", lambda name: found.get(name.replace("-", "_")))
    monkeypatch.setattr(browser.os, "geteuid", lambda: 0, raising=False)
    calls = []

    def run(command, **options):
        calls.append(command)
        if "install" in command:
            found["chromium"] = "/usr/bin/chromium"
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(browser.subprocess, "run", run)
    assert browser.install_chromium() == Path("/usr/bin/chromium")
    assert [command[2] for command in calls] == ["update", "install"]
    assert browser.install_chromium() == Path("/usr/bin/chromium")
    assert len(calls) == 2


def test_an_installation_without_a_network_says_what_to_do_without(monkeypatch):
    programs(monkeypatch, apt_get="/usr/bin/apt-get")
    monkeypatch.setattr(browser.os, "geteuid", lambda: 0, raising=False)
    failed = subprocess.CompletedProcess([], 100, "", "Could not resolve deb.debian.org")
    monkeypatch.setattr(browser.subprocess, "run", lambda command, **options: failed)
    with pytest.raises(SetupError, match=r"apt-get update failed:\n.*not resolve(.|\n)*make test-fast"):
        browser.install_chromium()


def test_another_file_than_the_tested_interface_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(browser, "CACHE", tmp_path)

    def download(command, **options):
        folder = Path(command[command.index("--dest") + 1])
        with zipfile.ZipFile(folder / "some.whl", "w") as archive:
            archive.writestr("comfyui_frontend_package/static/index.html", "")
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(browser.subprocess, "run", download)
    with pytest.raises(SetupError, match=r"some\.whl is not the file .* and is not used"):
        browser.frontend()
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(browser, "FRONTEND_SHA256", sha256_of(tmp_path, download))
    assert (browser.frontend() / "index.html").is_file()
    monkeypatch.setattr(browser.subprocess, "run", None)  # a second call downloads nothing
    assert browser.frontend().parent == tmp_path


def sha256_of(tmp_path: Path, download) -> str:
    download(["--dest", str(tmp_path)])
    wheel = tmp_path / "some.whl"
    digest = browser.hashlib.sha256(wheel.read_bytes()).hexdigest()
    wheel.unlink()
    return digest
