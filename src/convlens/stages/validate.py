"""Stage `validate`: decode every photo once, quarantine what cannot be used, check the rest against expectations."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from convlens.data.cache import cache_folder
from convlens.data.expectations import Verdict, check_photos
from convlens.data.facts import CAUSES, list_quarantine, scan_with_pictures
from convlens.errors import ConvLensError, printable
from convlens.files import csv_bytes, json_bytes, new_folder, parquet_bytes, read_parquet, write_together
from convlens.params import ValidateParams
from convlens.progress import say

MAX_FILES_TOLD = 3


def validate(
    *,
    photos: Path,
    manifest: Path,
    gallery: Path,
    result: Path,
    quarantine: Path,
    docs: Path,
    validate: ValidateParams,
) -> None:
    """Write the manifest, and the validation report whatever the outcome.

    Args:
        photos: the list that `ingest` wrote.
        manifest: table to write (parquet): one row per photo with everything known of it, see `photos/manifest.py`.
        gallery: table to write (parquet): small pictures of doubtful photos, for the report.
        result: verdicts to write (JSON).
        quarantine: what is left out, with its cause and reason (CSV).
        docs: folder for Data Docs.
        validate: the group `validate`.

    Raises:
        ConvLensError: an expectation of severity critical fails; or nothing can be written, and all is as it was.
    """
    scan = scan_with_pictures(read_parquet(photos), validate, cache=cache_folder())
    left_out = list_quarantine(scan.manifest)
    with new_folder(docs) as site:
        verdicts = check_photos(scan.manifest, validate, docs=site)
        report = {
            quarantine: csv_bytes(left_out),
            gallery: parquet_bytes(scan.gallery),
            result: json_bytes(_summarize(scan.manifest, left_out, verdicts)),
        }
        passed = not _failed(verdicts, "critical")
        write_together({**report, manifest: parquet_bytes(scan.manifest)} if passed else report)
    if not passed:
        manifest.unlink(missing_ok=True)  # an earlier one would contradict the report
    _tell(scan.manifest, verdicts, quarantine)


def _summarize(table: pd.DataFrame, left_out: pd.DataFrame, verdicts: list[Verdict]) -> dict[str, object]:
    counts = left_out["cause"].value_counts()
    return {
        "success": not _failed(verdicts, "critical"),
        "num_photos": len(table),
        "num_usable": int(table["usable"].sum()),
        "num_warnings": len(_failed(verdicts, "warning")),
        "quarantine": {cause: int(counts.get(cause, 0)) for cause in CAUSES},
        "expectations": [asdict(verdict) for verdict in verdicts],
    }


def _failed(verdicts: list[Verdict], severity: str) -> list[Verdict]:
    return [verdict for verdict in verdicts if verdict.severity == severity and not verdict.success]


def _tell(table: pd.DataFrame, verdicts: list[Verdict], quarantine: Path) -> None:
    if warnings := _failed(verdicts, "warning"):
        say(f"validate: warning: not all is as expected; training goes on.\n{tabulate_verdicts(warnings)}")
    num_usable = int(table["usable"].sum())
    if num_usable < len(table):
        say(f"validate: {len(table) - num_usable:,} of {len(table):,} photos are left out; {quarantine} lists them.")
    if critical := _failed(verdicts, "critical"):
        raise ConvLensError(
            "the photos do not meet what is expected. Correct them, or change the parameter in params.yaml.\n"
            f"{tabulate_verdicts(critical)}\n{quarantine} lists what is left out; the Data Docs beside it say more."
        )
    say(f"validate: {num_usable:,} usable photos; {sum(v.success for v in verdicts)} of {len(verdicts)} expectations "
        "met.")  # fmt: skip


def tabulate_verdicts(verdicts: Sequence[Verdict]) -> str:
    """A short table for a terminal: expectation, observed, expected, parameter, and below each a few files."""
    rows = [("expectation", "observed", "expected", "change")]
    rows += [(one.name, one.observed, one.expected, one.parameter) for one in verdicts]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    files = [[f"    {printable(name)}" for name in verdict.worst[:MAX_FILES_TOLD]] for verdict in verdicts]
    told = [line for row, names in zip(lines[1:], files, strict=True) for line in (row, *names)]
    return "\n".join(f"  {line}" for line in (lines[0], *told))
