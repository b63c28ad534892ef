"""Puts a classifier together from a trained network and its card: for the command line and for the registered model."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from convlens.errors import ConvLensError
from convlens.photos.loader import LoaderSettings, load_photo, resize_photo
from convlens.tracking.photo_model import PhotoClassifier


def open_classifier(*, card: Path, network: Path) -> PhotoClassifier:
    """Open card.json and model.keras; nothing in the latter may run code of its own.

    Raises:
        ConvLensError: one of the files is missing or cannot be read.
    """
    import keras

    try:
        opened = keras.saving.load_model(network, compile=False, safe_mode=True)
        return PhotoClassifier(json.loads(card.read_text(encoding="utf-8")), opened, load_by_card)
    except (OSError, ValueError, TypeError, KeyError) as error:
        shown = " ".join(str(error).split())
        raise ConvLensError(f"Expected a trained network in {network} and {card}. Received: {shown}") from error


def load_by_card(photo: Path | bytes | np.ndarray, card: Mapping[str, Any]) -> np.ndarray:
    """Pixels of a photo as the network was trained on them: uint8 (image_size, image_size, 3)."""
    settings = LoaderSettings(card["image_size"], keep_aspect=card["keep_aspect"], resampling=card["resampling"])
    if isinstance(photo, np.ndarray):
        return resize_photo(Image.fromarray(photo), settings)
    return load_photo(photo, settings)
