import datetime
import importlib.util
import subprocess
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
TODAY = datetime.date(2027, 1, 15)
ENTRY = {"id": "PYSEC-1", "reason": "not called", "expires": datetime.date(2027, 1, 31)}


@pytest.fixture
def audit() -> ModuleType:
    spec = importlib.util.spec_from_file_location("audit_script", ROOT / "tools/audit.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_is_accepted_has_a_reason_and_has_not_expired(audit: ModuleType) -> None:
    """The checked-in list; on the day it expires this fails, as it must."""
    accepted = tomllib.loads((ROOT / "tools/audit.toml").read_text()).get("accepted", [])
    assert [told for entry in accepted for told in audit.check_entry(entry, datetime.date.today())] == []


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, []),
        ({"expires": TODAY}, []),
        ({"expires": datetime.date(2027, 1, 14)}, ["Expected PYSEC-1 to be dealt with by 2027-01-14."]),
        ({"expires": "2027-01-31"}, ["Expected a day on which PYSEC-1 expires"]),
        ({"reason": " "}, ["Expected a reason to accept PYSEC-1."]),
        ({"id": ""}, ["Expected an id for every entry"]),
    ],
)
def test_entries_are_checked(audit: ModuleType, changes: dict[str, Any], told: list[str]) -> None:
    complaints = audit.check_entry({**ENTRY, **changes}, TODAY)
    assert [complaint[: len(start)] for complaint, start in zip(complaints, told, strict=True)] == told


@pytest.mark.parametrize(("codes", "expected"), [((0, 0, 0), 0), ((0, 1, 0), 1), ((0, 0, 1), 1)])
def test_every_lock_is_looked_up_and_must_be_clean(
    audit: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codes: tuple[int, ...], expected: int
) -> None:
    accepted = tmp_path / "audit.toml"
    accepted.write_text('[[accepted]]\nid = "PYSEC-1"\nreason = "not called"\nexpires = 2999-01-31\n')
    monkeypatch.setattr(audit, "ACCEPTED", accepted)
    asked: list[list[str]] = []

    def run(command: list[str], *, check: bool) -> subprocess.CompletedProcess:
        asked.append(command)
        return subprocess.CompletedProcess(command, codes[len(asked) - 1])

    monkeypatch.setattr(audit.subprocess, "run", run)
    assert audit.main() == expected
    assert [Path(command[command.index("-r") + 1]).name for command in asked] == list(audit.LOCKS)
    assert all((ROOT / name).is_file() for name in audit.LOCKS)
    assert all("--strict" in command and command[-2:] == ["--ignore-vuln", "PYSEC-1"] for command in asked)


def test_expired_entry_fails_even_if_nothing_is_found(
    audit: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    accepted = tmp_path / "audit.toml"
    accepted.write_text('[[accepted]]\nid = "PYSEC-1"\nreason = "not called"\nexpires = 2020-01-31\n')
    monkeypatch.setattr(audit, "ACCEPTED", accepted)
    monkeypatch.setattr(audit, "audit_lock", lambda lock, ids: 0)
    assert audit.main() == 1
