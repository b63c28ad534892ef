"""Paint a data set of cats and dogs from a recipe and a seed."""

import io
from dataclasses import dataclass
from typing import Annotated, Any

from PIL import Image
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from convlens.data.synthetic.animals import HeadPainter, draw_anatomy, draw_breed, draw_pose, paint_body
from convlens.data.synthetic.canvas import SUPERSAMPLE, Canvas, Dice, Points, take_photo
from convlens.data.synthetic.coats import draw_coat
from convlens.data.synthetic.scenes import paint_background, paint_clutter, paint_occluders

# --- What to paint: the recipe of the synthetic data set, checked in full before the first picture ---

KINDS = ("cats", "dogs")

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0, le=10_000)]


def _as_tuple(value: Any) -> Any:
    """Return a list as a tuple, since YAML has no tuples; leave the rest to the strict checks."""
    return tuple(value) if isinstance(value, list) else value


def _check_rising(bounds: tuple[float, float]) -> tuple[float, float]:
    if bounds[0] > bounds[1]:
        raise ValueError(f"Expected a range (low, high) with low <= high. Received: {bounds}")
    return bounds


def _check_kind(kind: str) -> str:
    if kind not in KINDS:
        raise ValueError(f"Expected one of {KINDS}. Received: {kind!r}")
    return kind


def _check_classes(classes: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(classes)) != len(classes) or not set(classes) <= set(KINDS):
        raise ValueError(f"Expected each of {KINDS} at most once. Received: {classes}")
    return classes


Kind = Annotated[str, AfterValidator(_check_kind)]
Range = Annotated[tuple[Share, Share], BeforeValidator(_as_tuple), AfterValidator(_check_rising)]


class Faults(BaseModel):
    """How many photos of a data set have a fault, each with one at most; faults.csv beside the photos says which."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    unreadable: Count = Field(default=0, description="Files that do not decode: cut off, or no picture at all.")
    wrong_labels: Count = Field(default=0, description="Photos in the folder of another class.")
    dark: Count = Field(default=0, description="Photos that are nearly black.")
    blurred: Count = Field(default=0, description="Photos out of focus.")
    two_labels: Count = Field(default=0, description="More files: the same bytes in the folder of another class.")
    copies: Count = Field(default=0, description="More files: the same bytes in the same folder.")
    near_copies: Count = Field(
        default=0, description="More files: the same picture resized, compressed, lit or cropped anew."
    )


class SyntheticRecipe(BaseModel):
    """The recipe of a data set of synthetic cats and dogs; only shape tells them apart unless a cue is planted."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    num_photos: int = Field(1200, ge=1, le=100_000, description="Photos in all, split evenly over the classes.")
    image_size: int = Field(160, ge=32, le=1024, description="Side of each square photo, in pixels.")
    seed: int = Field(0, ge=0, le=2**63 - 1, description="Another seed gives other pictures of the same kind.")
    classes: Annotated[tuple[str, ...], BeforeValidator(_as_tuple), AfterValidator(_check_classes)] = Field(
        KINDS, min_length=1, description="The classes to paint, of `cats` and `dogs`, each at most once."
    )
    tongue_probability: dict[Kind, Share] = Field({}, description="Chance that the tongue shows, per class; else 0.5.")
    shape_tells: bool = Field(True, description="False: both get the shape of a cat, only a cue can tell.")
    horizontal_position: dict[Kind, Range] = Field(
        {}, description="Range per class of the head's center across the free room, 0 left to 1 right; else all of it."
    )
    head_size: Range = Field((0.34, 0.64), description="Range of the head's height as a share of the photo's side.")
    clutter: Share = Field(0.7, description="Chance of each of up to four things that lie around.")
    occlusion_probability: Share = Field(0.45, description="Chance that something stands in front of the head.")
    noise: Share = Field(0.5, description="Strength of sensor noise, blur and uneven light; 0 is a studio.")
    between: Share = Field(0.0, description="Chance of a breed between cats and dogs, as pointed-eared dogs are.")
    faults: Faults = Field(Faults(), description="What is wrong with some files on purpose.")

    @field_validator("head_size")
    @classmethod
    def _check_head_size(cls, bounds: tuple[float, float]) -> tuple[float, float]:
        if bounds[0] < 0.15 or bounds[1] > 0.7:  # smaller cannot be seen, larger does not fit into the photo
            raise ValueError(f"Expected a head size from 0.15 to 0.7. Received: {bounds}")
        return bounds

    @model_validator(mode="after")
    def _check_numbers(self) -> "SyntheticRecipe":
        """Make sure that no class stays empty, and that there are photos and classes for the faults."""
        if self.num_photos < len(self.classes):
            raise ValueError(f"Expected num_photos >= {len(self.classes)}, one per class. Received: {self.num_photos}")
        num_faults = sum(self.faults.model_dump().values())
        if num_faults > self.num_photos:
            raise ValueError(f"Expected at most {self.num_photos} faults, one per photo. Received: {num_faults}")
        if self.faults.wrong_labels + self.faults.two_labels and len(self.classes) < 2:
            raise ValueError(f"Expected two classes for photos with a wrong label. Received: {self.classes}")
        return self


# --- A synthetic photo: its picture, its label, and the box of every synthetic part ---


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
    is_between: bool = False


def box_around(points: Points, image_size: int) -> Box:
    """Return the box of points given in shares of the photo's side."""
    left, top = (points.min(axis=0).clip(0, 1) * image_size).tolist()
    right, bottom = (points.max(axis=0).clip(0, 1) * image_size).tolist()
    return Box(left, top, right, bottom)


def encode_photo(photo: SyntheticPhoto) -> bytes:
    """Return the photo as JPEG bytes; below quality 80 colors are stored at half the resolution, as phones do."""
    stream = io.BytesIO()
    subsampling = 0 if photo.jpeg_quality >= 80 else 2
    photo.image.save(stream, format="JPEG", quality=photo.jpeg_quality, subsampling=subsampling)
    return stream.getvalue()


# --- Paints photos of cats and dogs from a recipe, each from its own random numbers ---


def list_photos(recipe: SyntheticRecipe) -> list[tuple[str, int]]:
    """Return the (label, index) of every photo of a recipe; the first classes get one more if it does not divide."""
    share, rest = divmod(recipe.num_photos, len(recipe.classes))
    counts = {label: share + (place < rest) for place, label in enumerate(recipe.classes)}
    return [(label, index) for label, count in counts.items() for index in range(count)]


def file_name(label: str, index: int) -> str:
    """Return the path of a photo within its data set, for example `cats/cat-00017.jpg`."""
    return f"{label}/{label.removesuffix('s')}-{index:05d}.jpg"


def paint_photo(recipe: SyntheticRecipe, label: str, index: int, *, shown: str = "") -> SyntheticPhoto:
    """Paint one photo; the same recipe, label and index give the same photo, whatever else is painted.

    `shown` is the class it shows if it is not its label. Raises ValueError if the label is not a class of the recipe or
    the index is negative.
    """
    if label not in recipe.classes:
        raise ValueError(f"Expected a label of the recipe's classes {recipe.classes}. Received: {label!r}")
    if index < 0:
        raise ValueError(f"Expected an index >= 0. Received: {index}")
    return paint_scene(recipe, shown or label, dice=Dice(recipe.seed, label, index))


def paint_scene(recipe: SyntheticRecipe, label: str, *, dice: Dice) -> SyntheticPhoto:
    """Paint one photo from given dice: of all that is drawn, only shape, tongue and place ask for the label."""
    across = recipe.horizontal_position.get(label, (0.0, 1.0))
    pose = draw_pose(dice.branch("pose"), head_size=recipe.head_size, across=across)
    kind = label if recipe.shape_tells else "cats"
    breed, is_between = draw_breed(kind, dice.branch("breed"), between=recipe.between)
    coat, anatomy = draw_coat(dice.branch("coat")), draw_anatomy(dice.branch("shape"), breed)
    canvas = Canvas(recipe.image_size * SUPERSAMPLE)
    paint_background(canvas, dice.branch("background"))
    paint_clutter(canvas, dice.branch("clutter"), amount=recipe.clutter)
    paint_body(canvas, coat, pose=pose, dice=dice.branch("body"))
    tongue = dice.branch("mouth").chance(recipe.tongue_probability.get(label, 0.5))
    regions = HeadPainter(canvas, anatomy, coat, pose, dice.branch("head")).paint(tongue=tongue)
    paint_occluders(canvas, pose, dice=dice.branch("occlusion"), probability=recipe.occlusion_probability)
    return SyntheticPhoto(
        label=label,
        image=take_photo(canvas, dice.branch("camera"), strength=recipe.noise),
        regions={name: box_around(points, recipe.image_size) for name, points in regions.items()},
        jpeg_quality=dice.branch("file").integer(40, 95),
        is_between=is_between,
    )
