"""The file of a trained network: `.keras`, byte for byte the same for the same weights."""

import io
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np

from convlens.errors import ConvLensError
from convlens.models.architectures import build_model
from convlens.params import ModelParams

FILE = "model.keras"
FIXED_DATE = "2000-01-01@00:00:00"
SHARED = re.compile(r'("shared_object_id": )(\d+)')


def finish_model(body: keras.Model, params: ModelParams, *, num_classes: int, image_size: int) -> keras.Model:
    """The whole float32 network from uint8 photos to probabilities, with the weights of a trained body."""
    model = build_model(params, num_classes=num_classes, image_size=image_size)
    model.set_weights(body.get_weights())
    _settle_random_layers(model)
    return model


def encode_model(model: keras.Model, folder: Path) -> bytes:
    """The bytes of a `.keras` file without the time of saving.

    Args:
        model: any Keras model.
        folder: where a temporary file may be written.
    """
    path = folder / "unsettled.keras"
    model.save(path)
    content = _settle(path.read_bytes())
    path.unlink()
    return content


def load_trained_model(folder: Path) -> keras.Model:
    """The network that `train` wrote into `folder`, with `safe_mode=True`.

    Raises:
        ConvLensError: there is none, or it cannot be read.
    """
    path = folder / FILE
    if not path.is_file():
        raise ConvLensError(f"Expected a trained network at {path}. Received: nothing there. Run `dvc repro`.")
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except (OSError, ValueError, TypeError, KeyError, zipfile.BadZipFile) as error:
        raise ConvLensError(f"Expected a Keras model in {path}. Received: {error}") from error


def load_card(folder: Path) -> dict[str, Any]:
    """What `train` wrote about the network in `folder`.

    Raises:
        ConvLensError: there is none, or it is not JSON.
    """
    path = folder / "card.json"
    try:
        card: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConvLensError(f"Expected the card of a trained network in {path}. Received: {error}") from error
    return card


def _settle_random_layers(model: keras.Model) -> None:
    """Give dropout a fixed state: its file would else depend on what was drawn before, as after a restart."""
    for layer in model._flatten_layers(include_self=False, recursive=True):
        generator = getattr(layer, "seed_generator", None)
        if generator is not None:
            generator.state.assign(np.zeros(generator.state.shape, generator.state.dtype))


def _settle(content: bytes) -> bytes:
    """Fix times and addresses in a `.keras` file, a zip archive with a date in its metadata."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(buffer, "w") as target:
        for name in sorted(source.namelist()):
            data = source.read(name)
            if name == "metadata.json":
                data = json.dumps({**json.loads(data), "date_saved": FIXED_DATE}).encode()
            if name == "config.json":
                data = _number_shared_objects(data.decode()).encode()
            target.writestr(zipfile.ZipInfo(name), data)
    return buffer.getvalue()


def _number_shared_objects(config: str) -> str:
    """Count objects that layers share, such as a dtype policy, where Keras writes their addresses in memory."""
    numbers: dict[str, int] = {}
    return SHARED.sub(lambda found: f"{found[1]}{numbers.setdefault(found[2], len(numbers) + 1)}", config)
