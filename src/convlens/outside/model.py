"""Opens a model by its address, with everything that was packed with it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convlens.errors import ConvLensError
from convlens.metrics.profile import Profile, decode_profile

PROFILE = "profile.npz"
CARD, NETWORK, DECISION = "card.json", "model.keras", "decision.json"


@dataclass(frozen=True)
class OpenedModel:
    """A model and its profile.

    Attributes:
        address: as the user gave it.
        classifier: has `card`, `classes` and `predict_arrays`, whatever version of ConvLens packed it.
        folder: with model.keras; None for a model that does not say.
        profile: what its training photos are like; None if it was packed without.
        note: why there is no profile, as a sentence; empty if there is.
    """

    address: str
    classifier: Any
    folder: Path | None
    profile: Profile | None
    note: str


def open_model(model: str) -> Any:
    """Something whose `predict` takes paths and gives a data frame.

    Raises:
        ConvLensError: there is no such model.
    """
    folder = Path(model)
    if (folder / NETWORK).is_file():
        from convlens.classifier import open_classifier

        decision = folder.absolute().parent / DECISION  # as the pipeline leaves it
        return open_classifier(card=folder / CARD, network=folder / NETWORK, decision=decision)
    if not model.startswith(("models:/", "runs:/")) and not (folder / "MLmodel").is_file():
        raise ConvLensError(
            "Expected a model: models:/NAME@ALIAS, models:/NAME/VERSION, a pulled folder, or data/model. "
            f"Received: '{model}', which is none of these."
        )
    from convlens.tracking.access import load_model

    return load_model(model)


def open_with_profile(model: str) -> OpenedModel:
    """A model and what its training photos are like.

    Raises:
        ConvLensError: there is no such model, or its profile cannot be read.
    """
    opened = open_model(model)
    folder: Path | None = Path(model)
    places = [Path(model) / PROFILE, Path(model).absolute().parent / PROFILE]  # packed, or as the pipeline leaves it
    if hasattr(opened, "unwrap_python_model"):
        packed = opened.unwrap_python_model()
        opened, folder = packed.classifier, getattr(packed, "folder", None)
        places = [] if folder is None else [folder / PROFILE]
    profile, note = _find_profile(places, str(opened.card.get("key", "")))
    return OpenedModel(model, opened, folder, profile, note)


def _find_profile(places: list[Path], key: str) -> tuple[Profile | None, str]:
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        return None, "The model has no profile of its training photos: `dvc repro` makes and registers one."
    profile = decode_profile(found.read_bytes(), str(found))
    if profile.key != key:
        return None, f"{found} is of another training than the model: run `dvc repro`."
    return profile, ""
