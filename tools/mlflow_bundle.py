"""Copy the local MLflow store into a folder that can be carried anywhere: its addresses are relative.

    python tools/mlflow_bundle.py FOLDER [--store mlflow.db]

MLflow writes absolute addresses of artifacts into its database, so a store that is moved or downloaded loses them. In
the copy they start at the folder: `cd FOLDER`, then `mlflow ui`. The copy is made of the database and the folder
`mlartifacts` beside it; nothing else is read.
"""

import argparse
import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

from convlens.tracking.places import ARTIFACTS_NAME, claim_artifacts, move_addresses

NOTE = """\
# An MLflow store to carry along

`mlflow.db` holds the runs and the model registry, `mlartifacts` their files. Addresses are relative to this folder, so
open it from here:

```console
pip install mlflow      # a version at least as new as the one in requirements.txt
mlflow ui               # http://127.0.0.1:5000
```
"""


def main(arguments: list[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path, help="new or empty")
    parser.add_argument("--store", type=Path, default=Path("mlflow.db"), help="the database (default: mlflow.db)")
    chosen = parser.parse_args(arguments)
    try:
        make_bundle(chosen.store, chosen.folder)
    except FileNotFoundError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def make_bundle(store: Path, folder: Path) -> None:
    """Copy a store with its artifacts.

    Args:
        store: the database; its artifacts are in `mlartifacts` beside it.
        folder: where to; new or empty.

    Raises:
        FileNotFoundError: there is no such store, or something is in the folder already.
    """
    if not store.is_file():
        raise FileNotFoundError(
            f"Expected an MLflow database. Received: {store}, which is no file. `make repro` makes it."
        )
    if folder.exists() and any(folder.iterdir()):
        raise FileNotFoundError(f"Expected a new or empty folder. Received: {folder}, which holds files. Remove it.")
    claim_artifacts(store)
    artifacts = store.absolute().parent / ARTIFACTS_NAME
    shutil.copytree(artifacts, folder / ARTIFACTS_NAME, dirs_exist_ok=True)
    (folder / "README.md").write_text(NOTE, encoding="utf-8")
    copy = folder / store.name
    with closing(sqlite3.connect(store)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)  # a copy of the file could miss what is being written
        move_addresses(target, artifacts, ARTIFACTS_NAME, ARTIFACTS_NAME)
        target.commit()


if __name__ == "__main__":
    sys.exit(main())
