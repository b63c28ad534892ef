"""For all tests: costly files come first, so that no core waits at the end, and every Python keeps what it compiled."""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# By what their names begin with. While one process makes the reproduced clone, the other trains.
FIRST = ("pipeline/test_interrupted", "stages/test_report_regions", "training", "pipeline", "docs", "stages",
         "tracking", "models", "house", "cli", "workflows", "pages", "lens", "benchmarks")  # fmt: skip

sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Bring files into their order; pytest-xdist gives them out in it."""
    items.sort(key=lambda item: rank(item.path.relative_to(Path(__file__).parent).as_posix()))


def rank(file: str) -> int:
    return next((place for place, start in enumerate(FIRST) if file.startswith(start)), len(FIRST))


CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium or Chrome, driven by playwright; without them the tests that ask for it are skipped.

    One a file: while it is open, nothing else in the process can run an event loop.
    """
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed; it drives the browser.")
    if CHROMIUM is None:
        pytest.skip("No Chromium or Chrome here; the page is opened with it.")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield started
        started.close()
