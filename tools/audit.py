"""Looks the packages of the locks up in PyPI's list of known vulnerabilities; needs the network.

What is accepted for now stands in tools/audit.toml, with a reason and a day after which it counts again. A package
that cannot be looked up fails the audit too: nobody would notice an audit of nothing.
"""

import datetime
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
ACCEPTED = Path(__file__).with_name("audit.toml")
LOCKS = ("requirements.txt", "requirements-gpu.txt", "requirements-dev.txt")


def main() -> int:
    """Audit every lock; 0 if nothing is known about any of their packages that is not accepted."""
    accepted = tomllib.loads(ACCEPTED.read_text(encoding="utf-8")).get("accepted", [])
    complaints = [complaint for entry in accepted for complaint in check_entry(entry, datetime.date.today())]
    for complaint in complaints:
        print(f"audit: {complaint}", file=sys.stderr)
    found = [audit_lock(lock, [entry.get("id", "") for entry in accepted]) for lock in LOCKS]
    return int(bool(complaints) or any(found))


def check_entry(entry: Mapping[str, Any], today: datetime.date) -> list[str]:
    """What is wrong with an accepted vulnerability: no reason, no last day, or that day is past."""
    name, expires = entry.get("id") or "an entry without id", entry.get("expires")
    complaints = [] if entry.get("id") else ["Expected an id for every entry of tools/audit.toml. Received: none."]
    if not str(entry.get("reason") or "").strip():
        complaints.append(f"Expected a reason to accept {name}. Received: none.")
    if type(expires) is not datetime.date:
        complaints.append(f"Expected a day on which {name} expires, such as 2027-01-31. Received: {expires!r}.")
    elif expires < today:
        complaints.append(f"Expected {name} to be dealt with by {expires}. Received: {today}. Update, or decide anew.")
    return complaints


def audit_lock(lock: str, accepted: list[str]) -> int:
    """The exit code of pip-audit: 0 if it could look everything up and found nothing."""
    command = [sys.executable, "-m", "pip_audit", "--strict", "--no-deps", "--disable-pip", "--progress-spinner=off"]
    ignored = [option for name in accepted for option in ("--ignore-vuln", name)]
    print(f"audit: {lock}", flush=True)
    return subprocess.run([*command, "-r", str(ROOT / lock), *ignored], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
