"""Puts a classifier together from a trained network and its card: for the command line and for the registered model."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
from PIL import Image

from convlens.errors import ConvLensError
from convlens.network.answering import Answerer
from convlens.network.inference import answer_settings
from convlens.photos.loader import LoaderSettings, load_photo, resize_photo
from convlens.tracking.photo_model import PhotoClassifier


def open_classifier(*, card: Path, network: Path, decision: Path | None = None) -> PhotoClassifier:
    """Open card.json and model.keras; nothing in the latter may run code of its own.

    Args:
        card: of the model; a packed model's has its decision in it.
        network: the trained network.
        decision: threshold and least probability of a model that is not packed, if the file is there and the model's.

    Raises:
        ConvLensError: one of the files is missing or cannot be read.
    """
    try:
        opened = keras.saving.load_model(network, compile=False, safe_mode=True)
        values = {**_read_decision(card, decision), **json.loads(card.read_text(encoding="utf-8"))}
        return PhotoClassifier(values, Answerer(opened, **answer_settings(values)), load_by_card)
    except (OSError, ValueError, TypeError, KeyError) as error:
        shown = " ".join(str(error).split())
        raise ConvLensError(f"Expected a trained network in {network} and {card}. Received: {shown}") from error


def _read_decision(card: Path, decision: Path | None) -> dict[str, Any]:
    if decision is None or not decision.is_file():
        return {}
    values: dict[str, Any] = json.loads(decision.read_text(encoding="utf-8"))
    return values if values.get("key") == json.loads(card.read_text(encoding="utf-8")).get("key") else {}


def load_by_card(photo: Path | bytes | np.ndarray, card: Mapping[str, Any]) -> np.ndarray:
    """Pixels of a photo as the network was trained on them: uint8 (image_size, image_size, 3)."""
    settings = LoaderSettings(card["image_size"], keep_aspect=card["keep_aspect"], resampling=card["resampling"])
    if isinstance(photo, np.ndarray):
        return resize_photo(Image.fromarray(photo), settings)
    return load_photo(photo, settings)
