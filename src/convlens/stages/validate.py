"""Stage `validate`: decode every photo once, quarantine what cannot be used, check the rest against expectations."""

from collections.abc import Sequence
from pathlib import Path

from convlens.data.cache import cache_folder
from convlens.data.expectations import check_photos
from convlens.data.sources import load_photos, refuse_replaced
from convlens.data.validation import (
    DATA_DOCS_FOLDER,
    QUARANTINE_FILE,
    Validation,
    Verdict,
    find_failed,
    scan_with_pictures,
)
from convlens.errors import ConvLensError, printable
from convlens.files import new_folder
from convlens.params import ValidateParams
from convlens.progress import say

MAX_FILES_TOLD = 3


def validate(*, photos: Path, manifest: Path, report: Path, validate: ValidateParams) -> None:
    """Write the manifest, and the validation report whatever the outcome.

    Args:
        photos: the list that `ingest` wrote.
        manifest: folder to write: a table with everything known of every photo, and small pictures of flagged ones.
        report: folder to write: verdicts, what is left out and why, Data Docs; see `Validation`.
        validate: the group `validate`.

    Raises:
        ConvLensError: an expectation of severity critical fails; a photo is another or gone since `ingest`; or nothing
            can be written, and all is as it was.
    """
    listed = load_photos(photos)
    scan = scan_with_pictures(listed, validate, cache=cache_folder())
    refuse_replaced(listed["path"], listed["sha256"], scan.manifest["sha256"], since="ingest")
    with new_folder(report / DATA_DOCS_FOLDER) as site:
        verdicts = check_photos(scan.manifest, validate, docs=site)
        found = Validation.of(scan, verdicts)
        found.save(manifest, report)

    quarantine, num_photos, num_usable = report / QUARANTINE_FILE, len(listed), found.result["num_usable"]
    if warnings := find_failed(verdicts, "warning"):
        say(f"validate: warning: not all is as expected; training goes on.\n{tabulate_verdicts(warnings)}")
    if num_usable < num_photos:
        say(f"validate: {num_photos - num_usable:,} of {num_photos:,} photos are left out; {quarantine} lists them.")
    if critical := find_failed(verdicts, "critical"):
        raise ConvLensError(
            "the photos do not meet what is expected. Correct them, or change the parameter in params.yaml.\n"
            f"{tabulate_verdicts(critical)}\n{quarantine} lists what is left out; the Data Docs beside it say more."
        )
    num_met = sum(verdict.success for verdict in verdicts)
    say(f"validate: {num_usable:,} usable photos; {num_met} of {len(verdicts)} expectations met.")


def tabulate_verdicts(verdicts: Sequence[Verdict]) -> str:
    """A short table for a terminal: expectation, observed, expected, parameter, and below each a few files."""
    rows = [("expectation", "observed", "expected", "change")]
    rows += [(one.name, one.observed, one.expected, one.parameter) for one in verdicts]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    files = [[f"    {printable(name)}" for name in verdict.worst[:MAX_FILES_TOLD]] for verdict in verdicts]
    told = [line for row, names in zip(lines[1:], files, strict=True) for line in (row, *names)]
    return "\n".join(f"  {line}" for line in (lines[0], *told))
