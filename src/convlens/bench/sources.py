"""The photos that all contestants get: the same files, the same split."""

import os
from pathlib import Path

import numpy as np
import pandas as pd

from convlens.bench.photo_lists import BenchPhotos, Listed
from convlens.data.facts import scan_photos
from convlens.errors import ConvLensError
from convlens.params import DataParams, Params
from convlens.progress import say
from convlens.stages.ingest import ingest

SUFFIXES = {"JPEG": ".jpg", "PNG": ".png", "BMP": ".bmp", "GIF": ".gif"}  # what Keras reads from a folder
HELD_OUT = 0.3
MIN_PHOTOS = 8
LISTING = "photos.parquet"


def gather_photos(folder: Path | None, params: Params, workspace: Path) -> BenchPhotos:
    """List, check and split the photos of a folder, else those of `data.source`.

    Reads every file once, so that no contestant is the one who finds them on a cold disk.

    Args:
        folder: class folders; None takes `data.source`, painted or unpacked into the workspace if need be.
        params: all of params.yaml; its seed of the split counts, its fractions do not.
        workspace: an empty folder that is removed afterwards.

    Raises:
        ConvLensError: no such folder, or too few photos in a class.
    """
    found, source = check_photos(folder, params, workspace)
    table = found.loc[found["usable"] & found["format"].isin(list(SUFFIXES))].drop_duplicates(subset=["sha256"])
    _check_counts(found, table, source)
    return _split(table, source, num_left_out=len(found) - len(table), seed=params.preprocess.seed)


def check_photos(folder: Path | None, params: Params, workspace: Path) -> tuple[pd.DataFrame, str]:
    """The manifest of the photos of a folder, else of `data.source`, and the name of the source.

    Args:
        folder: class folders; None takes `data.source`, painted or unpacked into the workspace if need be.
        params: all of params.yaml.
        workspace: where the list of photos is written.

    Raises:
        ConvLensError: no such folder.
    """
    if folder is not None and not folder.is_dir():
        raise ConvLensError(
            f"Expected a folder with a folder of photos for each class after --photos. Received: {folder}, which is "
            "no folder."
        )
    source = params.data.source if folder is None else str(folder)
    listing = workspace / LISTING
    ingest(source=Path(source), photos=listing, raw=workspace / "raw", data=DataParams(source=source))
    return scan_photos(pd.read_parquet(listing), params.validate_), source


def link_photos(listed: Listed, classes: tuple[str, ...], folder: Path) -> Path:
    """Class folders of symbolic links to the photos, as Keras wants them; returns the folder."""
    for name in classes:
        (folder / name).mkdir(parents=True)
    for number, (path, label, suffix) in enumerate(zip(listed.paths, listed.labels, listed.suffixes, strict=True)):
        (folder / classes[label] / f"{number:06d}{suffix}").symlink_to(path)
    return folder


def _check_counts(found: pd.DataFrame, table: pd.DataFrame, source: str) -> None:
    for name in sorted(found["label"].unique()):
        count = int((table["label"] == name).sum())
        if count < MIN_PHOTOS:
            raise ConvLensError(
                f"Expected at least {MIN_PHOTOS} photos of every class ({', '.join(SUFFIXES)}, none twice) to measure "
                f"with. Received: {count} of '{name}' in {source}. Name a larger folder with --photos."
            )


def _split(table: pd.DataFrame, source: str, *, num_left_out: int, seed: int) -> BenchPhotos:
    """Hold out the same share of every class."""
    classes = sorted(table["label"].unique())
    draw = np.random.default_rng(seed)
    held_out: list[int] = []
    for name in classes:
        rows = np.flatnonzero((table["label"] == name).to_numpy())
        held_out += draw.permutation(rows)[: round(len(rows) * HELD_OUT)].tolist()
    chosen = np.isin(np.arange(len(table)), held_out)
    say(f"bench: {(~chosen).sum():,} photos to train on, {chosen.sum():,} held out, {num_left_out:,} left out.")
    parts = [_list(table[rows], classes) for rows in (~chosen, chosen)]
    return BenchPhotos(source, tuple(classes), parts[0], parts[1], num_left_out)


def _list(table: pd.DataFrame, classes: list[str]) -> Listed:
    return Listed(
        tuple(os.path.abspath(path) for path in table["path"]),
        tuple(classes.index(name) for name in table["label"]),
        tuple(SUFFIXES[kind] for kind in table["format"]),
    )
