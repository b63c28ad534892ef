"""Small photos with known content, and folders of them, for the tests of everything before training."""

import hashlib
import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from convlens.data.facts import FlagLimits
from convlens.params import Group, PreprocessParams, ValidateParams

ROOT = Path(__file__).parents[1]
PARAMS = ROOT / "params.yaml"


# Values of the tests' own: tuning `params.yaml` must not change what they expect.
GROUPS: dict[str, tuple[type[Group], dict[str, Any]]] = {
    "validate": (
        ValidateParams,
        {
            "critical": ("unreadable", "quarantined", "photos_per_class", "unique_paths"),
            "formats": ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF", "MPO"),
            "min_side": 32,
            "max_aspect": 4.0,
            "max_megapixels": 100.0,
            "min_photos_per_class": 10,
            "max_class_ratio": 10.0,
            "max_unreadable_fraction": 0.05,
            "max_quarantined_fraction": 0.2,
            "max_dark_fraction": 0.1,
            "dark_brightness": 0.1,
            "max_duplicated_fraction": 0.2,
            "max_blurred_fraction": 0.1,
            "blurred_sharpness": 1.0,
        },
    ),
    "preprocess": (
        PreprocessParams,
        {
            "image_size": 16,
            "keep_aspect": False,
            "resampling": "bicubic",
            "validation_fraction": 0.15,
            "test_fraction": 0.15,
            "seed": 0,
            "near_duplicates": True,
            "duplicate_distance": 6,
            "match_mirrored": False,
            "photos_per_shard": 4096,
            "num_workers": 1,
        },
    ),
}


def make_group(name: str, **changes: Any) -> Any:
    """A group of parameters with some values changed, checked like a file's."""
    group, values = GROUPS[name]
    return group.model_validate({**values, **changes})


def import_expectations() -> Any:
    """`convlens.data.expectations`; Great Expectations warns about its own imports."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import convlens.data.expectations

        return convlens.data.expectations


def make_flag_limits(**changes: Any) -> FlagLimits:
    """What `scan_photo` is told of the group `validate`."""
    group = make_group("validate", **changes)
    return FlagLimits(**{name: getattr(group, name) for name in FlagLimits.__dataclass_fields__})


def encode(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def noise_photo(name: str, size: tuple[int, int] = (40, 36)) -> Image.Image:
    """A photo of its own for every name: coarse noise of middling brightness."""
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
    values = np.random.default_rng(seed).integers(60, 200, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(values).resize(size, Image.Resampling.NEAREST)


def write_photo(path: Path, content: Image.Image | bytes | None = None, kind: str = "PNG", **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if content is None:
        content = noise_photo(path.as_posix())
    path.write_bytes(content if isinstance(content, bytes) else encode(content, kind, **options))
    return path


def write_classes(folder: Path, classes: dict[str, int], size: tuple[int, int] = (40, 36)) -> Path:
    """A folder of class folders with so many photos in each."""
    for label, count in classes.items():
        for index in range(count):
            name = f"{label}/{index:03d}.png"
            write_photo(folder / name, noise_photo(name, size))
    return folder


def quadrants(width: int = 40, height: int = 20) -> np.ndarray:
    """Red top left, green top right, blue bottom left, white bottom right; uint8 (height, width, 3)."""
    picture = np.full((height, width, 3), 255, np.uint8)
    picture[: height // 2, : width // 2] = (255, 0, 0)
    picture[: height // 2, width // 2 :] = (0, 255, 0)
    picture[height // 2 :, : width // 2] = (0, 0, 255)
    return picture
