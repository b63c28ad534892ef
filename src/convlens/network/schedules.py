"""What changes over a training, by the share of it that is done: the learning rate and the picture size."""

import math
from collections.abc import Sequence

from convlens.params import TrainingSize, TrainParams

FIRST_SHARE = 0.05


def learning_rate_at(progress: float, params: TrainParams) -> float:
    """The learning rate after a share (0..1) of the training: a linear rise, then a cosine to 0 or a constant.

    Source: Loshchilov & Hutter 2017, arXiv:1608.03983; warm-up as in Goyal et al. 2017, arXiv:1706.02677.
    """
    warmup = params.warmup_fraction
    if progress < warmup:
        return params.learning_rate * (FIRST_SHARE + (1 - FIRST_SHARE) * progress / warmup)
    if params.schedule == "constant":
        return params.learning_rate
    return params.learning_rate * 0.5 * (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup)))


def size_at(progress: float, sizes: Sequence[TrainingSize]) -> int:
    """The picture size of an epoch that starts after a share (0..1) of the training."""
    return next(step.size for step in sizes if progress < step.until - 1e-9 or step is sizes[-1])
