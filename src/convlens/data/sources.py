"""From a source to the list of photos: a folder, a card, a table of labels, an object store."""

from collections.abc import Sequence
from pathlib import Path
import pandas as pd
from convlens.errors import ConvLensError
import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
import numpy as np
from convlens.data.loader import digest_object
from convlens.data.loader import is_address
from typing import Annotated
from typing import Literal
from pydantic import Field
from pydantic import model_validator
from convlens.params import Group
from convlens.params import parse_group
from convlens.params import read_yaml
from convlens.data.synthetic.recipe import SyntheticRecipe
from convlens.data.loader import list_objects

# --- labels csv ---
# More about photos than their class: `labels.csv` beside them, a column `path` and any others (breed, camera, …).

LABELS_FILE = "labels.csv"
PATH = "path"
PREFIX = "extra_"


def read_labels(folders: Sequence[Path], paths: Sequence[str]) -> tuple[pd.DataFrame, list[str]]:
    """The columns of `labels.csv` for photos, and the photos it names that are not there.

    Args:
        folders: where the file may be; the first that has it counts. Paths in it are relative to that folder.
        paths: of the photos.

    Returns:
        One row per photo, one column of texts per column of the file, its name after `extra_`; no columns without the
        file. What the file does not say is ''.

    Raises:
        ConvLensError: not a CSV file, no column `path`, or a photo twice.
    """
    found = next((folder / LABELS_FILE for folder in folders if (folder / LABELS_FILE).is_file()), None)
    if found is None:
        return pd.DataFrame(index=range(len(paths))), []
    table = _read(found)
    table.index = pd.Index([(found.parent / path).as_posix() for path in table.pop(PATH)])
    strangers = sorted(set(table.index) - set(paths))
    listed = table.reindex(list(paths), fill_value="").reset_index(drop=True)
    return listed.add_prefix(PREFIX), strangers


def _read(found: Path) -> pd.DataFrame:
    try:
        table = pd.read_csv(found, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (ValueError, OSError) as error:  # pandas' own errors are values out of place
        raise ConvLensError(f"Expected a CSV file at {found}. Received: {' '.join(str(error).split())}") from error
    table.columns = table.columns.str.strip()
    if PATH not in table.columns:
        raise ConvLensError(f"Expected a column '{PATH}' in {found}. Received: {', '.join(table.columns)}.")
    twice = table[PATH][table[PATH].duplicated()]
    if len(twice):
        raise ConvLensError(f"Expected every photo once in {found}. Received: '{twice.iloc[0]}' twice. Remove one row.")
    return table.fillna("")


# --- Which photos a folder of class folders holds. The folder is listed, never copied or changed ---

SPLIT_FOLDERS = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "test": "test",
    "testing": "test",
}
JUNK = {"thumbs.db", "desktop.ini", "__macosx", "icon\r"}
REGIONS_FILE = "regions.csv"
REGION_COLUMNS = ["path", "region", "left", "top", "right", "bottom"]

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


def list_folder(folder: Path) -> list[ListedPhoto]:
    """List a folder of class folders, or of `train`/`validation`/`test` folders of class folders.

    Raises:
        ConvLensError: missing or empty folder, fewer than two classes, a class without files, a link that leads out,
            class folders beside split folders, a name that is not UTF-8.
    """
    if not folder.is_dir():
        raise ConvLensError(f"Expected a folder of class folders. Received: {folder}, which is no folder.")
    root = _descend(folder)
    photos = [photo for top in _folders(root) for photo in _list_top(top, folder)]
    check_classes(photos, root)
    check_splits(photos, root)
    return sorted(photos, key=lambda photo: photo.path)


def read_regions(folder: Path) -> Regions:
    """Read `regions.csv` beside the class folders: named boxes in pixels of the upright photo.

    Returns:
        For each photo's path (as `list_folder` gives it) its boxes: name, left, top, right, bottom.

    Raises:
        ConvLensError: not a CSV file, a column is missing, or a box is empty or not made of numbers.
    """
    found = next((base / REGIONS_FILE for base in (folder, _descend(folder)) if (base / REGIONS_FILE).is_file()), None)
    if found is None:
        return {}
    try:
        table = pd.read_csv(found, dtype=str, keep_default_na=False)
    except (ValueError, OSError) as error:  # pandas' own errors are values out of place
        raise ConvLensError(f"Expected a CSV file at {found}. Received: {' '.join(str(error).split())}") from error
    missing = [name for name in REGION_COLUMNS if name not in table.columns]
    if missing:
        raise ConvLensError(
            f"Expected the columns {', '.join(REGION_COLUMNS)} in {found}. Received: no {', '.join(missing)}."
        )
    return _group_regions(table, found)


def label_folders(folder: Path) -> tuple[Path, Path]:
    """Where `labels.csv` may be: in the folder, or beside the class folders if one folder wraps them all."""
    return folder, _descend(folder)


def describe_photos(photos: list[ListedPhoto], regions: Regions) -> pd.DataFrame:
    """One row per photo: path, label, bytes, sha256, split, regions. A file that cannot be read gets digest ''."""
    with ThreadPoolExecutor() as pool:
        digests = list(pool.map(_digest_file, (photo.path for photo in photos)))
    return pd.DataFrame(
        {
            "path": [photo.path for photo in photos],
            "label": [photo.label for photo in photos],
            "bytes": [size for size, _ in digests],
            "sha256": [digest for _, digest in digests],
            "split": [photo.split for photo in photos],
            "regions": [regions.get(photo.path, []) for photo in photos],
        }
    )


def _descend(folder: Path) -> Path:
    """Archives often wrap everything in one folder: step into it."""
    inside = _folders(folder)
    while len(inside) == 1 and _is_wrapper(inside[0]):
        folder, inside = inside[0], _folders(inside[0])
    return folder


def _is_wrapper(folder: Path) -> bool:
    return not folder.is_symlink() and folder.name.lower() not in SPLIT_FOLDERS and bool(_folders(folder))


def _list_top(top: Path, source: Path) -> Iterator[ListedPhoto]:
    _refuse_outside(top, source)
    split = SPLIT_FOLDERS.get(top.name.lower(), "") if _folders(top) else ""
    for class_folder in _folders(top) if split else [top]:
        files = list(_files(class_folder, source))
        if not files:
            raise ConvLensError(f"Expected photos in every class folder. Received: {class_folder}, which has none.")
        yield from (ListedPhoto(file.as_posix(), class_folder.name, split) for file in files)


def _folders(folder: Path) -> list[Path]:
    return [path for path in _children(folder) if path.is_dir() and _wanted(path.name)]


def _files(folder: Path, source: Path) -> Iterator[Path]:
    _refuse_outside(folder, source)
    for path in _children(folder):
        if not _wanted(path.name):
            continue
        _refuse_outside(path, source)
        if path.is_dir():
            yield from () if path.is_symlink() else _files(path, source)
        else:
            yield path


def _children(folder: Path) -> list[Path]:
    """What is in a folder, in order."""
    try:
        return sorted(folder.iterdir())
    except OSError as error:  # no permission, a disk that went away
        raise ConvLensError(f"Expected to list {folder}. Received: {error.strerror}. Check its permissions.") from error


def _refuse_outside(path: Path, source: Path) -> None:
    if not path.is_symlink():
        return
    target = Path(os.path.realpath(path))  # links that lead to themselves are an error to Path.resolve
    if not target.is_relative_to(source.resolve()):
        raise ConvLensError(
            f"Expected photos inside {source}. Received: the link {path}, which leads out to {target}. "
            "Move the photos there, or name their own folder as data.source."
        )


def _wanted(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise ConvLensError(f"Expected file names in UTF-8. Received: {os.fsencode(name)!r}. Rename it.") from None
    return not name.startswith(".") and name.lower() not in JUNK


def check_classes(photos: list[ListedPhoto], root: Path | str) -> None:
    """Raise ConvLensError unless there are at least two classes."""
    classes = sorted({photo.label for photo in photos})
    if len(classes) < 2:
        received = f"one class only ('{classes[0]}')" if classes else "no class folder"
        raise ConvLensError(
            f"Expected a folder with one folder of photos for each of at least two classes. Received: {root} with "
            f"{received}. Example: photos/cats/1.jpg and photos/dogs/1.jpg."
        )


def check_splits(photos: list[ListedPhoto], root: Path | str) -> None:
    """Raise ConvLensError if class folders stand beside split folders."""
    splits = {photo.split for photo in photos}
    if "" in splits and len(splits) > 1:
        classes = sorted({photo.label for photo in photos if not photo.split})
        raise ConvLensError(
            f"Expected either class folders or split folders ({', '.join(sorted(splits - {''}))}) in {root}. Received: "
            f"both; beside the split folders stands {', '.join(classes)}. Move it away, or into the split folders."
        )


def _digest_file(path: str) -> tuple[int, str]:
    """Size and digest; a pipe or device is not opened, its reader would wait for ever."""
    if is_address(path):
        return digest_object(path)
    if not os.path.isfile(path):
        return 0, ""
    try:
        with open(path, "rb") as file:
            return os.fstat(file.fileno()).st_size, hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return 0, ""


def _group_regions(table: pd.DataFrame, found: Path) -> Regions:
    sides = table[["left", "top", "right", "bottom"]].apply(pd.to_numeric, errors="coerce").astype(float)
    whole = np.isfinite(sides).all(axis=1) & (sides["left"] < sides["right"]) & (sides["top"] < sides["bottom"])
    if not whole.all():
        first = int((~whole).to_numpy().argmax())
        received = ", ".join(table[["left", "top", "right", "bottom"]].iloc[first])
        raise ConvLensError(
            f"Expected boxes of numbers with left < right and top < bottom in {found}. Received: {received} "
            f"for '{table['region'].iloc[first]}' of '{table['path'].iloc[first]}'."
        )
    boxes: Regions = {}
    for row, box in zip(table.itertuples(), sides.itertuples(index=False), strict=True):
        path = (found.parent / str(row.path)).as_posix()
        boxes.setdefault(path, []).append({"name": str(row.region), **{k: float(v) for k, v in box._asdict().items()}})
    return boxes


# --- Data-set cards: small YAML files that say how to obtain photos ---

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100, description="Names files too.")]
License = Annotated[str, Field(description="Under which terms the pictures may be used.")]


class SyntheticCard(Group):
    """A data set that the painter draws."""

    kind: Literal["synthetic"]
    name: Name
    license: License
    recipe: SyntheticRecipe


class UrlCard(Group):
    """A data set to be downloaded: an archive of class folders."""

    kind: Literal["url"]
    name: Name
    license: License
    url: str = Field(pattern=r"^https?://")
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = Field(
        default=None, description="Digest of the archive; without it only its size is checked, and the digest shown."
    )
    bytes: int | None = Field(default=None, ge=1, description="Size of the archive.")
    homepage: str | None = None

    @model_validator(mode="after")
    def _be_checkable(self) -> "UrlCard":
        if self.sha256 is None and self.bytes is None:
            raise ValueError("Expected sha256 or bytes, so that the download can be checked. Received: neither")
        return self


class StoreCard(Group):
    """Photos in an object store, listed and read where they are."""

    kind: Literal["store"]
    name: Name
    license: License
    address: str = Field(pattern=r"^(s3|gs)://[^/@?#]+(/[^?#]*)?$", description="Such as s3://bucket/photos.")


Card = SyntheticCard | UrlCard | StoreCard


def read_card(path: Path) -> Card:
    """Read a card.

    Raises:
        ConvLensError: not a card, or a field is unknown, missing or out of range.
    """
    values = read_yaml(path)
    kinds: dict[str, type[Card]] = {"synthetic": SyntheticCard, "url": UrlCard, "store": StoreCard}
    kind = values.get("kind") if isinstance(values, dict) else None
    if not isinstance(kind, str) or kind not in kinds:
        raise ConvLensError(f"Expected a card with kind: synthetic, url or store in {path}. Received: {kind!r}.")
    return parse_group(kinds[kind], values, where=str(path))


# --- Which photos an object store holds below an address: the rules of `listing.py`, on keys instead of folders ---

Key = tuple[str, ...]  # the folders and the name, below the address


def find_address(source: str) -> str:
    """The address that `data.source` is, or that its card (kind: store) names; '' if the source is another one.

    Raises:
        ConvLensError: a card that is wrong.
    """
    if is_address(source):
        return source.rstrip("/")
    path = Path(source)
    if path.suffix not in (".yaml", ".yml") or not path.is_file():
        return ""
    card = read_card(path)
    return card.address.rstrip("/") if isinstance(card, StoreCard) else ""


def list_store(address: str) -> list[ListedPhoto]:
    """List class folders, or `train`/`validation`/`test` folders of class folders, below an address.

    Raises:
        ConvLensError: nothing there, no answer, fewer than two classes, class folders beside split folders.
    """
    keys = [key for key in (tuple(name.split("/")) for name in list_objects(address)) if _wanted_store_listing(key)]
    depth = _find_root(keys)
    splits = _split_names({key[depth] for key in keys if len(key) > depth + 2})
    placed = ((key, _place(key[depth:], splits)) for key in keys)
    photos = [ListedPhoto("/".join((address, *key)), *labels) for key, labels in placed if labels]
    root = "/".join((address, *(keys[0][:depth] if keys else ())))
    check_classes(photos, root)
    check_splits(photos, root)
    return sorted(photos, key=lambda photo: photo.path)


def _wanted_store_listing(key: Key) -> bool:
    return not any(part.startswith(".") or part.lower() in JUNK for part in key)


def _find_root(keys: Sequence[Key]) -> int:
    """How many wrapper folders to step into."""
    depth = 0
    while True:
        inside = [key[depth:] for key in keys if len(key) > depth + 1]
        tops = {key[0] for key in inside}
        if len(tops) != 1 or _split_names(tops) or not any(len(key) > 2 for key in inside):
            return depth
        depth += 1


def _split_names(names: set[str]) -> set[str]:
    return {name for name in names if name.lower() in SPLIT_FOLDERS}


def _place(key: Key, splits: set[str]) -> tuple[str, str] | None:
    """Label and split of a photo; None for a file outside the class folders."""
    if len(key) < 2:
        return None
    if key[0] not in splits:
        return key[0], ""
    return (key[1], SPLIT_FOLDERS[key[0].lower()]) if len(key) > 2 else None
