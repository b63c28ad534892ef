"""What happens to the answer when a box of the photo is covered.

Zeiler and Fergus, "Visualizing and understanding convolutional networks", ECCV 2014 (arXiv:1311.2901). A box is
covered with the photo's own mean colour, which changes its brightness least.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from convlens.lens.forward import Scorer, batch_size

Box = tuple[float, float, float, float]
SHARES = (1 / 6, 1 / 3)


@dataclass(frozen=True)
class Occlusion:
    """Effects of covering boxes on a grid: what is left is subtracted from the original.

    Attributes:
        size: rows and columns of a box, in pixels of the picture.
        stride: from box to box, down and across.
        log_odds: (rows, columns) effect on the log-odds of the target; above zero the box spoke for it.
        probability: effect on its calibrated probability.
    """

    size: tuple[float, float]
    stride: tuple[float, float]
    log_odds: np.ndarray
    probability: np.ndarray


def occlude(scorer: Scorer, photo: np.ndarray, target: int, *, share: float) -> Occlusion:
    """Cover boxes on a grid, one at a time; a box spans `share` of each side, and the next starts half a box on."""
    height, width = scorer.lens.picture_shape
    size = (max(1, round(height * share)), max(1, round(width * share)))
    stride = (max(1, size[0] // 2), max(1, size[1] // 2))
    tops, lefts = (_starts(n, s, d) for n, s, d in zip((height, width), size, stride, strict=True))
    boxes = [(left, top, left + size[1], top + size[0]) for top in tops for left in lefts]
    odds, chances = cover_effects(scorer, photo, boxes, target)
    shape = (len(tops), len(lefts))
    return Occlusion(size, stride, odds.reshape(shape), chances.reshape(shape))


def cover_effects(
    scorer: Scorer, photo: np.ndarray, boxes: Sequence[Box], target: int
) -> tuple[np.ndarray, np.ndarray]:
    """Effect of covering each box on log-odds and on calibrated probability of a class; float64 (boxes,) each.

    Args:
        scorer: the network.
        photo: uint8 (rows, columns, 3), as the loader gives it.
        boxes: in pixels of the picture the network works on.
        target: the class.
    """
    parts = [scorer.logits(batch) for batch in _covered(scorer, photo, boxes)]
    odds, chances = scorer.scores(np.concatenate(parts), target)
    return odds[0] - odds[1:], chances[0] - chances[1:]


def cover(photo: np.ndarray, box: Box) -> np.ndarray:
    """A copy of a photo with a box, in its own pixels, in its mean colour; parts of pixels are rounded."""
    left, top, right, bottom = (round(side) for side in box)
    covered = photo.copy()
    covered[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)] = mean_colour(photo)
    return covered


def mean_colour(photo: np.ndarray) -> np.ndarray:
    """Mean colour of a photo, rounded, uint8 (3,)."""
    colour: np.ndarray = np.round(photo.reshape(-1, photo.shape[-1]).mean(axis=0)).astype(photo.dtype)
    return colour


def _covered(scorer: Scorer, photo: np.ndarray, boxes: Sequence[Box]) -> Iterator[np.ndarray]:
    """The photo itself, then the photo with each box covered, in batches."""
    rows, columns = (n / m for n, m in zip(photo.shape[:2], scorer.lens.picture_shape, strict=True))
    size = batch_size(scorer.lens)
    wanted = [(0.0, 0.0, 0.0, 0.0), *boxes]
    for start in range(0, len(wanted), size):
        chosen = wanted[start : start + size]
        yield np.stack([cover(photo, (box[0] * columns, box[1] * rows, box[2] * columns, box[3] * rows))
                        for box in chosen])  # fmt: skip


def _starts(length: int, size: int, stride: int) -> list[int]:
    return [i * stride for i in range(max(1, -(-(length - size) // stride) + 1))]
