import shutil
from pathlib import Path

import pytest
from pipeline.clone import Clone, reproduce_once


@pytest.fixture(scope="session")
def reproduced(tmp_path_factory) -> Clone:
    """A clone in which the whole pipeline has run once on a tiny synthetic data set. Tests must leave it as it is."""
    return reproduce_once(tmp_path_factory.getbasetemp())


@pytest.fixture
def clone(reproduced, tmp_path) -> Clone:
    """A copy of the reproduced clone that a test may change."""
    folder = tmp_path / "convlens"
    shutil.copytree(reproduced.folder, folder, symlinks=True)
    return Clone(Path(folder))
