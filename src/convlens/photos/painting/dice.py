"""Random numbers that depend on a key alone: the same key gives the same picture, in any order and process."""

import random
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

Option = TypeVar("Option")


class Dice:
    """Draws numbers from a key; every branch draws its own, so that one part of a picture never shifts another.

    Only `random.Random.random` is used, whose values Python promises to keep from release to release.
    """

    def __init__(self, *key: object) -> None:
        """Seed the dice by the parts of `key`, which are told apart by their text."""
        self._key = key
        self._random = random.Random("/".join(str(part) for part in key))  # noqa: S311 – paint, no secrets

    def branch(self, name: str) -> "Dice":
        """Return independent dice for one purpose, for example `"coat"`."""
        return Dice(*self._key, name)

    def uniform(self, low: float, high: float) -> float:
        """Draw a number from `low` to `high`."""
        return low + (high - low) * self._random.random()

    def integer(self, low: int, high: int) -> int:
        """Draw a whole number from `low` to `high`, both included."""
        return low + int(self._random.random() * (high - low + 1))

    def chance(self, probability: float) -> bool:
        """Return True with the given probability; always draws one number."""
        return self._random.random() < probability

    def sign(self) -> int:
        """Return -1 or 1."""
        return 1 if self.chance(0.5) else -1

    def pick(self, options: Sequence[Option]) -> Option:
        """Draw one of the options, each equally likely."""
        return options[self.integer(0, len(options) - 1)]

    def generator(self) -> np.random.Generator:
        """Return a NumPy generator for whole arrays, seeded by the next draw."""
        return np.random.Generator(np.random.PCG64(self.integer(0, 2**52)))
