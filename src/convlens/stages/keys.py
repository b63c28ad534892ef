"""The key of a training: one digest of everything its result depends on."""

import hashlib
import json
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
    chosen = getattr(model, model.architecture)
    inputs = {
        "data": {name: value for name, value in prepared_card.items() if name != "source"},
        "architecture": {model.architecture: chosen.model_dump(mode="json")},
        "augment": augment.model_dump(mode="json"),
        "train": train.model_dump(mode="json"),
        "code": digest_code(),
    }
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


def digest_code() -> str:
    """The sha256 of the source files that training runs."""
    root = Path(convlens.__file__).parent
    digest = hashlib.sha256()
    for entry in CODE:
        path = root / entry
        for file in [path] if path.is_file() else sorted(path.rglob("*.py")):
            digest.update(file.relative_to(root).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()
