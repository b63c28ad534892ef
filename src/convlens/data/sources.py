"""From a folder or an object store to the list of photos, with labels.csv and regions.csv."""

import os
import stat
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from convlens.data.loader import digest_photo, list_objects
from convlens.errors import ConvLensError, printable
from convlens.files import read_parquet, write_parquet

# --- the list of photos, as stage `ingest` writes it ---

LIST_COLUMNS = ["path", "label", "bytes", "sha256", "split", "regions"]  # and those of labels.csv, after `PREFIX`
PREFIX = "extra_"
Regions = dict[str, list[dict[str, float | str]]]


@dataclass(frozen=True)
class ListedPhoto:
    """A photo as the source has it.

    Attributes:
        path: where it is, with forward slashes, relative to the repository or absolute as the source was named.
        label: name of its class folder.
        split: `train`, `validation` or `test` where the source has its own split, else empty.
    """

    path: str
    label: str
    split: str


def describe_photos(photos: list[ListedPhoto], regions: Regions) -> pd.DataFrame:
    """One row per photo: path, label, bytes, sha256, split, regions. A file that cannot be read gets digest ''."""
    with ThreadPoolExecutor() as pool:
        digests = list(pool.map(digest_photo, (photo.path for photo in photos)))
    columns = (
        [photo.path for photo in photos],
        [photo.label for photo in photos],
        [size for size, _ in digests],
        [digest for _, digest in digests],
        [photo.split for photo in photos],
        [regions.get(photo.path, []) for photo in photos],
    )
    return pd.DataFrame(dict(zip(LIST_COLUMNS, columns, strict=True)))


def save_photos(path: Path, photos: pd.DataFrame) -> None:
    """Write the list of photos (parquet)."""
    write_parquet(path, photos)


def load_photos(path: Path) -> pd.DataFrame:
    """Read the list of photos: `LIST_COLUMNS`, and the columns of labels.csv, their names after `extra_`.

    Raises:
        ConvLensError: the file is missing or broken.
    """
    return read_parquet(path)


def refuse_replaced(paths: pd.Series, before: pd.Series, now: pd.Series, *, since: str) -> None:
    """Refuse photos that are not what an earlier stage has seen: their pixels would stand under another digest.

    Args:
        paths: of the photos.
        before: sha256 that the earlier stage found.
        now: sha256 of what has been read now, in the same order; '' if a photo is gone.
        since: name of the earlier stage.

    Raises:
        ConvLensError: some have been replaced or removed meanwhile.
    """
    changed = paths[before.to_numpy() != now.to_numpy()].tolist()
    if changed:
        raise ConvLensError(
            f"Expected photos that stay as `{since}` saw them. Received: {len(changed):,} that were replaced or "
            f"removed meanwhile, for example {printable(changed[0])}. Nothing is written. `dvc repro` again; if "
            "`ingest` finds no change then, `dvc repro --force ingest`."
        )


# --- folders of class folders; a folder is listed, never copied or changed ---
#
# Arrow's file systems do not tell links, and take no names that are not UTF-8; so folders are listed through `Path`,
# and an object store is shown to the same rules as folders that have the few methods of `Path` they need.

SPLIT_FOLDERS = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "test": "test",
    "testing": "test",
}
JUNK = {
    *("thumbs.db", "desktop.ini", "__macosx", "icon\r"),
    *("@eadir", "#recycle", "#snapshot", "@recycle", "@recently-snapshot", "@tmp"),  # Synology, QNAP
    *("lost+found", "$recycle.bin", "system volume information"),
}
JUNK_SUFFIXES = ("@synoresource", "@synoeastream")
NOTES = (".xml", ".txt", ".json", ".csv", ".md", ".yaml", ".yml", ".dvc")  # of annotators and people, beside photos
NOTE_NAMES = ("readme", "license", "licence")


@dataclass
class StoreFolder:
    """A folder of an object store, or an object in it (which has no children)."""

    address: str
    children: dict[str, "StoreFolder"] = field(default_factory=dict)

    @classmethod
    def read(cls, address: str) -> "StoreFolder":
        """List what is below an address.

        Raises:
            ConvLensError: nothing there, or the store does not answer or refuses.
        """
        root = cls(address)
        for key in list_objects(address):
            place = root
            for name in key.split("/"):
                place = place.children.setdefault(name, cls(f"{place.address}/{name}"))
        return root

    @property
    def name(self) -> str:
        return self.address.rpartition("/")[2]

    def __str__(self) -> str:
        return self.address

    as_posix = __str__

    def is_dir(self) -> bool:
        return bool(self.children)

    def is_symlink(self) -> bool:
        return False

    def iterdir(self) -> Iterable["StoreFolder"]:
        return self.children.values()


Folder = Path | StoreFolder


def list_folder(folder: Path) -> list[ListedPhoto]:
    """List a folder of class folders, or of `train`/`validation`/`test` folders of class folders.

    Raises:
        ConvLensError: missing or empty folder, fewer than two classes, classes of nearly the same name, a class without
            files, a link that leads out, class folders beside split folders, a name that is not UTF-8.
    """
    if not folder.is_dir():
        raise ConvLensError(f"Expected a folder of class folders. Received: {folder}, which is no folder.")
    return _list_tree(folder)


def require_source(source: Path) -> None:
    """Refuse a `data.source` that is not there.

    Raises:
        ConvLensError: nothing is there.
    """
    if not source.exists():
        raise ConvLensError(
            f"Expected data.source to be a folder of class folders, a zip or tar archive, or a card. "
            f"Received: {source}, which does not exist. Correct data.source in params.yaml."
        )


def find_unreadable(folder: Path) -> list[str]:
    """What is below a folder that DVC, which reads all of it, stops at or waits for: each with the reason, in order.

    Dead links, pipes and other special files, names that are not UTF-8, and what one may not read; also among the
    files that are no photos.
    """
    found = []
    for place, folders, files in os.walk(folder, onerror=lambda error: found.append(f"{error.filename}: no access")):
        for name in (*folders, *files):
            path = os.path.join(place, name)
            try:
                name.encode()
                status = os.stat(path)
            except UnicodeEncodeError:
                found.append(f"{os.fsencode(path)!r}: a name that is not UTF-8")
            except OSError:
                found.append(f"{path}: a link to nothing" if os.path.islink(path) else f"{path}: no access")
            else:
                if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
                    found.append(f"{path}: a pipe or another special file")
                elif not os.access(path, os.R_OK):
                    found.append(f"{path}: no access")
    return sorted(found)


def list_store(address: str) -> list[ListedPhoto]:
    """List what is below an address of an object store, by the rules of `list_folder`.

    Raises:
        ConvLensError: as `list_folder`; or the store does not answer.
    """
    return _list_tree(StoreFolder.read(address))


def _list_tree(folder: Folder) -> list[ListedPhoto]:
    root = _step_into(folder)
    photos = []
    for top in _folders(root):
        _refuse_outside(top, folder)
        split = SPLIT_FOLDERS.get(top.name.lower(), "") if _folders(top) else ""
        for class_folder in _folders(top) if split else [top]:
            files = list(_files(class_folder, folder))
            if not files:
                raise ConvLensError(f"Expected photos in every class folder. Received: {class_folder}, which has none.")
            photos += [ListedPhoto(file.as_posix(), class_folder.name, split) for file in files]
    _check_classes({photo.label for photo in photos}, root)
    splits = {photo.split for photo in photos}
    if "" in splits and len(splits) > 1:
        classes = sorted({photo.label for photo in photos if not photo.split})
        raise ConvLensError(
            f"Expected either class folders or split folders ({', '.join(sorted(splits - {''}))}) in {root}. Received: "
            f"both; beside the split folders stands {', '.join(classes)}. Move it away, or into the split folders."
        )
    return sorted(photos, key=lambda photo: photo.path)


def _check_classes(classes: set[str], root: Folder) -> None:
    if len(classes) < 2:
        received = f"one class only ('{min(classes)}')" if classes else "no class folder"
        raise ConvLensError(
            f"Expected a folder with one folder of photos for each of at least two classes. Received: {root} with "
            f"{received}. Example: photos/cats/1.jpg and photos/dogs/1.jpg."
        )
    alike: dict[str, str] = {}
    for name in sorted(classes):
        plain = " ".join(unicodedata.normalize("NFKC", name).casefold().split())
        other = alike.setdefault(plain, name)
        if other != name:
            raise ConvLensError(
                f"Expected classes whose names differ in more than case, blanks or Unicode form. Received: {other!a} "
                f"and {name!a} in {root}. Put their photos into one folder, or rename one."
            )


def _step_into(folder: Folder) -> Folder:
    """Archives often wrap everything in one folder: step into it."""
    while len(inside := _folders(folder)) == 1:
        (wrapper,) = inside
        if wrapper.is_symlink() or wrapper.name.lower() in SPLIT_FOLDERS or not _folders(wrapper):
            break
        folder = wrapper
    return folder


def _folders(folder: Folder) -> list[Folder]:
    return [path for path in _children(folder) if path.is_dir()]


def _files(folder: Folder, source: Folder) -> Iterator[Folder]:
    _refuse_outside(folder, source)
    for path in _children(folder):
        _refuse_outside(path, source)
        if not path.is_dir():
            if not is_note(path.name):
                yield path
        elif not path.is_symlink():
            yield from _files(path, source)


def _children(folder: Folder) -> list[Folder]:
    """What is in a folder, in order, but for hidden files and what systems leave there."""
    try:
        paths: list[Folder] = [*folder.iterdir()]
    except OSError as error:  # no permission, a disk that went away
        raise ConvLensError(f"Expected to list {folder}. Received: {error.strerror}. Check its permissions.") from error
    for path in paths:
        try:
            path.name.encode()
        except UnicodeEncodeError:
            raise ConvLensError(
                f"Expected file names in UTF-8. Received: {os.fsencode(path.name)!r} in {folder}. Rename it."
            ) from None
    return sorted((path for path in paths if not is_junk(path.name)), key=lambda path: path.name)


def is_junk(name: str) -> bool:
    """Whether a file or folder is hidden, or what systems leave beside photos."""
    return name.startswith(".") or name.lower() in JUNK or name.lower().endswith(JUNK_SUFFIXES)


def is_note(name: str) -> bool:
    """Whether a file beside photos is one of annotators and people, by its name."""
    return name.lower().endswith(NOTES) or name.lower() in NOTE_NAMES


def describe_notes(folder: Path) -> str:
    """What is passed over among the photos of a folder, counted by kind, in words; '' for none, or where there is none.

    `labels.csv` and `regions.csv`, which are read, do not count.
    """
    kinds: Counter[str] = Counter()
    for _, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not is_junk(name)]
        wanted = (name for name in files if is_note(name) and not is_junk(name))
        kinds.update(Path(name).suffix.lower() or name for name in wanted if name not in (LABELS_FILE, REGIONS_FILE))
    counts = ", ".join(f"{count:,} {kind}" for kind, count in sorted(kinds.items()))
    return f"passed over beside the photos: {counts}." if kinds else ""


def _refuse_outside(path: Folder, source: Folder) -> None:
    if isinstance(path, StoreFolder) or isinstance(source, StoreFolder) or not path.is_symlink():
        return
    target = Path(os.path.realpath(path))  # links that lead to themselves are an error to Path.resolve
    if not target.is_relative_to(source.resolve()):
        raise ConvLensError(
            f"Expected photos inside {source}. Received: the link {path}, which leads out to {target}. "
            "Move the photos there, or name their own folder as data.source."
        )


# --- tables beside the photos: labels.csv (any columns) and regions.csv (named boxes) ---

LABELS_FILE = "labels.csv"
REGIONS_FILE = "regions.csv"
SIDES = ["left", "top", "right", "bottom"]
REGION_COLUMNS = ["path", "region", *SIDES]


def read_labels(folder: Path, paths: Sequence[str]) -> tuple[pd.DataFrame, list[str]]:
    """The columns of `labels.csv` for photos, and the photos it names that are not there.

    Args:
        folder: where the file is, or beside the class folders if one folder wraps them all. Paths in it are relative to
            where it is.
        paths: of the photos.

    Returns:
        One row per photo, one column of texts per column of the file, its name after `extra_`; no columns without the
        file. What the file does not say is ''.

    Raises:
        ConvLensError: not a CSV file, no column `path`, or a photo twice.
    """
    found = _find_beside(folder, LABELS_FILE)
    if found is None:
        return pd.DataFrame(index=range(len(paths))), []
    table = _read_csv(found, ["path"])
    twice = table["path"][table["path"].duplicated()]
    if len(twice):
        raise ConvLensError(f"Expected every photo once in {found}. Received: '{twice.iloc[0]}' twice. Remove one row.")
    table.index = pd.Index([(found.parent / path).as_posix() for path in table.pop("path")])
    strangers = sorted(set(table.index) - set(paths))
    return table.reindex(list(paths), fill_value="").reset_index(drop=True).add_prefix(PREFIX), strangers


def read_regions(folder: Path) -> Regions:
    """Read `regions.csv` beside the class folders: named boxes in pixels of the upright photo.

    Returns:
        For each photo's path (as `list_folder` gives it) its boxes: name, left, top, right, bottom.

    Raises:
        ConvLensError: not a CSV file, a column is missing, or a box is empty or not made of numbers.
    """
    found = _find_beside(folder, REGIONS_FILE)
    if found is None:
        return {}
    table = _read_csv(found, REGION_COLUMNS)
    sides = table[SIDES].apply(pd.to_numeric, errors="coerce").astype(float)
    whole = np.isfinite(sides).all(axis=1) & (sides["left"] < sides["right"]) & (sides["top"] < sides["bottom"])
    if not whole.all():
        first = table[~whole].iloc[0]
        raise ConvLensError(
            f"Expected boxes of numbers with left < right and top < bottom in {found}. Received: "
            f"{', '.join(first[SIDES])} for '{first['region']}' of '{first['path']}'."
        )
    boxes: Regions = {}
    for (path, name), box in zip(table[["path", "region"]].to_numpy().tolist(), sides.to_dict("records"), strict=True):
        boxes.setdefault((found.parent / path).as_posix(), []).append({"name": name, **box})
    return boxes


def _find_beside(folder: Path, name: str) -> Path | None:
    bases = (folder, Path(str(_step_into(folder))))
    return next((base / name for base in bases if (base / name).is_file()), None)


def _read_csv(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """A table of texts; columns that are wanted must be there."""
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (ValueError, OSError) as error:  # pandas' own errors are values out of place
        raise ConvLensError(f"Expected a CSV file at {path}. Received: {' '.join(str(error).split())}") from error
    table.columns = table.columns.astype(str).str.strip()
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise ConvLensError(
            f"Expected the columns {', '.join(columns)} in {path}. Received: no {', '.join(missing)}, but "
            f"{', '.join(table.columns)}."
        )
    return table.fillna("")
