"""Paint a data set of cats and dogs from a recipe and a seed."""

import io
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from PIL import Image
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from convlens.data.synthetic.animals import (
    Anatomy,
    Pose,
    Regions,
    draw_cat,
    draw_dog,
    draw_pose,
    paint_body,
    paint_features,
    paint_head,
)
from convlens.data.synthetic.canvas import SUPERSAMPLE, Canvas, Dice, Points, draw_jpeg_quality, take_photo
from convlens.data.synthetic.coats import draw_coat
from convlens.data.synthetic.scenes import paint_background, paint_clutter, paint_occluder

# --- What to paint: the recipe of the synthetic data set, checked in full before the first picture ---

KINDS = ("cats", "dogs")

Value = TypeVar("Value")

Share = Annotated[float, Field(ge=0, le=1)]


def _as_tuple(value: Any) -> Any:
    """Return a list as a tuple, since YAML has no tuples; leave the rest to the strict checks."""
    return tuple(value) if isinstance(value, list) else value


Range = Annotated[tuple[Share, Share], BeforeValidator(_as_tuple)]


class SyntheticRecipe(BaseModel):
    """The recipe of a data set of synthetic cats and dogs; only shape tells them apart unless a cue is planted."""

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
        description="Range per class of the head's center across the free room, 0 left to 1 right; all if left out.",
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
    def _check_number(self) -> "SyntheticRecipe":
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


# --- A synthetic photo: its picture, its label, and the box of every synthetic part ---

_FULL_COLOR_FROM = 80


@dataclass(frozen=True)
class Box:
    """The smallest upright rectangle around a part, in pixels of the photo and clipped to it."""

    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True)
class SyntheticPhoto:
    """One synthetic photo before compression, with the box of every part by its name.

    Left and right are the viewer's. The boxes tell where a part was painted, even if something hides it.
    """

    label: str
    image: Image.Image
    regions: dict[str, Box]
    jpeg_quality: int


def box_around(points: Points, image_size: int) -> Box:
    """Return the box of points given in shares of the photo's side."""
    left, top = (points.min(axis=0).clip(0, 1) * image_size).tolist()
    right, bottom = (points.max(axis=0).clip(0, 1) * image_size).tolist()
    return Box(left, top, right, bottom)


def encode_photo(photo: SyntheticPhoto) -> bytes:
    """Return the photo as JPEG bytes; below quality 80 colors are stored at half the resolution, as phones do."""
    stream = io.BytesIO()
    subsampling = 0 if photo.jpeg_quality >= _FULL_COLOR_FROM else 2
    photo.image.save(stream, format="JPEG", quality=photo.jpeg_quality, subsampling=subsampling)
    return stream.getvalue()


# --- Paints photos of cats and dogs from a recipe, each from its own random numbers ---

_SHAPES = {"cats": draw_cat, "dogs": draw_dog}


def list_photos(recipe: SyntheticRecipe) -> list[tuple[str, int]]:
    """Return the (label, index) of every photo of a recipe; the first classes get one more if it does not divide."""
    share, rest = divmod(recipe.num_photos, len(recipe.classes))
    counts = {label: share + (place < rest) for place, label in enumerate(recipe.classes)}
    return [(label, index) for label, count in counts.items() for index in range(count)]


def file_name(label: str, index: int) -> str:
    """Return the path of a photo within its data set, for example `cats/cat-00017.jpg`."""
    return f"{label}/{label.removesuffix('s')}-{index:05d}.jpg"


def paint_photo(recipe: SyntheticRecipe, label: str, index: int) -> SyntheticPhoto:
    """Paint one photo; the same recipe, label and index give the same photo, whatever else is painted.

    Raises ValueError if the label is not a class of the recipe or the index is negative.
    """
    if label not in recipe.classes:
        raise ValueError(f"Expected a label of the recipe's classes {recipe.classes}. Received: {label!r}")
    if index < 0:
        raise ValueError(f"Expected an index >= 0. Received: {index}")
    return paint_scene(recipe, label, dice=Dice(recipe.seed, label, index))


def paint_scene(recipe: SyntheticRecipe, label: str, *, dice: Dice) -> SyntheticPhoto:
    """Paint one photo from given dice: of all that is drawn, only shape, tongue and place ask for the label."""
    pose = draw_pose(dice.branch("pose"), head_size=recipe.head_size, across=recipe.horizontal_position[label])
    anatomy = _SHAPES[label if recipe.shape_tells else "cats"](dice.branch("shape"))
    tongue = dice.branch("mouth").chance(recipe.tongue_probability[label])
    canvas = Canvas(recipe.image_size * SUPERSAMPLE)
    regions = _paint_all(canvas, anatomy, recipe=recipe, pose=pose, tongue=tongue, dice=dice)
    return SyntheticPhoto(
        label=label,
        image=take_photo(canvas, dice.branch("camera"), strength=recipe.noise),
        regions={name: box_around(points, recipe.image_size) for name, points in regions.items()},
        jpeg_quality=draw_jpeg_quality(dice.branch("file")),
    )


def _paint_all(
    canvas: Canvas, anatomy: Anatomy, *, recipe: SyntheticRecipe, pose: Pose, tongue: bool, dice: Dice
) -> Regions:
    """Paint everything from back to front and return the points of every part of the head."""
    coat = draw_coat(dice.branch("coat"))
    paint_background(canvas, dice.branch("background"))
    paint_clutter(canvas, dice.branch("clutter"), amount=recipe.clutter)
    paint_body(canvas, coat, pose=pose, dice=dice.branch("body"))
    regions = paint_head(canvas, anatomy, coat=coat, pose=pose, dice=dice.branch("head"))
    regions |= paint_features(canvas, anatomy, coat=coat, pose=pose, tongue=tongue, dice=dice.branch("features"))
    paint_occluder(canvas, pose, dice=dice.branch("occlusion"), probability=recipe.occlusion_probability)
    return regions


# --- Synthetic photos as files. Light to import: worker processes load it ---


@dataclass(frozen=True)
class SyntheticFile:
    """A synthetic photo ready to be written: its name below the data set's folder, its bytes, its parts' boxes."""

    name: str
    content: bytes
    regions: dict[str, Box]


def paint_file(recipe: SyntheticRecipe, which: tuple[str, int]) -> SyntheticFile:
    """Paint and encode one photo, named by its label and index."""
    photo = paint_photo(recipe, *which)
    return SyntheticFile(file_name(*which), encode_photo(photo), photo.regions)
