"""The head of a network: its logits, and what they say about a class as log-odds and as a probability.

Explanations speak about log-odds, because a probability near 0 or 1 hardly moves whatever happens to the photo.
"""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from convlens.lens.operation import operate
from convlens.lens.walk import Call, Graph

FINAL = {"Sigmoid": "sigmoid", "Softmax": "softmax"}
SMALLEST = 1e-7


@dataclass(frozen=True)
class Head:
    """Where a network's logits are.

    Attributes:
        logits: tensor (N, units); one unit is the log-odds of the second of two classes.
        source: tensor of the graph that the logits follow from; may be the logits themselves.
        layer: a dense layer that was called again for them, else None.
    """

    logits: Any
    source: Any
    layer: Any = None

    @property
    def num_units(self) -> int:
        """Logits per photo."""
        return int(self.logits.shape[-1])

    @property
    def num_classes(self) -> int:
        """Classes: two for one unit."""
        return max(2, self.num_units)


def find_head(graph: Graph) -> Head:
    """The logits of a graph: the values before its last sigmoid or softmax.

    A dense layer with a fused activation is called again without it. What a dense layer without one gives are logits
    (`from_logits=True` of Keras's losses). Where the answer comes from something else, its values are taken as
    probabilities.
    """
    last = next(call for call in reversed(graph.calls) if call.output is graph.answer)
    if _final_activation(last):
        if last.kind != "Dense":
            return Head(last.inputs[0], last.inputs[0])
        layer = _linear(last)
        return Head(layer(last.inputs[0]), last.inputs[0], layer)
    if last.kind == "Dense" and last.layer.activation is keras.activations.linear:
        return Head(graph.answer, graph.answer)
    return Head(operate(_undo, graph.answer), graph.answer)


def log_odds(logits: Any, targets: np.ndarray) -> Any:
    """Log-odds of one class per photo: its logit, less the logarithm of the sum over the others.

    Args:
        logits: (n, units), array or tensor.
        targets: int (n,), index of the class; of one unit, 1 is the class it speaks for.

    Returns:
        Tensor (n,).
    """
    ops = keras.ops
    if logits.shape[-1] == 1:
        return logits[:, 0] * np.where(np.asarray(targets) == 1, 1, -1).astype("float32")
    chosen = np.eye(logits.shape[-1], dtype="float32")[np.asarray(targets)]
    others = ops.logsumexp(logits - chosen * 1e9, axis=-1)
    return ops.sum(logits * chosen, axis=-1) - others


def class_probabilities(logits: np.ndarray, *, temperature: float = 1.0) -> np.ndarray:
    """Probabilities of every class, float64 (n, classes), calibrated by a temperature."""
    values = np.asarray(logits, dtype=np.float64) / temperature
    if values.shape[-1] == 1:
        values = np.concatenate([np.zeros_like(values), values], axis=-1)
    powers = np.exp(values - values.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def _undo(answer: Any) -> Any:
    """Logits of probabilities (n, units)."""
    chances = keras.ops.clip(answer, SMALLEST, 1 - SMALLEST)
    return keras.ops.log(chances) - (keras.ops.log(1 - chances) if answer.shape[-1] == 1 else 0.0)


def _final_activation(call: Call) -> str:
    """`sigmoid` or `softmax`, or nothing."""
    if call.kind in FINAL:
        return FINAL[call.kind]
    name = getattr(getattr(call.layer, "activation", None), "__name__", "")
    return name if call.kind in ("Activation", "Dense") and name in FINAL.values() else ""


def _linear(call: Call) -> keras.Layer:
    layer = type(call.layer).from_config({**call.layer.get_config(), "activation": None})
    layer.build(call.inputs[0].shape)
    layer.set_weights(call.layer.get_weights())
    return layer
