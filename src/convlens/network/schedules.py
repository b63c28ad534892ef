"""What changes over a training: the learning rate by step, the picture size by epoch."""

import math
from collections.abc import Sequence

from convlens.params import TrainingSize, TrainParams

FIRST_SHARE = 0.05


def learning_rate_at(step: int, *, num_steps: int, params: TrainParams) -> float:
    """The learning rate of a step (counted from 0): a linear rise, then a cosine to 0 or a constant.

    Source: Loshchilov & Hutter 2017, arXiv:1608.03983; warm-up as in Goyal et al. 2017, arXiv:1706.02677.
    """
    warmup = params.warmup_fraction * num_steps
    if step < warmup:
        return params.learning_rate * (FIRST_SHARE + (1 - FIRST_SHARE) * step / warmup)
    if params.schedule == "constant":
        return params.learning_rate
    progress = (step - warmup) / max(1.0, num_steps - warmup)
    return params.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))


def size_at(epoch: int, *, num_epochs: int, sizes: Sequence[TrainingSize]) -> int:
    """The picture size of an epoch (counted from 0)."""
    return next(step.size for step in sizes if epoch < step.until * num_epochs - 1e-9 or step is sizes[-1])
