"""Which photos an object store holds below an address: the rules of `listing.py`, on keys instead of folders."""

from collections.abc import Sequence
from pathlib import Path

from convlens.photos.cards import StoreCard, read_card
from convlens.photos.listing import JUNK, SPLIT_FOLDERS, ListedPhoto, check_classes, check_splits
from convlens.photos.remote import is_address, list_objects

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
    keys = [key for key in (tuple(name.split("/")) for name in list_objects(address)) if _wanted(key)]
    depth = _find_root(keys)
    splits = _split_names({key[depth] for key in keys if len(key) > depth + 2})
    placed = ((key, _place(key[depth:], splits)) for key in keys)
    photos = [ListedPhoto("/".join((address, *key)), *labels) for key, labels in placed if labels]
    root = "/".join((address, *(keys[0][:depth] if keys else ())))
    check_classes(photos, root)
    check_splits(photos, root)
    return sorted(photos, key=lambda photo: photo.path)


def _wanted(key: Key) -> bool:
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
