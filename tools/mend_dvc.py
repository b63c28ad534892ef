"""Put right what an interruption left of DVC's own files, so that the same command works again.

`make repro` runs it first.

DVC writes dvc.lock and its list of locked paths in place. Whatever ends it there, Ctrl-C at `Updating lock file` is
enough, leaves half a file, and every later command refuses it: `unable to read: 'dvc.lock'`, `'dvc.lock' is invalid`,
`Unable to read RWLock-file`. A killed DVC also leaves its paths locked, which stops the next one (`is busy, it is being
blocked by`) while its number is still listed or already another process's: in containers, the rule and no exception.
While a DVC is at work here, nothing is touched.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil

LOCKED_PATHS = ".dvc/tmp/rwlock"
LOCK = "dvc.lock"
CUT_OFF = ".dvc/tmp/dvc.lock.cut-off"
# What DVC calls the files that it renames when they are whole (dvc_objects.fs.utils.tmp_fname), and where it puts them.
UNFINISHED = re.compile(r"\.[\w-]{22}\.tmp")
PLACES = ("data", "reports", "reports/*", ".dvc/cache/files/md5/*", ".dvc/cache/runs/*/*")


def main(root: Path) -> int:
    """Mend the repository whose root this is."""
    locked = root / LOCKED_PATHS
    if is_at_work(locked):
        return 0
    locked.unlink(missing_ok=True)
    for file in list_unfinished(root):
        file.unlink(missing_ok=True)
    mend_lock(root)
    return 0


def is_at_work(locked: Path) -> bool:
    """Whether a process that holds paths lives: one that is older than its entry, not another with its number."""
    try:
        content = json.loads(locked.read_text(encoding="utf-8"))
        written = locked.stat().st_mtime
        readers = [entry for entries in content.get("read", {}).values() for entry in entries]
        holders = {int(entry["pid"]) for entry in [*readers, *content.get("write", {}).values()]}
    except (OSError, ValueError, AttributeError, KeyError, TypeError):
        return False  # none, or half of one
    return any(_lives_since(number, written) for number in holders)


def _lives_since(number: int, moment: float) -> bool:
    """Whether the process is older than the moment and not dead: where nobody asks how it ended, it stays listed."""
    try:
        process = psutil.Process(number)
        return process.create_time() <= moment and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def list_unfinished(root: Path) -> Iterator[Path]:
    """Files that DVC was copying when it was killed."""
    for place in PLACES:
        for folder in root.glob(place):
            yield from (file for file in folder.glob(".*.tmp") if UNFINISHED.fullmatch(file.name))


def mend_lock(root: Path) -> None:
    """Put the committed dvc.lock, or none, in the place of half of one: what else was done is in DVC's run cache."""
    path = root / LOCK
    # Somebody's merge is in progress: that is not ours to decide.
    if not path.is_file() or "\n<<<<<<< " in (text := path.read_text(errors="replace")) or is_whole(text):
        return
    committed = subprocess.run(["git", "show", f"HEAD:./{LOCK}"], cwd=root, capture_output=True, text=True, check=False)
    (root / CUT_OFF).parent.mkdir(exist_ok=True)
    path.replace(root / CUT_OFF)
    if committed.returncode == 0 and is_whole(committed.stdout):
        path.write_text(committed.stdout, encoding="utf-8")
        print(f"{LOCK} was left damaged by an interruption: the committed one is in its place.", file=sys.stderr)
    else:
        print(f"{LOCK} was left damaged by an interruption: it is removed, and made anew.", file=sys.stderr)


def is_whole(text: str) -> bool:
    """Whether DVC takes the text for a dvc.lock."""
    from dvc.schema import COMPILED_LOCKFILE_SCHEMA
    from ruamel.yaml import YAML, YAMLError
    from voluptuous import Invalid

    try:
        COMPILED_LOCKFILE_SCHEMA(YAML(typ="safe").load(text) or {})
    except (YAMLError, Invalid):
        return False
    return True


if __name__ == "__main__":
    sys.exit(main(Path.cwd()))
