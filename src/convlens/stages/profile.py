"""Stage `profile`: what the photos of the training are like, in one small file that goes with the model."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from convlens.data.prepared import Prepared
from convlens.data.validation import load_manifest
from convlens.errors import ConvLensError
from convlens.files import write_bytes
from convlens.lens.forward import embed_photos, open_features
from convlens.metrics.drift import Profile, encode_profile, neighbor_distances, round_features
from convlens.models.files import load_card, load_trained_model
from convlens.params import EvaluateParams
from convlens.progress import say

MAX_FEATURES = 512  # photos of either kind whose features are kept
MAX_STATISTICS = 4096  # training photos whose brightness and the like are kept
MAX_ANSWERS = 2**18  # probabilities of test photos that are kept: 2 MB
HELD_OUT = ("validation", "test")
TEST = "test"
COLUMNS = ("brightness", "contrast", "sharpness", "aspect")
PIXELS_PER_MEGAPIXEL = 1e6


def profile(
    *,
    manifest: Path,
    prepared: Path,
    model_folder: Path,
    metrics: Path,
    predictions: Path,
    profile: Path,
    evaluate: EvaluateParams,
) -> None:
    """Write the profile that `convlens evaluate` and the report compare other photos with.

    Args:
        manifest: folder with facts about every photo, from `validate`.
        prepared: folder of arrays per split.
        model_folder: folder of the trained network.
        metrics: numbers on the test split (JSON).
        predictions: one row per test photo (CSV).
        profile: file to write (npz); it holds numbers about photos, no photo and no path.
        evaluate: the group `evaluate`; whoever evaluates the model elsewhere takes its settings from the profile.

    Raises:
        ConvLensError: an input is missing.
    """
    data = Prepared.load(prepared)
    answers = _read_answers(predictions, data)
    found = Profile(
        key=load_card(model_folder)["key"],
        classes=data.classes,
        settings=evaluate.model_dump(mode="json"),
        metrics=json.loads(metrics.read_text(encoding="utf-8")),
        statistics=gather_statistics(data.photos("train"), load_manifest(manifest)),
        **_look(data, model_folder),
        **answers,
    )
    write_bytes(profile, encode_profile(found))
    say(
        f"profile: {len(found.train_features):,} training and {len(found.held_out_features):,} held-out photos in "
        f"{profile.stat().st_size / 1e6:.1f} MB."
    )


def gather_statistics(photos: pd.DataFrame, manifest: pd.DataFrame) -> dict[str, np.ndarray]:
    """Statistics of photos, float32 by name, from what `validate` measured; evenly chosen if there are many."""
    measured = manifest.drop_duplicates("path").set_index("path").loc[list(photos["path"])]
    chosen = measured.iloc[spread_evenly(len(measured), MAX_STATISTICS)]
    pixels = chosen["width"].to_numpy(float) * chosen["height"].to_numpy(float) / PIXELS_PER_MEGAPIXEL
    values = {name: chosen[name].to_numpy(np.float32) for name in COLUMNS}
    return {**values, "megapixels": pixels.astype(np.float32)}


def spread_evenly(count: int, largest: int) -> np.ndarray:
    """At most `largest` of the numbers 0..count - 1, evenly spread; all of them if they fit."""
    return np.unique(np.linspace(0, max(count - 1, 0), min(largest, count)).round().astype(int))


def _look(data: Prepared, model_folder: Path) -> dict[str, np.ndarray]:
    """Features of training and of held-out photos, and how far the latter are from the former."""
    look = open_features(load_trained_model(model_folder))
    train = data.images("train")
    seen = round_features(embed_photos(look, train, spread_evenly(len(train), MAX_FEATURES)))
    parts = [data.images(split) for split in HELD_OUT]
    chosen = spread_evenly(sum(map(len, parts)), MAX_FEATURES)
    rows = [chosen[chosen < len(parts[0])], chosen[chosen >= len(parts[0])] - len(parts[0])]
    unseen = [embed_photos(look, images, row) for images, row in zip(parts, rows, strict=True) if len(row)]
    if not unseen:
        raise ConvLensError("Expected held-out photos. Received: none. Raise preprocess.test_fraction.")
    held_out = round_features(np.concatenate(unseen))
    distances = np.sort(neighbor_distances(held_out, seen))
    return {"train_features": seen, "held_out_features": held_out, "held_out_distances": distances}


def _read_answers(predictions: Path, data: Prepared) -> dict[str, Any]:
    """Truth and probabilities of test photos, as the evaluation gave them."""
    if not predictions.is_file():
        raise ConvLensError(f"Expected {predictions}. Received: nothing there. Run `dvc repro`.")
    table = pd.read_csv(predictions, keep_default_na=False, dtype={"path": str, "label": str})
    chosen = table.iloc[spread_evenly(len(table), max(MAX_ANSWERS // len(data.classes), 1))]
    places = {name: index for index, name in enumerate(data.classes)}
    return {
        "test_labels": chosen["label"].map(places).to_numpy(np.int64),
        "test_probabilities": chosen[[f"probability_{name}" for name in data.classes]].to_numpy(np.float64),
    }
