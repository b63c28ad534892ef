"""MLflow's talk, kept from our users: migrations of a new database, remarks about signatures it cannot know better."""

import contextlib
import logging
import os
import warnings
from collections.abc import Iterator

CHATTY = ("mlflow", "alembic")


def quiet_mlflow() -> None:
    """Let only errors of MLflow and of its migrations through: no bar per file, no address when a run ends."""
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.ERROR)


@contextlib.contextmanager
def no_warnings() -> Iterator[None]:
    """Run MLflow's functions without the Python warnings they raise about themselves."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
