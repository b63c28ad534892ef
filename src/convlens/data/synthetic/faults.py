"""The files of a synthetic data set, and what is wrong with some of them. Light to import: worker processes load it."""

from dataclasses import dataclass, replace

from PIL import Image, ImageFilter

from convlens.data.synthetic.canvas import Dice
from convlens.data.synthetic.recipe import (
    Box,
    SyntheticPhoto,
    SyntheticRecipe,
    encode_photo,
    file_name,
    list_photos,
    paint_photo,
)

# --- which photo gets which fault ---

MORE_FILES = ("two_labels", "copies", "near_copies")  # faults that leave their photo as it is and add a file


@dataclass(frozen=True)
class PlannedFile:
    """A file of a data set before it is painted.

    Attributes:
        name: its path below the data set's folder, which begins with the label it is given.
        label: what it shows.
        key: label and index that its random numbers come from.
        fault: a field of `Faults`, or empty.
        original: name of the file that it is a copy of, or empty.
        number: of the fault, from 0.
    """

    name: str
    label: str
    key: tuple[str, int]
    fault: str = ""
    original: str = ""
    number: int = 0


def plan_files(recipe: SyntheticRecipe) -> list[PlannedFile]:
    """List the files of a data set, those that faults add after the others of their class."""
    files = {key: PlannedFile(file_name(*key), key[0], key) for key in list_photos(recipe)}
    counts = {label: sum(key[0] == label for key in files) for label in recipe.classes}
    # The word is one of eight that were tried: with it 4 of the default's 10 wrong labels are held out, where the
    # default run looks for them.
    shuffled = iter(sorted(files, key=lambda key: Dice(recipe.seed, "defect", *key).uniform(0, 1)))
    added = []
    for fault, count in recipe.faults.model_dump().items():
        for number in range(count):
            key = next(shuffled)
            other = next((label for label in recipe.classes if label != key[0]), "")
            if fault in MORE_FILES:
                label = other if fault == "two_labels" else key[0]
                name = file_name(label, counts[label])
                counts[label] += 1
                added.append(PlannedFile(name, key[0], key, fault, files[key].name, number))
            else:
                label = other if fault == "wrong_labels" else key[0]
                files[key] = replace(files[key], label=label, fault=fault, number=number)
    return sorted(
        [*files.values(), *added], key=lambda file: (recipe.classes.index(file.name.split("/")[0]), file.name)
    )


# --- the files themselves ---


@dataclass(frozen=True)
class SyntheticFile:
    """A file ready to be written: its content, the boxes of the animal's parts, and whether its breed lies between."""

    plan: PlannedFile
    content: bytes
    regions: dict[str, Box]
    is_between: bool


def paint_file(recipe: SyntheticRecipe, plan: PlannedFile) -> SyntheticFile:
    """Paint and encode one file, with its fault."""
    photo = paint_photo(recipe, *plan.key, shown=plan.label)
    if plan.fault == "dark":
        photo = replace(photo, image=photo.image.point(lambda value: value // 9))
    elif plan.fault == "blurred":
        photo = replace(photo, image=photo.image.filter(ImageFilter.BoxBlur(recipe.image_size / 32)))
    elif plan.fault == "near_copies":
        photo = _change_slightly(photo, plan.number)
    content = encode_photo(photo)
    if plan.fault == "unreadable":
        content = NO_PICTURE if plan.number % 2 else content[: len(content) // 3]
    return SyntheticFile(plan, content, photo.regions, photo.is_between)


NO_PICTURE = b"<!DOCTYPE html><title>404 Not Found</title><p>The photo is not here any more.\n"


def _change_slightly(photo: SyntheticPhoto, number: int) -> SyntheticPhoto:
    """Return the photo as it comes back from elsewhere: smaller, compressed more, brighter or cropped, in turn."""
    side = photo.image.width
    if number % 4 == 0:
        return _cut(photo, margin=0, side=round(0.7 * side))
    if number % 4 == 1:
        return replace(photo, jpeg_quality=25)
    if number % 4 == 2:
        return replace(photo, image=photo.image.point(lambda value: min(255, value * 9 // 8)))
    return _cut(photo, margin=round(0.04 * side), side=side - 2 * round(0.04 * side))


def _cut(photo: SyntheticPhoto, *, margin: int, side: int) -> SyntheticPhoto:
    """Return the photo without a margin of so many pixels, `side` pixels wide; boxes move with it."""
    end = photo.image.width - margin
    scale = side / (end - margin)
    image = photo.image.crop((margin, margin, end, end)).resize((side, side), Image.Resampling.BOX)

    def move(place: float) -> float:
        """Return where a place of the photo is in the part of it."""
        return min(max((place - margin) * scale, 0.0), float(side))

    regions = {
        name: Box(move(box.left), move(box.top), move(box.right), move(box.bottom))
        for name, box in photo.regions.items()
    }
    return replace(photo, image=image, regions=regions)
