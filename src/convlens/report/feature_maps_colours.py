"""Colour tables of the feature maps: readable for the colour-blind, and honest about zero; never jet.

Signed values run from purple over white at zero to orange (Brewer's PuOr, reversed), values that cannot fall below
zero run along viridis. Pages and PNGs use the same tables.
"""

import numpy as np

SIGNED = "PuOr_r"
POSITIVE = "viridis"


def colour_table(name: str) -> np.ndarray:
    """A colour map as 256 RGB entries, uint8 (256, 3)."""
    from matplotlib import colormaps

    table: np.ndarray = colormaps[name](np.arange(256), bytes=True)
    return table[:, :3].copy()


def colour_hex(name: str) -> str:
    """A colour map as 256 RGB triples in hexadecimal, one after the other."""
    return colour_table(name).tobytes().hex()


def colour_index(values: np.ndarray, limit: float, *, signed: bool) -> np.ndarray:
    """Place of values in a colour table, uint8: 0..limit, or -limit..limit when signed; beyond that the end colour.

    Colours follow the square root of the values, so that faint ones show; a legend must bend with them.
    """
    plain = values / (limit if limit > 0 else 1.0)
    root = np.sign(plain) * np.sqrt(np.abs(plain))
    share = (root + 1) / 2 if signed else root
    places: np.ndarray = np.clip(np.round(share * 255), 0, 255).astype(np.uint8)
    return places
