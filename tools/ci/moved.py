"""Say which numbers moved, from `dvc metrics diff --json` on standard input: Markdown, or nothing if none did.

    dvc metrics diff --json | python tools/ci/moved.py [TOLERANCE]

A number moved if it differs by more than TOLERANCE (default 0.0005), times its size if it is larger than 1: that is
beyond rounding. One that appeared or vanished moved, too.
"""

import json
import sys
from typing import Any

TOLERANCE = 0.0005


def main(arguments: list[str]) -> int:
    """Run the command line."""
    rows = list_moved(json.load(sys.stdin), float(arguments[0]) if arguments else TOLERANCE)
    if rows:
        lines = ["| file | number | committed | now |", "| --- | --- | --: | --: |"]
        print("\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)]))
    return 0


def list_moved(files: dict[str, Any], tolerance: float) -> list[tuple[str, str, str, str]]:
    """File, name, old and new value of every number that moved."""
    return [
        (file, name, _show(change.get("old")), _show(change.get("new")))
        for file, changes in files.items()
        for name, change in changes.items()
        if _moved(change.get("old"), change.get("new"), tolerance)
    ]


def _moved(old: Any, new: Any, tolerance: float) -> bool:
    if not (isinstance(old, int | float) and isinstance(new, int | float)):
        return bool(old != new)
    return abs(new - old) > tolerance * max(1.0, abs(old))


def _show(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else "none" if value is None else str(value)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
