"""More about photos than their class: `labels.csv` beside them, a column `path` and any others (breed, camera, …)."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from convlens.errors import ConvLensError

LABELS_FILE = "labels.csv"
PATH = "path"
PREFIX = "extra_"


def read_labels(folders: Sequence[Path], paths: Sequence[str]) -> tuple[pd.DataFrame, list[str]]:
    """The columns of `labels.csv` for photos, and the photos it names that are not there.

    Args:
        folders: where the file may be; the first that has it counts. Paths in it are relative to that folder.
        paths: of the photos.

    Returns:
        One row per photo, one column of texts per column of the file, its name after `extra_`; no columns without the
        file. What the file does not say is ''.

    Raises:
        ConvLensError: not a CSV file, no column `path`, or a photo twice.
    """
    found = next((folder / LABELS_FILE for folder in folders if (folder / LABELS_FILE).is_file()), None)
    if found is None:
        return pd.DataFrame(index=range(len(paths))), []
    table = _read(found)
    table.index = pd.Index([(found.parent / path).as_posix() for path in table.pop(PATH)])
    strangers = sorted(set(table.index) - set(paths))
    listed = table.reindex(list(paths), fill_value="").reset_index(drop=True)
    return listed.add_prefix(PREFIX), strangers


def _read(found: Path) -> pd.DataFrame:
    try:
        table = pd.read_csv(found, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (ValueError, OSError) as error:  # pandas' own errors are values out of place
        raise ConvLensError(f"Expected a CSV file at {found}. Received: {' '.join(str(error).split())}") from error
    table.columns = table.columns.str.strip()
    if PATH not in table.columns:
        raise ConvLensError(f"Expected a column '{PATH}' in {found}. Received: {', '.join(table.columns)}.")
    twice = table[PATH][table[PATH].duplicated()]
    if len(twice):
        raise ConvLensError(f"Expected every photo once in {found}. Received: '{twice.iloc[0]}' twice. Remove one row.")
    return table.fillna("")
