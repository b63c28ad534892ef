import shutil
from collections.abc import Iterator
from typing import Any

import pytest

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
