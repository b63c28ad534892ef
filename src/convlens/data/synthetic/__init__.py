"""The synthetic data set: cats and dogs drawn by code, told apart by their shape alone, every part's place known."""

from convlens.data.synthetic.recipe import (
    KINDS,
    Box,
    SyntheticPhoto,
    SyntheticRecipe,
    encode_photo,
    file_name,
    list_photos,
    paint_photo,
)

__all__ = [
    "KINDS",
    "Box",
    "SyntheticPhoto",
    "SyntheticRecipe",
    "encode_photo",
    "file_name",
    "list_photos",
    "paint_photo",
]
