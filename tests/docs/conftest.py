import pytest
from pipeline.clone import Clone, reproduce_once


@pytest.fixture(scope="session")
def reproduced(tmp_path_factory) -> Clone:
    """A clone in which the whole pipeline has run once on a tiny synthetic data set. Tests must leave it as it is."""
    return reproduce_once(tmp_path_factory.getbasetemp())
