"""What the feature-map page needs to know of a network: shapes of the values that the lens gives."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np


class Span(Protocol):
    """A receptive field along one axis."""

    @property
    def size(self) -> int: ...
    @property
    def stride(self) -> int: ...
    @property
    def start(self) -> int: ...


class Field(Protocol):
    """A receptive field."""

    @property
    def rows(self) -> Span: ...
    @property
    def columns(self) -> Span: ...
    @property
    def gated(self) -> bool: ...


class Window(Protocol):
    """A pooling window along one axis."""

    @property
    def size(self) -> int: ...
    @property
    def stride(self) -> int: ...
    @property
    def before(self) -> int: ...


class Step(Protocol):
    """One set of feature maps inside a block."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def label(self) -> str: ...
    @property
    def shape(self) -> tuple[int, int, int]: ...
    @property
    def rectified(self) -> bool: ...
    @property
    def receptive_field(self) -> Field | None: ...
    @property
    def scale(self) -> np.ndarray | None: ...
    @property
    def offset(self) -> np.ndarray | None: ...
    @property
    def windows(self) -> tuple[Window, Window] | None: ...


class Block(Protocol):
    """A convolution and what follows it."""

    @property
    def name(self) -> str: ...
    @property
    def steps(self) -> Sequence[Step]: ...
    @property
    def num_filters(self) -> int: ...
    @property
    def is_convolution(self) -> bool: ...
    @property
    def response(self) -> Step: ...
