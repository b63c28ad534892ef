"""Where a local store says its artifacts are: beside its database, also after the folder was renamed or copied.

MLflow keeps absolute addresses in the database. A module of its own, for a server must not start before they are right,
and need not wait for MLflow to be imported: `python -m convlens.tracking.places sqlite:///DATABASE`.
"""

import contextlib
import os
import sqlite3
import sys
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlparse

from filelock import FileLock

from convlens.errors import ConvLensError
from convlens.progress import say

ARTIFACTS_NAME = "mlartifacts"
LOCK_FOLDER = ".convlens"
LOCK_SECONDS = 60.0


def lock_path(database: Path, purpose: str = "") -> Path:
    """The file that one process at a time holds; work of another purpose has another one."""
    return database.parent / LOCK_FOLDER / f"{database.name}.{f'{purpose}.' if purpose else ''}lock"


def claim_artifacts(database: Path) -> None:
    """Make the addresses of a store's artifacts lead to the folder beside its database, before anything is written.

    A store that was copied then neither reads nor writes the files of the one that it was copied from. Addresses that
    no store of ours has, such as those of a bucket, stay as they are.

    Raises:
        ConvLensError: they lead elsewhere, and the database cannot be written.
    """
    places = _find_other_places(database)
    if not places:
        return
    here = database.absolute().parent / ARTIFACTS_NAME
    lock = lock_path(database)
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(lock, timeout=LOCK_SECONDS), closing(sqlite3.connect(database, timeout=LOCK_SECONDS)) as opened:
            for place in _find_other_places(database):  # another process may have been quicker
                move_addresses(opened, place, here.as_uri(), str(here))
            opened.commit()
    except (OSError, sqlite3.Error) as error:
        raise ConvLensError(
            f"Expected a store whose artifacts are in {here}. Received: {database}, which says {places[0]}, its former "
            f"place, and cannot be changed: {error}. Copy it to where you may write."
        ) from error
    say(f"store: {database} was moved or copied from {places[0].parent}; its artifacts are taken from {here} now.")
    if not here.is_dir():
        say(f"store: nothing is there. Copy {places[0]} to {here}, and its models and pictures are back.")


def move_addresses(database: sqlite3.Connection, old: Path, uri: str, path: str) -> None:
    """Replace the start of every address at or below a folder, whichever table it is in.

    Args:
        database: of a store.
        old: the folder.
        uri: what `file:` addresses begin with instead.
        path: what plain paths begin with instead.
    """
    for table, column in list(_text_columns(database)):
        for start, new in ((old.as_uri(), uri), (str(old), path)):
            database.execute(
                f'UPDATE "{table}" SET "{column}" = ? || substr("{column}", ?) '  # noqa: S608 - names come from the schema
                f'WHERE "{column}" = ? OR substr("{column}", 1, ?) = ? || \'/\'',
                (new, len(start) + 1, start, len(start) + 1, start),
            )


def _find_other_places(database: Path) -> list[Path]:
    """Folders of artifacts that experiments of ours name and that are not the one beside the database."""
    here = database.absolute().parent / ARTIFACTS_NAME
    try:
        with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as opened:
            rows = opened.execute("SELECT DISTINCT artifact_location FROM experiments").fetchall()
    except sqlite3.Error:  # no store of MLflow's, which MLflow itself says best
        return []
    named = sorted({place for (address,) in rows if (place := _read_place(address or "")) is not None})
    return [place for place in named if place != here and not _is_same(place, here)]


def _read_place(address: str) -> Path | None:
    """The folder that an address names; None for one that is not on this machine, relative, or not called as ours."""
    parsed = urlparse(address)
    place = Path(unquote(parsed.path) if parsed.scheme == "file" else address)
    local = parsed.scheme in ("", "file") and place.is_absolute() and place.name == ARTIFACTS_NAME
    return place if local else None


def _is_same(place: Path, other: Path) -> bool:
    """Whether both are one folder, by a link for instance."""
    with contextlib.suppress(OSError):
        return os.path.samefile(place, other)
    return False


def _text_columns(database: sqlite3.Connection) -> Iterable[tuple[str, str]]:
    for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
        for _, name, kind, *_ in database.execute(f'PRAGMA table_info("{table}")').fetchall():
            if "CHAR" in kind.upper() or "TEXT" in kind.upper():
                yield table, name


if __name__ == "__main__":
    named = Path(sys.argv[1].removeprefix("sqlite:///"))
    try:
        if named.is_file():  # the address of a server is no file
            claim_artifacts(named)
    except ConvLensError as unwritable:
        sys.exit(str(unwritable))
