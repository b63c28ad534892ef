"""The key of a training: one digest of everything its result depends on."""

import hashlib
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import convlens
from convlens.params import TrainingRecipe

# The code that decides what comes out of a training, a package with all its modules; `dvc.yaml` lists the same for the
# stage `train`.
CODE = (
    "data/prepared.py",
    "models/architectures.py",
    "models/efficientnet_lite.py",
    "models/files.py",
    "models/transfer.py",
    "stages/train.py",
    "training",
)


def training_key(prepared_card: dict[str, Any], recipe: TrainingRecipe) -> str:
    """Digest data, parameters and code of a training: sha256 in hexadecimal.

    Only the chosen architecture's parameters count. Same key, same machine and thread count: same network.
    """
    model = recipe.model
    architecture: dict[str, Any] = getattr(model, model.architecture).model_dump(mode="json")
    if model.architecture == "transfer":
        # Pretrained weights are what they are, not where they lie. A file is its digest; other weights of ImageNet are
        # known to the code by their digest, or come with Keras, whose version decides which, and what the backbone is.
        weights = "file" if model.transfer.has_weights_file else model.transfer.weights
        architecture |= {"weights": weights, "keras": version("keras")}
    inputs = {
        "data": {name: value for name, value in prepared_card.items() if name != "source"},
        "architecture": {model.architecture: architecture},
        "augment": recipe.augment.model_dump(mode="json"),
        "train": recipe.train.model_dump(mode="json"),
        "code": digest_code(),
    }
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


def digest_code() -> str:
    """Digest the source files that decide what comes out of a training: sha256 in hexadecimal."""
    root = Path(convlens.__file__).parent
    digest = hashlib.sha256()
    for entry in CODE:
        for path in sorted((root / entry).glob("*.py")) or [root / entry]:
            digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()
