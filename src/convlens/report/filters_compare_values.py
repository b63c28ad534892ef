"""What the page of two networks shows, as plain values."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np


class LayerChange(Protocol):
    """A layer of one network beside its counterpart."""

    @property
    def base(self) -> str: ...
    @property
    def head(self) -> str: ...
    @property
    def num_base(self) -> int: ...
    @property
    def num_head(self) -> int: ...
    @property
    def matched(self) -> int: ...
    @property
    def born(self) -> int: ...
    @property
    def died(self) -> int: ...
    @property
    def dead_base(self) -> int: ...
    @property
    def dead_head(self) -> int: ...
    @property
    def correlation(self) -> float: ...
    @property
    def chance(self) -> float: ...


@dataclass(frozen=True)
class FilterTile:
    """Two partners, or a filter without one, on the photo that they fire on most.

    Attributes:
        kind: `changed`, `alike`, `died` or `born`.
        base: filter of the base; None for one that was born.
        head: filter of the head; None for one that died.
        correlation: of partners.
        photo: uint8 (rows, columns, 3).
        base_map: small map (rows, columns) of the base's filter.
        head_map: of the head's.
    """

    kind: str
    base: int | None
    head: int | None
    correlation: float
    photo: np.ndarray
    base_map: np.ndarray | None
    head_map: np.ndarray | None


@dataclass(frozen=True)
class LayerTiles:
    """The tiles of a layer; `rectified` says of base and head whether values are never below zero."""

    base: str
    head: str
    rectified: tuple[bool, ...]
    tiles: Sequence[FilterTile]


@dataclass(frozen=True)
class ChangedAnswer:
    """A photo with two answers.

    Attributes:
        path: of the photo.
        label: its class.
        answers: of base and head.
        probabilities: that each gave to its answer.
        photo: uint8 (rows, columns, 3).
        cams: signed Grad-CAM of each; None for a network without convolution.
        speaks_for: class that they explain.
    """

    path: str
    label: str
    answers: tuple[str, str]
    probabilities: tuple[float, float]
    photo: np.ndarray
    cams: tuple[np.ndarray | None, np.ndarray | None]
    speaks_for: str


@dataclass(frozen=True, kw_only=True)
class ComparedFilters:
    """Everything the page shows, as plain values.

    Attributes:
        base: what to call the first network.
        head: the second.
        sentence: the outcome in a line.
        layers: counts by pair of layers.
        unmatched: names of layers without a counterpart, of base and head.
        num_photos: photos that filters were matched on.
        threshold: correlation from which filters are partners.
        resized: whether the base takes photos of another size.
        tiles: of some layers.
        changed: photos with two answers, those shown.
        num_changed: all of them.
        note: why answers cannot be compared; empty if they can.
        totals: filters matched, of how many of the base, died, born.
    """

    base: str
    head: str
    sentence: str
    layers: Sequence[LayerChange]
    unmatched: tuple[Sequence[str], Sequence[str]]
    num_photos: int
    threshold: float
    resized: bool
    tiles: Sequence[LayerTiles]
    changed: Sequence[ChangedAnswer]
    num_changed: int
    note: str
    totals: tuple[int, int, int, int]
