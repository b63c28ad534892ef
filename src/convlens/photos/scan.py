"""One pass over the photos: every file fully decoded once, one row of facts each."""

import base64
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path, PurePosixPath

import pandas as pd

from convlens.params import ValidateParams
from convlens.photos.cache import Codec, ResultCache
from convlens.photos.facts import Candidate, Doubts, PhotoFacts, ScannedPhoto, scan_photo
from convlens.photos.manifest import MANIFEST_COLUMNS
from convlens.photos.quarantine import judge_photos
from convlens.photos.workers import map_in_processes
from convlens.progress import track

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
