"""Paints photos of cats and dogs from a recipe, each from its own random numbers."""

from convlens.photos.painting.anatomy import Anatomy
from convlens.photos.painting.backgrounds import paint_background
from convlens.photos.painting.body import paint_body
from convlens.photos.painting.brush import Regions
from convlens.photos.painting.camera import draw_jpeg_quality, take_photo
from convlens.photos.painting.canvas import SUPERSAMPLE, Canvas
from convlens.photos.painting.cat import draw_cat
from convlens.photos.painting.clutter import paint_clutter
from convlens.photos.painting.coat import draw_coat
from convlens.photos.painting.dice import Dice
from convlens.photos.painting.dog import draw_dog
from convlens.photos.painting.features import paint_features
from convlens.photos.painting.head import paint_head
from convlens.photos.painting.occlusion import paint_occluder
from convlens.photos.painting.photo import PaintedPhoto, box_around
from convlens.photos.painting.pose import Pose, draw_pose
from convlens.photos.painting.recipe import PaintingRecipe

_SHAPES = {"cats": draw_cat, "dogs": draw_dog}


def list_photos(recipe: PaintingRecipe) -> list[tuple[str, int]]:
    """Return the (label, index) of every photo of a recipe; the first classes get one more if it does not divide."""
    share, rest = divmod(recipe.num_photos, len(recipe.classes))
    counts = {label: share + (place < rest) for place, label in enumerate(recipe.classes)}
    return [(label, index) for label, count in counts.items() for index in range(count)]


def file_name(label: str, index: int) -> str:
    """Return the path of a photo within its data set, for example `cats/cat-00017.jpg`."""
    return f"{label}/{label.removesuffix('s')}-{index:05d}.jpg"


def paint_photo(recipe: PaintingRecipe, label: str, index: int) -> PaintedPhoto:
    """Paint one photo; the same recipe, label and index give the same photo, whatever else is painted.

    Raises ValueError if the label is not a class of the recipe or the index is negative.
    """
    if label not in recipe.classes:
        raise ValueError(f"Expected a label of the recipe's classes {recipe.classes}. Received: {label!r}")
    if index < 0:
        raise ValueError(f"Expected an index >= 0. Received: {index}")
    return paint_scene(recipe, label, dice=Dice(recipe.seed, label, index))


def paint_scene(recipe: PaintingRecipe, label: str, *, dice: Dice) -> PaintedPhoto:
    """Paint one photo from given dice: of all that is drawn, only shape, tongue and place ask for the label."""
    pose = draw_pose(dice.branch("pose"), head_size=recipe.head_size, across=recipe.horizontal_position[label])
    anatomy = _SHAPES[label if recipe.shape_tells else "cats"](dice.branch("shape"))
    tongue = dice.branch("mouth").chance(recipe.tongue_probability[label])
    canvas = Canvas(recipe.image_size * SUPERSAMPLE)
    regions = _paint_all(canvas, anatomy, recipe=recipe, pose=pose, tongue=tongue, dice=dice)
    return PaintedPhoto(
        label=label,
        image=take_photo(canvas, dice.branch("camera"), strength=recipe.noise),
        regions={name: box_around(points, recipe.image_size) for name, points in regions.items()},
        jpeg_quality=draw_jpeg_quality(dice.branch("file")),
    )


def _paint_all(
    canvas: Canvas, anatomy: Anatomy, *, recipe: PaintingRecipe, pose: Pose, tongue: bool, dice: Dice
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
