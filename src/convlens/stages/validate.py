"""Stage `validate`: decode every photo once, quarantine what cannot be used, check the rest against expectations."""

from dataclasses import asdict
from pathlib import Path

import pandas as pd

from convlens.errors import ConvLensError
from convlens.params import ValidateParams
from convlens.photos.expectations import Verdict, check_photos
from convlens.photos.scan import scan_photos
from convlens.progress import say
from convlens.stages.outputs import new_folder, read_parquet, write_csv, write_json, write_parquet


def validate(
    *, photos: Path, manifest: Path, result: Path, quarantine: Path, docs: Path, validate: ValidateParams
) -> None:
    """Write the manifest, and the validation report whatever the outcome.

    Args:
        photos: the list that `ingest` wrote.
        manifest: table to write (parquet): one row per photo with everything known of it, `usable` and `reason`.
        result: verdicts to write (JSON).
        quarantine: photos left out, with their reason (CSV).
        docs: folder for Data Docs.
        validate: the group `validate`.

    Raises:
        ConvLensError: an expectation of severity critical fails.
    """
    table = scan_photos(read_parquet(photos), validate)
    with new_folder(docs) as site:
        verdicts = check_photos(table, validate, docs=site)
    write_csv(quarantine, table.loc[~table["usable"], ["path", "label", "reason"]])
    write_json(result, _summarise(table, verdicts))
    if _critical(verdicts):
        manifest.unlink(missing_ok=True)  # an earlier one would contradict the report
    _tell(table, verdicts, quarantine)
    write_parquet(manifest, table)


def _summarise(table: pd.DataFrame, verdicts: list[Verdict]) -> dict[str, object]:
    return {
        "success": not _critical(verdicts),
        "num_photos": len(table),
        "num_usable": int(table["usable"].sum()),
        "num_warnings": sum(not verdict.success for verdict in verdicts if verdict.severity == "warning"),
        "expectations": [asdict(verdict) for verdict in verdicts],
    }


def _critical(verdicts: list[Verdict]) -> list[Verdict]:
    return [verdict for verdict in verdicts if verdict.severity == "critical" and not verdict.success]


def _tell(table: pd.DataFrame, verdicts: list[Verdict], quarantine: Path) -> None:
    for verdict in verdicts:
        if not verdict.success and verdict.severity == "warning":
            say(f"validate: warning: {_describe(verdict)}")
    left_out = table[~table["usable"]]
    if len(left_out):
        say(f"validate: {len(left_out):,} of {len(table):,} photos are left out; {quarantine} lists them.")
    if critical := _critical(verdicts):
        raise ConvLensError("the photos do not meet what is expected.\n" + "\n".join(map(_describe, critical)))
    say(f"validate: {len(table) - len(left_out):,} usable photos; {sum(v.success for v in verdicts)} of "
        f"{len(verdicts)} expectations met.")  # fmt: skip


def _describe(verdict: Verdict) -> str:
    examples = f" For example: {', '.join(verdict.worst)}." if verdict.worst else ""
    return (
        f"Expected: {verdict.expectation}. Received: {verdict.observed}.{examples} "
        f"Correct the photos, or change {verdict.parameter}."
    )
