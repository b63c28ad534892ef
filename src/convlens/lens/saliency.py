"""Where on the photo the answer comes from: Grad-CAM, with its sign kept.

Selvaraju et al., "Grad-CAM: Visual explanations from deep networks via gradient-based localization", ICCV 2017
(arXiv:1610.02391). Without the final ReLU of the paper, so that places that speak against the class show as well, and
for log-odds, which a sure answer does not flatten. Gradients weigh each cell by itself instead of by their mean over
the map (HiResCAM: Draelos and Carin 2020, arXiv:2011.08891). Behind a global average both are the same; in earlier
layers the mean points to wrong places: on the default network, deleting what it shows hurts less than chance.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from convlens.lens.blocks import Block
from convlens.lens.fields import ReceptiveField
from convlens.lens.forward import Scorer, batch_size, cut_behind, slices
from convlens.lens.head import log_odds

MAX_TARGETS = 12
FINE_CELLS = 7


@dataclass(frozen=True)
class CamTarget:
    """Maps that a Grad-CAM is made of; every way to the answer leads through them.

    A branch that a shortcut passes by tells a part of the story only: its Grad-CAM can point away from what counts.

    Attributes:
        name: of the layer that gives them.
        shape: rows and columns.
        field: pixels a cell sees.
    """

    name: str
    shape: tuple[int, int]
    field: ReceptiveField | None
    tensor: Any


def cam_blocks(blocks: Sequence[Block]) -> list[Block]:
    """Convolutions, in the order of the network."""
    return [block for block in blocks if block.is_convolution]


def find_cam_targets(scorer: Scorer) -> tuple[CamTarget, ...]:
    """Where a Grad-CAM is made, in the order of the network: responses and sums that nothing passes by.

    The last one is that of the paper. Of deep networks the last twelve are kept.
    """
    lens = scorer.lens
    responses = {id(block.response.tensor) for block in cam_blocks(lens.blocks)}
    first = next((i for i, call in enumerate(lens.graph.calls) if id(call.output) in responses), None)
    if first is None:
        return ()
    found: list[CamTarget] = []
    for call in reversed(lens.graph.calls[first:]):
        wanted = id(call.output) in responses or call.kind in ("Add", "Concatenate")
        if wanted and len(call.output.shape) == 4 and cut_behind(lens, scorer.head, call.output).is_only_way:
            shape = (int(call.output.shape[1]), int(call.output.shape[2]))
            found.append(CamTarget(call.name, shape, lens.fields.get(id(call.output)), call.output))
        if len(found) == MAX_TARGETS:
            break
    return tuple(reversed(found))


def choose_cam(targets: Sequence[CamTarget]) -> CamTarget | None:
    """The one to show first: the last with at least 7x7 cells, else the last; small photos end in very few cells."""
    fine = [target for target in targets if min(target.shape) >= FINE_CELLS]
    return next(iter([*reversed(fine), *reversed(targets)]), None)


def grad_cam(scorer: Scorer, photos: Any, classes: np.ndarray, targets: Sequence[CamTarget]) -> dict[str, np.ndarray]:
    """Signed Grad-CAM of photos.

    Args:
        scorer: the network.
        photos: uint8 (n, rows, columns, 3), as the loader gives them.
        classes: int (n,), the class whose log-odds are explained.
        targets: maps to explain by, in the order of the network.

    Returns:
        By name of the target, float32 (n, rows, columns): the sum over filters of map times gradient. Behind a global
        average and one dense layer the cells add up to the log-odds without the bias.
    """
    if not targets:
        return {}
    first, *later = (target.tensor for target in targets)
    front = keras.Model(scorer.lens.graph.input, first)
    rest = keras.Model(first, [scorer.head.logits, *later])
    parts: list[list[np.ndarray]] = []
    size = batch_size(scorer.lens)
    for number, batch in enumerate(slices(photos, size, scorer.dtype)):
        parts.append(_explain(rest, front(batch, training=False), classes[number * size : number * size + len(batch)]))
    return {target.name: np.concatenate(maps) for target, maps in zip(targets, zip(*parts, strict=True), strict=True)}


def _explain(rest: keras.Model, known: Any, classes: np.ndarray) -> list[np.ndarray]:
    with tf.GradientTape() as tape:
        tape.watch(known)
        outputs = rest(known, training=False)
        logits, *later = outputs if isinstance(outputs, list | tuple) else [outputs]
        score = tf.reduce_sum(log_odds(logits, classes))
    maps = [known, *later]
    gradients = tape.gradient(score, maps, unconnected_gradients="zero")
    sums = (tf.reduce_sum(values * gradient, axis=-1) for values, gradient in zip(maps, gradients, strict=True))
    return [np.asarray(values, dtype=np.float32) for values in sums]
