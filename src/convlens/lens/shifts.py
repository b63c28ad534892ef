"""What a small shift of the photo does to the answer and to the maps.

A convolution moves with its photo; strides, pooling and borders break that (Zhang, "Making convolutional networks
shift-invariant again", ICML 2019, arXiv:1904.11486).
"""

from dataclasses import dataclass

import keras
import numpy as np

from convlens.lens.blocks import Block
from convlens.lens.estimates import estimate
from convlens.lens.forward import Scorer, batch_size, run_batches
from convlens.lens.saliency import cam_blocks

SHIFTS = (1, 2, 4, 8, 16)


@dataclass(frozen=True)
class ShiftedAnswers:
    """Photos moved to the right: `pixels`, share with the same answer, mean change of its probability."""

    pixels: tuple[int, ...]
    same: tuple[float, ...]
    change: tuple[float, ...]


@dataclass(frozen=True)
class Equivariance:
    """Maps of a photo moved by one cell's stride, against its maps moved by one cell; mean relative error."""

    block: str
    pixels: int
    error: tuple[float, float, float]


def shift_right(photos: np.ndarray, pixels: int) -> np.ndarray:
    """Photos (n, rows, columns, 3) moved to the right; the left border is repeated."""
    return np.concatenate([np.repeat(photos[:, :, :1], pixels, axis=2), photos[:, :, : photos.shape[2] - pixels]], 2)


def shift_answers(scorer: Scorer, photos: np.ndarray) -> ShiftedAnswers:
    """Ask again after every shift that is less than a quarter of the photo."""
    logits = scorer.logits(photos)
    answers = scorer.answers(logits)
    before = scorer.scores(logits, answers)[1]
    shifts = tuple(pixels for pixels in SHIFTS if pixels * 4 < photos.shape[2])
    moved = [scorer.logits(shift_right(photos, pixels)) for pixels in shifts]
    same = tuple(float((scorer.answers(found) == answers).mean()) for found in moved)
    change = tuple(float(np.abs(scorer.scores(found, answers)[1] - before).mean()) for found in moved)
    return ShiftedAnswers(shifts, same, change)


def equivariance(scorer: Scorer, photos: np.ndarray) -> list[Equivariance]:
    """How far each convolution's maps are from moving with the photo.

    Networks that resize their photos have no exact shift, and give none; nor do maps of one column.
    """
    blocks = [block for block in cam_blocks(scorer.lens.blocks) if _can_shift(scorer, block, photos)]
    return [_compare(scorer, block, photos) for block in blocks]


def _can_shift(scorer: Scorer, block: Block, photos: np.ndarray) -> bool:
    field = block.response.receptive_field
    whole = photos.shape[1:3] == scorer.lens.picture_shape
    return whole and field is not None and block.response.shape[1] > 1 and field.columns.stride < photos.shape[2]


def _compare(scorer: Scorer, block: Block, photos: np.ndarray) -> Equivariance:
    field = block.response.receptive_field
    pixels = field.columns.stride if field else 1
    model = keras.Model(scorer.lens.graph.input, block.response.tensor)
    pair = [photos, shift_right(photos, pixels)]
    size = batch_size(scorer.lens)
    first, second = (run_batches(model, images, size=size, dtype=scorer.dtype)[0] for images in pair)
    still, moved = first[:, :, :-1].reshape(len(photos), -1), second[:, :, 1:].reshape(len(photos), -1)
    norms = np.linalg.norm(still, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        errors = np.where(norms > 0, np.linalg.norm(moved - still, axis=1) / norms, np.nan)
    return Equivariance(block.name, pixels, estimate(errors[:, np.newaxis])[0])
