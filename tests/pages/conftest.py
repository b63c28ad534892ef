import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from map_pages import EVERY, page_text
from page_visits import Visit

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium or Chrome, driven by playwright; without them the tests that ask for it are skipped."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed; it drives the browser.")
    if CHROMIUM is None:
        pytest.skip("No Chromium or Chrome here; the page is opened with it.")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The feature-map page with all filters, as a file."""
    written = tmp_path_factory.mktemp("page") / "feature_maps.html"
    written.write_text(page_text(max_filters=EVERY), encoding="utf-8")
    return written


@pytest.fixture(scope="module")
def visit(browser: Any, path: Path) -> Visit:
    """That page in one tab of the browser, for all tests of a module."""
    return Visit(browser, path)
