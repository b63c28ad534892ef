"""Which photos a folder holds, and what its class folders say of them."""

import os
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from convlens.errors import ConvLensError

IGNORED_SUFFIXES = frozenset({".csv", ".md", ".txt", ".json", ".yaml", ".yml", ".dvc", ".ini", ".db"})
JUNK = "__macosx"
MAX_SHOWN = 8


@dataclass(frozen=True)
class FoundPhoto:
    """A photo of the folder.

    Attributes:
        path: where it is.
        name: relative to the folder, with forward slashes, fit to be printed.
        label: its class; empty in a folder without class folders.
    """

    path: Path
    name: str
    label: str


def find_photos(
    folder: Path, classes: Sequence[str], *, renamed: Mapping[str, str], unlabelled: bool = False
) -> list[FoundPhoto]:
    """The photos of a folder of class folders, or of a folder of photos, sorted by name.

    Args:
        folder: to be searched, subfolders and all; hidden files, tables and notes are passed over.
        classes: of the model.
        renamed: class by name of a class folder; an empty class leaves the folder out.
        unlabelled: folders mean nothing.

    Raises:
        ConvLensError: no folder, no photos, a folder that is no class, or photos beside class folders.
    """
    files = _list_files(folder)
    tops = {_plain(path.relative_to(folder).parts[0]) for path in files if path.parent != folder}
    if unlabelled or not tops:
        if renamed:
            raise ConvLensError(f"Expected class folders in {folder} for --map. Received: none, or --unlabelled.")
        return [FoundPhoto(path, _name(path, folder), "") for path in files]
    _refuse_loose_photos(files, folder)
    chosen = _choose_classes(sorted(tops), classes, {_plain(old): _plain(new) for old, new in renamed.items()})
    labels = {path: chosen[_plain(path.relative_to(folder).parts[0])] for path in files}
    photos = [FoundPhoto(path, _name(path, folder), label) for path, label in labels.items() if label]
    if not photos:
        raise ConvLensError(f"Expected photos in {folder}. Received: --map leaves out all of its folders.")
    return photos


def parse_renamed(pairs: Sequence[str]) -> dict[str, str]:
    """What `--map kitten=cats` means, given several times.

    Raises:
        ConvLensError: no equals sign, no name, or a name twice.
    """
    renamed: dict[str, str] = {}
    for pair in pairs:
        name, sign, label = pair.partition("=")
        if not sign or not name or name in renamed:
            raise ConvLensError(f"Expected --map FOLDER=CLASS, each folder once. Received: --map {pair}.")
        renamed[name] = label
    return renamed


def _list_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise ConvLensError(f"Expected a folder of photos. Received: {folder}, which is no folder.")
    files = sorted(path for path in folder.rglob("*") if path.is_file() and _is_wanted(path.relative_to(folder)))
    if not files:
        raise ConvLensError(f"Expected photos in {folder}. Received: none. Name a folder with photos or class folders.")
    return files


def _is_wanted(path: Path) -> bool:
    odd = any(part.startswith(".") or part.lower() == JUNK for part in path.parts)
    return not odd and path.suffix.lower() not in IGNORED_SUFFIXES and path.name.lower() != "readme"


def _refuse_loose_photos(files: Sequence[Path], folder: Path) -> None:
    loose = [path.name for path in files if path.parent == folder]
    if loose:
        raise ConvLensError(
            f"Expected either class folders or photos in {folder}. Received: both, {loose[0]} for one lies beside the "
            "folders. Move the photos into their class folders, or say --unlabelled."
        )


def _choose_classes(names: Sequence[str], classes: Sequence[str], renamed: Mapping[str, str]) -> dict[str, str]:
    """The class of each class folder, as the model calls it; empty for those to be left out."""
    known = {_plain(name): name for name in classes}
    wrong = [name for name in renamed if name not in names] + [new for new in renamed.values() if new not in known]
    wrong = [name for name in wrong if name]
    if wrong:
        raise ConvLensError(
            f"Expected --map FOLDER=CLASS with folders {_list(names)} and classes {_list(classes)}. "
            f"Received: '{wrong[0]}'."
        )
    unknown = [name for name in names if name not in renamed and name not in known]
    if unknown:
        raise ConvLensError(
            f"Expected folders named as the model's classes, {_list(classes)}. Received: {_list(unknown)}. "
            f"Say what they are: {' '.join(_suggest(name, known) for name in unknown[:MAX_SHOWN])} "
            "(nothing after = leaves a folder out), or --unlabelled."
        )
    return {name: known[renamed.get(name, name)] if renamed.get(name, name) else "" for name in names}


def _suggest(name: str, known: Mapping[str, str]) -> str:
    alike = next((label for plain, label in known.items() if plain.casefold() == name.casefold()), "CLASS")
    return f'--map "{name}={alike}"' if " " in name + alike else f"--map {name}={alike}"


def _plain(name: str) -> str:
    """Names are compared by what they look like: macOS takes letters and accents apart."""
    return unicodedata.normalize("NFC", name)


def _name(path: Path, folder: Path) -> str:
    """A name that is no text must not stop the others."""
    return os.fsencode(path.relative_to(folder).as_posix()).decode("utf-8", "replace")


def _list(names: Sequence[str]) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:MAX_SHOWN])
    return shown if len(names) <= MAX_SHOWN else f"{shown} and {len(names) - MAX_SHOWN} more"
