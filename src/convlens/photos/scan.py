"""One pass over the photos: every file fully decoded once, one row of facts each."""

from dataclasses import asdict
from functools import partial

import pandas as pd

from convlens.params import ValidateParams
from convlens.photos.facts import PhotoFacts, scan_photo
from convlens.photos.workers import map_in_processes
from convlens.progress import track


def scan_photos(photos: pd.DataFrame, limits: ValidateParams, *, num_workers: int = 0) -> pd.DataFrame:
    """Decode every photo once, in several processes.

    Args:
        photos: the list that `ingest` wrote.
        limits: the group `validate`.
        num_workers: processes; 0 takes one per core.

    Returns:
        `photos` with the columns of `PhotoFacts`, and `usable` and `reason`: why a photo is left out.
    """
    paths = photos["path"].tolist()
    scanned = map_in_processes(
        partial(scan_photo, max_megapixels=limits.max_megapixels), paths, num_workers=num_workers
    )
    facts = list(track(scanned, total=len(paths), task="validate"))
    table = photos.reset_index(drop=True).join(pd.DataFrame([asdict(row) for row in facts]))
    table["reason"] = [_reason(row, limits) for row in facts]
    table["usable"] = table["reason"] == ""
    return table


def _reason(facts: PhotoFacts, limits: ValidateParams) -> str:
    """Why a photo is left out of training; empty for a usable one."""
    size = f"{facts.width}x{facts.height} pixels"
    if facts.width * facts.height > limits.max_megapixels * 1e6:
        return f"{size}, above validate.max_megapixels = {limits.max_megapixels:g}"
    if not facts.decodes:
        return f"cannot be decoded: {facts.error}"
    if facts.format not in limits.formats:
        return f"format {facts.format} is not among validate.formats"
    if min(facts.width, facts.height) < limits.min_side:
        return f"{size}, below validate.min_side = {limits.min_side}"
    return ""
