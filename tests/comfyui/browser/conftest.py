"""What the tests of this folder share: two versions of the interface, each drawn by both renderers.

Fixtures of the package, so that each server starts once and each page is loaded once for all files together. None of
them outlives the folder: Playwright runs once at a time, and other tests have a browser of their own.
"""

import pytest

from scripts.browser import NEWEST_FRONTEND, bundled_frontend, frontend, launched
from scripts.server import Server
from scripts.stand_ins import write_stand_ins
from tests.comfyui.interface import Interface


@pytest.fixture(scope="package")
def browser():
    with launched() as browser:
        yield browser


@pytest.fixture(scope="package")
def newest(tmp_path_factory):
    """A server that shows the newest interface."""
    base = tmp_path_factory.mktemp("newest")
    with Server(base, arguments=("--front-end-root", str(frontend(NEWEST_FRONTEND)))) as running:
        write_stand_ins(base)
        yield running


@pytest.fixture(scope="package", params=["bundled", "newest"])
def version(request):
    return bundled_frontend() if request.param == "bundled" else NEWEST_FRONTEND


@pytest.fixture(scope="package")
def shown_by(version, request):
    """The server that shows one version of the interface."""
    return request.getfixturevalue("newest" if version == NEWEST_FRONTEND else "server")


@pytest.fixture(scope="package", params=["canvas", "vue"])
def page(request, version, shown_by, browser):
    interface = Interface(browser, shown_by, request.param, version)
    yield interface
    interface.close()


@pytest.fixture
def ui(page):
    """The page with an empty graph; a test that leaves an error behind fails."""
    page.clear()
    page.errors.clear()
    yield page
    assert page.errors == []
