"""The folder that `convlens evaluate --out` writes to. Light to import: it is looked at before the work."""

from pathlib import Path

from convlens.errors import ConvLensError

METRICS, PREDICTIONS, DRIFT, PAGE = "metrics.json", "predictions.csv", "drift.csv", "report.html"
FILES = frozenset({METRICS, PREDICTIONS, DRIFT, PAGE})


def check_target(folder: Path, *, force: bool) -> None:
    """Before the work, not after it: the folder must be new or empty, or, with force, made by this command.

    Raises:
        ConvLensError: it holds something.
    """
    if not folder.exists() and not folder.is_symlink():
        return
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else {folder.name}
    if folder.is_dir() and (not names or (force and names <= FILES)):
        return
    hint = "Name another one, or say --force to replace it." if names <= FILES else "Name another one."
    raise ConvLensError(f"Expected a new or empty folder after --out. Received: {folder}, which is in use. {hint}")
