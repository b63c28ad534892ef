"""What to paint: the recipe of the painted data set, checked in full before the first picture."""

from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

KINDS = ("cats", "dogs")

Value = TypeVar("Value")

Share = Annotated[float, Field(ge=0, le=1)]


def _as_tuple(value: Any) -> Any:
    """Return a list as a tuple, since YAML has no tuples; leave the rest to the strict checks."""
    return tuple(value) if isinstance(value, list) else value


Range = Annotated[tuple[Share, Share], BeforeValidator(_as_tuple)]


class PaintingRecipe(BaseModel):
    """The recipe of a data set of painted cats and dogs; only shape tells them apart unless a cue is planted."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    num_photos: int = Field(1200, ge=1, le=100_000, description="Photos in all, split evenly over the classes.")
    image_size: int = Field(160, ge=32, le=1024, description="Side of each square photo, in pixels.")
    seed: int = Field(0, ge=0, le=2**63 - 1, description="Another seed gives other pictures of the same kind.")
    classes: Annotated[tuple[str, ...], BeforeValidator(_as_tuple)] = Field(
        KINDS, min_length=1, description="The classes to paint, of `cats` and `dogs`, each at most once."
    )
    tongue_probability: dict[str, Share] = Field(
        default_factory=dict,
        validate_default=True,
        description="Chance that the tongue shows, per class; 0.5 if left out.",
    )
    shape_tells: bool = Field(True, description="False: both get the shape of a cat, only a cue can tell.")
    horizontal_position: dict[str, Range] = Field(
        default_factory=dict,
        validate_default=True,
        description="Range per class of the head's centre across the free room, 0 left to 1 right; all if left out.",
    )
    head_size: Range = Field((0.34, 0.64), description="Range of the head's height as a share of the photo's side.")
    clutter: Share = Field(0.7, description="Chance of each of up to four things that lie around.")
    occlusion_probability: Share = Field(0.45, description="Chance that something stands in front of the head.")
    noise: Share = Field(0.5, description="Strength of sensor noise, blur and uneven light; 0 is a studio.")

    @field_validator("classes")
    @classmethod
    def _check_classes(cls, classes: tuple[str, ...]) -> tuple[str, ...]:
        """Accept known kinds only, each once."""
        if len(set(classes)) != len(classes) or not set(classes) <= set(KINDS):
            raise ValueError(f"Expected each of {KINDS} at most once. Received: {classes}")
        return classes

    @field_validator("tongue_probability")
    @classmethod
    def _complete_tongues(cls, value: dict[str, float]) -> dict[str, float]:
        """Accept known kinds only and give the others their default."""
        return _complete(value, 0.5)

    @field_validator("horizontal_position")
    @classmethod
    def _complete_positions(cls, value: dict[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
        """Accept known kinds and rising ranges only and give the others the whole room."""
        for bounds in value.values():
            _check_rising(bounds)
        return _complete(value, (0.0, 1.0))

    @field_validator("head_size")
    @classmethod
    def _check_head_size(cls, bounds: tuple[float, float]) -> tuple[float, float]:
        """Accept heads that can be seen and that fit into the photo."""
        _check_rising(bounds)
        if bounds[0] < 0.15 or bounds[1] > 0.7:
            raise ValueError(f"Expected a head size from 0.15 to 0.7. Received: {bounds}")
        return bounds

    @model_validator(mode="after")
    def _check_number(self) -> "PaintingRecipe":
        """Make sure that no class stays empty."""
        if self.num_photos < len(self.classes):
            raise ValueError(f"Expected num_photos >= {len(self.classes)}, one per class. Received: {self.num_photos}")
        return self


def _complete(given: dict[str, Value], default: Value) -> dict[str, Value]:
    """Return a value for every kind, in the order of `KINDS`."""
    unknown = sorted(set(given) - set(KINDS))
    if unknown:
        raise ValueError(f"Expected classes of {KINDS}. Received: {unknown}")
    return {kind: given.get(kind, default) for kind in KINDS}


def _check_rising(bounds: tuple[float, float]) -> None:
    """Make sure that a range starts at its lower end."""
    if bounds[0] > bounds[1]:
        raise ValueError(f"Expected a range (low, high) with low <= high. Received: {bounds}")
