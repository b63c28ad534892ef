"""Facts about every photo: what it is, whether it can be used, and why not."""

import io
from dataclasses import dataclass
from dataclasses import replace
from pathlib import Path
from typing import Any
import numpy as np
from PIL import Image
from convlens.data.duplicates import compute_hashes
from convlens.data.loader import PhotoError
from convlens.data.loader import decode_photo
from convlens.data.loader import open_photo
from convlens.data.loader import read_orientation
from convlens.data.loader import read_photo
from collections.abc import Mapping
import pandas as pd
from convlens.params import ValidateParams
import base64
import json
from collections import Counter
from collections.abc import Iterable
from collections.abc import Iterator
from dataclasses import asdict
from dataclasses import fields
from functools import partial
from pathlib import PurePosixPath
from convlens.data.cache import Codec
from convlens.data.cache import ResultCache
from convlens.data.workers import map_in_processes
from convlens.progress import track

# --- The facts of one photo, from decoding it once. Light to import: worker processes load it ---

ROTATED = (5, 6, 7, 8)  # EXIF orientations that swap width and height
STATISTICS_SIDE = 256
THUMBNAIL_SIDE = 160
THUMBNAIL_QUALITY = 78
MAX_PAGES = 1000
SECOND_VIEWS = ("MPO",)  # phones keep previews and depth maps there: no pages, nothing lost


@dataclass(frozen=True)
class PhotoFacts:
    """What is known of a photo after decoding it; `manifest.py` says what each field means, its unit and range."""

    format: str = ""
    mode: str = ""
    frames: int = 0
    width: int = 0
    height: int = 0
    aspect: float = 0.0
    orientation: int = 1
    suffix_agrees: bool = False
    decodes: bool = False
    error: str = ""
    brightness: float = 0.0
    contrast: float = 0.0
    sharpness: float = 0.0
    perceptual_hash: str = ""


@dataclass(frozen=True)
class Doubts:
    """What makes a photo worth a picture in the report; the fields of the group `validate` of the same names."""

    formats: tuple[str, ...]
    min_side: int
    max_megapixels: float
    dark_brightness: float
    blurred_sharpness: float


@dataclass(frozen=True)
class Candidate:
    """A photo to scan; `copied` if another file has its digest."""

    path: str
    copied: bool = False


@dataclass(frozen=True)
class ScannedPhoto:
    """The facts of a photo; if there is a doubt about it, which (a word of `find_doubt`), and a small JPEG of it."""

    facts: PhotoFacts
    doubt: str = ""
    thumbnail: bytes = b""


def scan_photo(photo: Candidate, *, doubts: Doubts) -> ScannedPhoto:
    """Decode one photo and measure it; what cannot be decoded is told in `error`, never raised."""
    facts = PhotoFacts()
    try:
        with open_photo(read_photo(photo.path)) as image:
            facts = _read_header(image, photo.path)
            if facts.width * facts.height > doubts.max_megapixels * 1e6:
                return ScannedPhoto(replace(facts, error=f"{facts.width}x{facts.height} pixels"))
            image.draft(None, (STATISTICS_SIDE, STATISTICS_SIDE))
            picture = decode_photo(image)
    except PhotoError as error:
        return ScannedPhoto(replace(facts, error=error.reason))
    picture.thumbnail((STATISTICS_SIDE, STATISTICS_SIDE), Image.Resampling.BOX)
    facts = replace(facts, decodes=True, **_measure(picture))
    doubt = "copied" if photo.copied else find_doubt(facts, doubts)
    return ScannedPhoto(facts, doubt, _shrink(picture) if doubt else b"")


def find_doubt(facts: PhotoFacts, doubts: Doubts) -> str:
    """Why a person may want to see a decoded photo: `format`, `too_small`, `later_frames`, `dark`, `blurred` or ``."""
    found = {
        "format": facts.format not in doubts.formats,
        "too_small": min(facts.width, facts.height) < doubts.min_side,
        "later_frames": facts.frames > 1 and facts.format not in SECOND_VIEWS,
        "dark": facts.brightness < doubts.dark_brightness,
        "blurred": facts.sharpness < doubts.blurred_sharpness,
    }
    return next((name for name, holds in found.items() if holds), "")


def _read_header(image: Image.Image, path: str) -> PhotoFacts:
    try:
        frames = _count_frames(image)
    except Exception as error:  # a broken header shows itself in many ways
        raise PhotoError(f"Expected a whole photo. Received: {path}: {error}", str(error)) from error
    orientation = read_orientation(image)
    lying = orientation in ROTATED and image.format != "TIFF"  # Pillow gives the upright size of a TIFF
    width, height = image.size[::-1] if lying else image.size
    kind = image.format or ""
    known = Image.registered_extensions().get(Path(path).suffix.lower())
    return PhotoFacts(
        format=kind,
        mode=image.mode,
        frames=frames,
        width=width,
        height=height,
        aspect=round(width / height, 4),
        orientation=orientation,
        suffix_agrees=known == kind or {known, kind} == {"JPEG", "MPO"},
    )


def _count_frames(image: Image.Image) -> int:
    """Pictures in the file. Pillow's own count of the pages of a TIFF takes the square of their number."""
    if image.format != "TIFF":
        return int(getattr(image, "n_frames", 1))
    for page in range(1, MAX_PAGES + 1):
        try:
            image.seek(page)
        except EOFError:
            image.seek(0)
            return page
    raise ValueError(f"a TIFF of more than {MAX_PAGES:,} pages")


def _measure(image: Image.Image) -> dict[str, Any]:
    """Brightness, contrast, sharpness and hashes of a picture of at most 256 pixels a side.

    Sharpness is the variance of the Laplacian (Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy",
    ICPR 2000) of luminance in 8-bit levels. At one size, so that one limit serves the photos of every camera.
    """
    light = np.asarray(image.convert("L")).astype(np.int32)
    inner = light[1:-1, 1:-1]
    laplacian = light[:-2, 1:-1] + light[2:, 1:-1] + light[1:-1, :-2] + light[1:-1, 2:] - 4 * inner
    return {
        "brightness": round(float(light.mean()) / 255, 4),
        "contrast": round(_variance(light) ** 0.5 / 255, 4),
        "sharpness": round(_variance(laplacian), 2),
        **compute_hashes(image),
    }


def _variance(values: np.ndarray) -> float:
    """Of integers, through exact sums: the same on every machine, in whatever order it adds. 0 for no values."""
    if not values.size:
        return 0.0
    mean = int(values.sum(dtype=np.int64)) / values.size
    return max(int(np.einsum("ij,ij->", values, values, dtype=np.int64)) / values.size - mean**2, 0.0)


def _shrink(picture: Image.Image) -> bytes:
    """A JPEG of at most 160 pixels a side."""
    picture.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.BOX)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=THUMBNAIL_QUALITY)
    return buffer.getvalue()


# --- Which photos are left out, and why. The files themselves stay as they are ---

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


def list_quarantine(manifest: pd.DataFrame) -> pd.DataFrame:
    """What is left out: photos, and of usable animations and multi-page files the pictures after the first."""
    later = manifest["usable"] & (manifest["frames"] > 1) & ~manifest["format"].isin(SECOND_VIEWS)
    frames = manifest.loc[later, "frames"]
    reasons = [f"{count} pictures in the file; the first is used, {count - 1} left out" for count in frames]
    table = manifest[QUARANTINE_COLUMNS].copy()
    table.loc[later, "cause"] = "later_frames"
    table.loc[later, "reason"] = reasons
    return table[later | ~manifest["usable"]]


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


# --- manifest ---
# The columns of `data/manifest.parquet`: one row per photo, in the order of the source. The one place that says so.

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
    "cause": "why it is left out, in one word of `quarantine.CAUSES`; empty for a usable photo",
    "reason": "the same in a sentence",
    "usable": "whether training may use it: `cause` is empty",
}


# --- One pass over the photos: every file fully decoded once, one row of facts each ---

MAX_PICTURES_PER_DOUBT = 24


@dataclass(frozen=True)
class Scan:
    """What one pass over the photos found.

    Attributes:
        manifest: one row per photo, the columns of `manifest.py`.
        gallery: small pictures of some of the doubtful photos, at most 24 for each kind of doubt: columns path,
            sha256, doubt (see `facts.find_doubt`; `copied`: another file has its digest, one picture for all of them)
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
    gallery = _Gallery(photos)
    scanned = _scan(photos, limits, num_workers=num_workers, cache=cache)
    facts = list(gallery.watch(track(scanned, total=len(photos), task="validate")))
    table = photos.join(pd.DataFrame([asdict(row) for row in facts], index=photos.index))
    return Scan(judge_photos(table, limits)[list(MANIFEST_COLUMNS)], gallery.table())


def pack_scanned(photo: ScannedPhoto) -> bytes:
    """A scanned photo as JSON; b'' if it was not decoded, which the next run may be luckier with."""
    if not photo.facts.decodes:
        return b""
    return json.dumps({**asdict(photo), "thumbnail": base64.b64encode(photo.thumbnail).decode()}).encode()


def unpack_scanned(content: bytes) -> ScannedPhoto:
    """What `pack_scanned` was given."""
    values = json.loads(content)
    return ScannedPhoto(PhotoFacts(**values["facts"]), values["doubt"], base64.b64decode(values["thumbnail"]))


def _scan(
    photos: pd.DataFrame, limits: ValidateParams, *, num_workers: int, cache: Path | None
) -> Iterator[ScannedPhoto]:
    copied = photos.duplicated("sha256", keep=False) & (photos["sha256"] != "")
    candidates = [Candidate(path, twice) for path, twice in zip(photos["path"], copied.tolist(), strict=True)]
    keys = [_name(each, digest) for each, digest in zip(candidates, photos["sha256"], strict=True)]
    doubts = Doubts(**{field.name: getattr(limits, field.name) for field in fields(Doubts)})
    codec = Codec(pack_scanned, unpack_scanned)
    with ResultCache[Candidate, ScannedPhoto](cache, "facts", codec=codec, depends_on=doubts, keys=keys) as results:
        scan = partial(map_in_processes, partial(scan_photo, doubts=doubts), num_workers=num_workers)
        yield from results.map(keys, candidates, scan)


def _name(photo: Candidate, digest: str) -> str:
    """All that the facts of a photo depend on: its content, its suffix, and whether it is there twice."""
    return f"{digest} {photo.copied} {PurePosixPath(photo.path).suffix.lower()}" if digest else ""


class _Gallery:
    """Keeps a bounded number of the pictures that pass by."""

    def __init__(self, photos: pd.DataFrame) -> None:
        self._photos = photos[["path", "sha256"]]
        self._counts: Counter[str] = Counter()
        self._digests: set[str] = set()
        self._rows: list[dict[str, object]] = []

    def watch(self, scanned: Iterable[ScannedPhoto]) -> Iterator[PhotoFacts]:
        for (path, digest), photo in zip(self._photos.itertuples(index=False), scanned, strict=True):
            if photo.doubt and digest not in self._digests and self._counts[photo.doubt] < MAX_PICTURES_PER_DOUBT:
                self._counts[photo.doubt] += 1
                self._digests.add(digest)
                self._rows.append({"path": path, "sha256": digest, "doubt": photo.doubt, "thumbnail": photo.thumbnail})
            yield photo.facts

    def table(self) -> pd.DataFrame:
        return pd.DataFrame(self._rows, columns=["path", "sha256", "doubt", "thumbnail"], dtype=object)
