"""Lists of photos as contestants get them. Light to import, so that their peak memory is their own."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Listed:
    """Some photos: absolute paths, the index of each one's class, and the suffix by which Keras knows its format."""

    paths: tuple[str, ...]
    labels: tuple[int, ...]
    suffixes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.paths)


@dataclass(frozen=True)
class BenchPhotos:
    """The photos of a benchmark.

    Attributes:
        source: what was asked for.
        classes: names, in the order of the labels.
        train: to learn from.
        held_out: to measure accuracy on.
        num_left_out: files of the source that not every contestant can read, or that are copies of another.
    """

    source: str
    classes: tuple[str, ...]
    train: Listed
    held_out: Listed
    num_left_out: int

    @property
    def all(self) -> Listed:
        """Both parts."""
        first, second = self.train, self.held_out
        return Listed(first.paths + second.paths, first.labels + second.labels, first.suffixes + second.suffixes)
