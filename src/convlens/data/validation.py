"""What stage `validate` finds: a row of facts per photo, and which photos are left out and why."""

import base64
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from convlens.data.cache import Codec, Photo, map_cached
from convlens.data.facts import SECOND_VIEWS, Candidate, FlagLimits, PhotoFacts, ScannedPhoto, scan_photo
from convlens.data.workers import map_in_processes
from convlens.files import csv_bytes, json_bytes, parquet_bytes, read_csv, read_json, read_parquet, write_together
from convlens.params import ValidateParams
from convlens.progress import track

MANIFEST_COLUMNS = {
    "path": "where the photo is, relative to the repository or absolute as the source was named; forward slashes",
    "label": "name of its class folder",
    "bytes": "size of the file in bytes; 0 if it cannot be read",
    "sha256": "digest of the file, 64 hexadecimal digits; empty if it cannot be read",
    "split": "train, validation or test where the source has its own split, else empty",
    "regions": "named boxes of the source in pixels of the upright photo: list of name, left, top, right, bottom",
    "format": "Pillow's name of the format, whatever the suffix says; empty if it is no image",
    "mode": "Pillow's color mode as stored (L, RGB, P, CMYK, …)",
    "frames": "pictures in the file, 0 if it is no image; only the first is used",
    "width": "pixels of the upright photo, 0 if unknown",
    "height": "pixels of the upright photo, 0 if unknown",
    "aspect": "width over height, 0 if unknown",
    "orientation": "EXIF orientation as stored, 1..8; 1 also if there is none",
    "suffix_agrees": "whether the file's suffix belongs to its format",
    "decodes": "whether the whole picture could be decoded",
    "error": "why not; empty if it could",
    "brightness": "mean luminance, 0 (black) to 1 (white); 0 if it does not decode, as the next two",
    "contrast": "standard deviation of luminance, 0..0.5",
    "sharpness": "variance of the Laplacian of luminance in 8-bit levels, at most 256 pixels a side; 0 is one color, "
    "photos below about 50 are blurred",
    "perceptual_hash": "64-bit pHash and the gray thumbnail it was made of, hexadecimal; empty if it does not decode",
    "cause": "why it is left out, in one word of `CAUSES`; empty for a usable photo",
    "reason": "the same in a sentence",
    "usable": "whether training may use it: `cause` is empty",
}

# --- one pass over the photos: every file fully decoded once ---

MAX_PICTURES_PER_FLAG = 24
GALLERY_COLUMNS = ["path", "sha256", "flag", "thumbnail"]


@dataclass(frozen=True)
class Scan:
    """What one pass over the photos found.

    Attributes:
        manifest: one row per photo in the order of the source, the columns of `MANIFEST_COLUMNS`.
        gallery: small pictures of some of the flagged photos, at most 24 for each flag: columns path,
            sha256, flag (see `facts.find_flag`; `copied`: another file has its digest, one picture for all of them)
            and thumbnail (JPEG bytes, at most 160 pixels a side).
    """

    manifest: pd.DataFrame
    gallery: pd.DataFrame


def scan_photos(photos: pd.DataFrame, limits: ValidateParams, *, num_workers: int = 0) -> pd.DataFrame:
    """The manifest alone, see `scan_with_pictures`."""
    return scan_with_pictures(photos, limits, num_workers=num_workers).manifest


def scan_with_pictures(
    photos: pd.DataFrame, limits: ValidateParams, *, num_workers: int = 0, cache: Path | None = None
) -> Scan:
    """Decode every photo once, in several processes.

    Args:
        photos: the list that `ingest` wrote.
        limits: the group `validate`.
        num_workers: processes; 0 takes one per core.
        cache: folder of what earlier runs found out; photos found there are not decoded again. None: no such folder.
    """
    photos = photos.reset_index(drop=True)
    scanned = track(_scan(photos, limits, num_workers, cache), total=len(photos), task="validate")
    counts: Counter[str] = Counter()
    facts, digests, pictures = [], [], {}
    for path, listed, (photo, digest) in zip(photos["path"], photos["sha256"], scanned, strict=True):
        facts.append(asdict(photo.facts))
        digests.append(digest if listed else listed)  # of what was decoded, should it have been replaced
        if photo.flag and digest not in pictures and counts[photo.flag] < MAX_PICTURES_PER_FLAG:
            counts[photo.flag] += 1
            pictures[digest] = (path, digest, photo.flag, photo.thumbnail)
    table = photos.assign(sha256=digests).join(pd.DataFrame(facts, index=photos.index))
    gallery = pd.DataFrame(pictures.values(), columns=GALLERY_COLUMNS, dtype=object)
    return Scan(judge_photos(table, limits)[list(MANIFEST_COLUMNS)], gallery)


def _scan(
    photos: pd.DataFrame, limits: ValidateParams, num_workers: int, cache: Path | None
) -> Iterator[tuple[ScannedPhoto, str]]:
    copied = photos.duplicated("sha256", keep=False) & (photos["sha256"] != "")
    candidates = [Candidate(path, twice) for path, twice in zip(photos["path"], copied.tolist(), strict=True)]
    keys = [
        Photo(one.path, sha256, f"{one.copied} {PurePosixPath(one.path).suffix.lower()}")
        for one, sha256 in zip(candidates, photos["sha256"], strict=True)
    ]
    flag_limits = FlagLimits(**{field.name: getattr(limits, field.name) for field in fields(FlagLimits)})

    def scan(items: Sequence[Candidate]) -> Iterator[tuple[ScannedPhoto, str]]:
        for photo in map_in_processes(partial(scan_photo, flag_limits=flag_limits), items, num_workers=num_workers):
            yield photo, photo.sha256

    codec = Codec(pack_scanned, unpack_scanned)
    return map_cached(keys, candidates, scan, folder=cache, name="facts", codec=codec, depends_on=flag_limits)


def pack_scanned(photo: ScannedPhoto) -> bytes:
    """A scanned photo as JSON; b'' if it was not decoded, which the next run may be luckier with."""
    if not photo.facts.decodes:
        return b""
    return json.dumps({**asdict(photo), "thumbnail": base64.b64encode(photo.thumbnail).decode()}).encode()


def unpack_scanned(content: bytes) -> ScannedPhoto:
    """What `pack_scanned` was given."""
    values = json.loads(content)
    facts, thumbnail = PhotoFacts(**values["facts"]), base64.b64decode(values["thumbnail"])
    return ScannedPhoto(facts, values["flag"], thumbnail, values["sha256"])


# --- which photos are left out, and why; the files themselves stay as they are ---

CAUSES = {
    "too_large": "more pixels than validate.max_megapixels; never decoded",
    "unreadable": "cannot be decoded whole",
    "format": "a format that validate.formats does not name",
    "too_small": "a side below validate.min_side",
    "two_labels": "the same bytes under two labels: none of them can be trusted",
    "duplicate": "the same bytes as another photo of the same label, which stays",
    "later_frames": "an animation or several pages: the first picture is used, the others are left out",
}
SPLIT_RANKS = {"test": 0, "validation": 1, "train": 2}  # of copies in several splits the held-out one stays
QUARANTINE_COLUMNS = ["path", "label", "cause", "reason"]


def judge_photos(table: pd.DataFrame, limits: ValidateParams) -> pd.DataFrame:
    """Add `cause`, `reason` and `usable` to the facts of all photos.

    Args:
        table: columns path, label, split, sha256 and those of `PhotoFacts`; a clean index.
        limits: the group `validate`.
    """
    judged = [_judge_alone(row, limits) for row in table.to_dict("records")]
    found = pd.DataFrame(judged, columns=["cause", "reason"], index=table.index, dtype=object)
    good = table[found["cause"] == ""]
    for _, same in good[good.duplicated("sha256", keep=False)].groupby("sha256", sort=False):
        for place, verdict in _judge_copies(same).items():
            found.loc[place] = verdict
    return table.assign(cause=found["cause"], reason=found["reason"], usable=found["cause"] == "")


def _judge_alone(photo: Mapping[Any, Any], limits: ValidateParams) -> tuple[str, str]:
    """Why a photo is left out whatever the others are; empty for a good one."""
    size = f"{photo['width']}x{photo['height']} pixels"
    if photo["width"] * photo["height"] > limits.max_megapixels * 1e6:
        return "too_large", f"{size}, above validate.max_megapixels = {limits.max_megapixels:g}"
    if not photo["decodes"]:
        return "unreadable", f"cannot be decoded: {photo['error']}"
    if photo["format"] not in limits.formats:
        return "format", f"format {photo['format']} is not among validate.formats"
    if min(photo["width"], photo["height"]) < limits.min_side:
        return "too_small", f"{size}, below validate.min_side = {limits.min_side}"
    return "", ""


def _judge_copies(same: pd.DataFrame) -> dict[Any, tuple[str, str]]:
    """The verdict on photos of the same bytes, by their place in the table; the one that stays has none."""
    labels = sorted(set(same["label"]))
    if len(labels) > 1:
        return dict.fromkeys(same.index, ("two_labels", f"the same bytes under the labels {', '.join(labels)}"))
    ranks = same["split"].map(SPLIT_RANKS).fillna(len(SPLIT_RANKS))
    order = same.assign(rank=ranks).sort_values(["rank", "path"]).index
    kept = str(same.at[order[0], "path"])
    return dict.fromkeys(order[1:], ("duplicate", "the same bytes as " + kept))


def list_quarantine(manifest: pd.DataFrame) -> pd.DataFrame:
    """What is left out: photos, and of usable animations and multi-page files the pictures after the first."""
    later = manifest["usable"] & (manifest["frames"] > 1) & ~manifest["format"].isin(SECOND_VIEWS)
    frames = manifest.loc[later, "frames"]
    reasons = [f"{count} pictures in the file; the first is used, {count - 1} left out" for count in frames]
    table = manifest[QUARANTINE_COLUMNS].copy()
    table.loc[later, "cause"] = "later_frames"
    table.loc[later, "reason"] = reasons
    return table[later | ~manifest["usable"]]


# --- the result of the stage ---

MANIFEST_FILE = "manifest.parquet"
GALLERY_FILE = "gallery.parquet"
RESULT_FILE = "result.json"
QUARANTINE_FILE = "quarantine.csv"
DATA_DOCS_FOLDER = "data_docs"


@dataclass(frozen=True)
class Verdict:
    """What one expectation found.

    Attributes:
        name: of the expectation, as `validate.critical` names it.
        expectation: what was expected, in words.
        severity: `critical` stops the pipeline, `warning` is reported.
        success: whether the data meets it.
        observed: what was found, in words.
        expected: the limit in few words.
        parameter: the parameter of `params.yaml` that sets the limit.
        worst: paths or classes that do not meet it, a few of them, the farthest from the limit first.
    """

    name: str
    expectation: str
    severity: str
    success: bool
    observed: str
    expected: str
    parameter: str
    worst: tuple[str, ...]


def find_failed(verdicts: Iterable[Verdict], severity: str) -> list[Verdict]:
    """The verdicts of a severity that the data does not meet."""
    return [verdict for verdict in verdicts if verdict.severity == severity and not verdict.success]


@dataclass(frozen=True)
class Validation:
    """What stage `validate` wrote.

    Attributes:
        manifest: facts about every photo, see `MANIFEST_COLUMNS`.
        gallery: small pictures of flagged photos, see `Scan`.
        quarantine: what is left out: path, label, cause, reason.
        result: plain values: success, num_photos, num_usable, num_warnings, quarantine (photos by cause), expectations
            (the fields of `Verdict`).
    """

    manifest: pd.DataFrame
    gallery: pd.DataFrame
    quarantine: pd.DataFrame
    result: dict[str, Any]

    @classmethod
    def of(cls, scan: Scan, verdicts: Sequence[Verdict]) -> "Validation":
        """Sum up a scan and what the expectations made of it."""
        quarantine = list_quarantine(scan.manifest)
        counts = quarantine["cause"].value_counts()
        result = {
            "success": not find_failed(verdicts, "critical"),
            "num_photos": len(scan.manifest),
            "num_usable": int(scan.manifest["usable"].sum()),
            "num_warnings": len(find_failed(verdicts, "warning")),
            "quarantine": {cause: int(counts.get(cause, 0)) for cause in CAUSES},
            "expectations": [asdict(verdict) for verdict in verdicts],
        }
        return cls(scan.manifest, scan.gallery, quarantine, result)

    def save(self, manifest: Path, report: Path) -> None:
        """Write it whole or not at all; without the manifest where it must not be used.

        Args:
            manifest: folder for manifest and gallery.
            report: folder for result and quarantine.
        """
        files = {
            report / QUARANTINE_FILE: csv_bytes(self.quarantine),
            manifest / GALLERY_FILE: parquet_bytes(self.gallery),
            report / RESULT_FILE: json_bytes(self.result),
        }
        if self.result["success"]:
            files[manifest / MANIFEST_FILE] = parquet_bytes(self.manifest)
        write_together(files)
        if not self.result["success"]:
            (manifest / MANIFEST_FILE).unlink(missing_ok=True)  # an earlier one would contradict the report

    @classmethod
    def load(cls, manifest: Path, report: Path) -> "Validation":
        """Read what `save` wrote.

        Raises:
            ConvLensError: a file is missing or broken.
        """
        quarantine = read_csv(report / QUARANTINE_FILE, QUARANTINE_COLUMNS)
        return cls(load_manifest(manifest), read_parquet(manifest / GALLERY_FILE), quarantine, load_result(report))


def load_manifest(folder: Path) -> pd.DataFrame:
    """Read the facts about every photo that `validate` wrote, see `MANIFEST_COLUMNS`.

    Raises:
        ConvLensError: the file is missing or broken.
    """
    return read_parquet(folder / MANIFEST_FILE)


def load_result(report: Path) -> dict[str, Any]:
    """Read the outcome of the expectations, see `Validation.result`.

    Raises:
        ConvLensError: the file is missing or broken.
    """
    return dict(read_json(report / RESULT_FILE))
