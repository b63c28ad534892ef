"""For all tests: costly files come first, so that no core waits at the end, and every Python keeps what it compiled."""

import os
import sys
from pathlib import Path

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
