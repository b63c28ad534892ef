import shutil
from pathlib import Path

import pytest
from pipeline.clone import Clone, make_clone


@pytest.fixture(scope="session")
def reproduced(tmp_path_factory) -> Clone:
    """A clone in which the whole pipeline has run once on a tiny painted data set. Tests must leave it as it is."""
    clone = make_clone(tmp_path_factory.mktemp("clone") / "convlens")
    clone.first_output = clone.run("dvc", "repro").stdout
    return clone


@pytest.fixture
def clone(reproduced, tmp_path) -> Clone:
    """A copy of the reproduced clone that a test may change."""
    folder = tmp_path / "convlens"
    shutil.copytree(reproduced.folder, folder, symlinks=True)
    return Clone(Path(folder))
