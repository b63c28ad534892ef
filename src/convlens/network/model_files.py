"""The file of a trained network: `.keras`, byte for byte the same for the same weights."""

import io
import json
import zipfile
from pathlib import Path

import keras

from convlens.errors import ConvLensError
from convlens.network.architectures import build_model
from convlens.params import ModelParams

FILE = "model.keras"
FIXED_DATE = "2000-01-01@00:00:00"


def finish_model(body: keras.Model, params: ModelParams, *, num_classes: int, image_size: int) -> keras.Model:
    """The whole float32 network from uint8 photos to probabilities, with the weights of a trained body."""
    model = build_model(params, num_classes=num_classes, image_size=image_size)
    model.set_weights(body.get_weights())
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


def _settle(content: bytes) -> bytes:
    """Fix the times in a `.keras` file, which is a zip archive with a date in its metadata."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(buffer, "w") as target:
        for name in sorted(source.namelist()):
            data = source.read(name)
            if name == "metadata.json":
                data = json.dumps({**json.loads(data), "date_saved": FIXED_DATE}).encode()
            target.writestr(zipfile.ZipInfo(name), data)
    return buffer.getvalue()
