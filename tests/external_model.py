"""A model with reference statistics, for external evaluations: bright photos are dogs, and colors are strange to it."""

import json
from pathlib import Path

import numpy as np
from PIL import Image
from small_training import KEY, PARAMS, write_card, write_network

from convlens.metrics.drift import ReferenceStatistics, neighbor_distances, round_features
from convlens.params import load_params

SETTINGS = load_params(PARAMS).evaluate.model_dump(mode="json") | {"num_resamples": 100}
SIZE = (24, 20)


def gray_colors(count: int, seed: int) -> np.ndarray:
    """Colors (count, 3) in 0..1: grays with a tinge, as in training."""
    generator = np.random.default_rng(seed)
    return np.clip(generator.uniform(0.1, 0.9, (count, 1)) + generator.normal(0, 0.02, (count, 3)), 0.02, 1)


def paint(path: Path, color: np.ndarray | tuple[float, ...]) -> Path:
    """A photo of one color (0..1), with a little noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(0).normal(0, 0.02, (*SIZE[::-1], 3))
    pixels = np.clip(np.asarray(color) + noise, 0, 1) * 255
    Image.fromarray(pixels.round().astype(np.uint8)).save(path)
    return path


def make_reference(key: str = KEY, classes: tuple[str, str] = ("cats", "dogs")) -> ReferenceStatistics:
    """What the model's photos are like: features are mean colors, as the network's layer before the last gives."""
    train, held_out = round_features(gray_colors(200, 1)), round_features(gray_colors(100, 2))
    brightness = gray_colors(200, 1).mean(axis=1).astype(np.float32)
    dogs = 1 / (1 + np.exp(-10 * (gray_colors(100, 3).mean(axis=1) - 0.5)))
    labels = (dogs > 0.5).astype(np.int64)
    return ReferenceStatistics(
        key=key,
        classes=classes,
        settings=SETTINGS,
        metrics={"num_photos": 100, "accuracy": 1.0, "accuracy_low": 0.963, "accuracy_high": 1.0, "log_loss": 0.2},
        statistics={
            "brightness": brightness,
            "contrast": np.full(200, 0.02, np.float32),
            "sharpness": np.full(200, 500, np.float32),
            "aspect": np.full(200, 1.2, np.float32),
            "megapixels": np.full(200, SIZE[0] * SIZE[1] / 1e6, np.float32),
        },
        train_features=train,
        held_out_features=held_out,
        held_out_distances=np.sort(neighbor_distances(held_out, train)),
        test_labels=labels,
        test_probabilities=np.column_stack([1 - dogs, dogs]),
    )


def write_model(root: Path, key: str = KEY, classes: tuple[str, str] = ("cats", "dogs")) -> Path:
    """data/model and data/operating_point, as the pipeline leaves them; the model's folder."""
    write_network(root / "data/model/model.keras")
    write_card(root / "data/model/card.json", KEY)
    settings = json.loads((root / "data/model/card.json").read_text())
    (root / "data/model/card.json").write_text(json.dumps(settings | {"classes": list(classes)}))
    make_reference(key, classes).save(root / "data/operating_point")
    return root / "data/model"


def write_folder(folder: Path, names: tuple[str, str] = ("cats", "dogs"), per_class: int = 6) -> Path:
    """Labelled photos like those of the training: dark ones in the first folder, bright ones in the second."""
    for place, name in enumerate(names):
        for index in range(per_class):
            level = 0.15 + 0.5 * place + 0.04 * index
            paint(folder / name / f"{index:02d}.png", (level, level + 0.01, level - 0.01))
    return folder
