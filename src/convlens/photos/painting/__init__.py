"""The painted data set: cats and dogs drawn by code, told apart by their shape alone, every part's place known."""

from convlens.photos.painting.paint import file_name, list_photos, paint_photo
from convlens.photos.painting.photo import Box, PaintedPhoto, encode_photo
from convlens.photos.painting.recipe import KINDS, PaintingRecipe

__all__ = [
    "KINDS",
    "Box",
    "PaintedPhoto",
    "PaintingRecipe",
    "encode_photo",
    "file_name",
    "list_photos",
    "paint_photo",
]
