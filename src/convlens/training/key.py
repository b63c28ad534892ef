"""The key of a training: one digest of everything its result depends on."""

import hashlib
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import convlens
from convlens.params import AugmentParams, ModelParams, TrainParams

CODE = ("network", "photos/loader.py", "stages/train.py", "stages/keys.py")


def training_key(
    prepared_card: dict[str, Any], *, model: ModelParams, augment: AugmentParams, train: TrainParams
) -> str:
    """The sha256, in hexadecimal, of data, parameters and code of a training.

    Only the chosen architecture's parameters count. Same key, same machine and thread count: same network.
    """
    inputs = {
        "data": {name: value for name, value in prepared_card.items() if name != "source"},
        "architecture": {model.architecture: _describe_architecture(model)},
        "augment": augment.model_dump(mode="json"),
        "train": train.model_dump(mode="json"),
        "code": digest_code(),
    }
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


def _describe_architecture(model: ModelParams) -> dict[str, Any]:
    """Parameters of the chosen architecture; of pretrained weights what they are, not where they lie.

    A file is its digest. ImageNet's weights come with Keras, whose version decides which, and what the backbone is.
    """
    values: dict[str, Any] = getattr(model, model.architecture).model_dump(mode="json")
    if model.architecture != "transfer":
        return values
    weights = "file" if model.transfer.has_weights_file else model.transfer.weights
    return {**values, "weights": weights, "keras": version("keras")}


def digest_code() -> str:
    """The sha256 of the source files that training runs."""
    root = Path(convlens.__file__).parent
    digest = hashlib.sha256()
    for entry in CODE:
        path = root / entry
        for file in [path] if path.is_file() else sorted(path.rglob("*.py")):
            digest.update(file.relative_to(root).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()
