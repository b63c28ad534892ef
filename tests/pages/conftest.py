from pathlib import Path
from typing import Any

import pytest
from map_pages import EVERY, page_text
from page_visits import Visit


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
