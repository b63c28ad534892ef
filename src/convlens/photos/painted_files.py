"""Painted photos as files. Light to import: worker processes load it."""

from dataclasses import dataclass

from convlens.photos.painting import Box, PaintingRecipe, encode_photo, file_name, paint_photo


@dataclass(frozen=True)
class PaintedFile:
    """A painted photo ready to be written: its name below the data set's folder, its bytes, its parts' boxes."""

    name: str
    content: bytes
    regions: dict[str, Box]


def paint_file(recipe: PaintingRecipe, which: tuple[str, int]) -> PaintedFile:
    """Paint and encode one photo, named by its label and index."""
    photo = paint_photo(recipe, *which)
    return PaintedFile(file_name(*which), encode_photo(photo), photo.regions)
