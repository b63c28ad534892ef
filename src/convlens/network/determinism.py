"""Results that are the same bit for bit, run after run: asked of TensorFlow, and checked layer by layer beforehand."""

from collections.abc import Iterator

import keras
import tensorflow as tf

from convlens.errors import ConvLensError

ASSUMED_SIDE = 64  # for inputs that take any size


def require_determinism(body: keras.Model) -> None:
    """Have TensorFlow refuse every operation whose result may differ from run to run, for the rest of the process.

    Each layer is run forwards and backwards on zeros, without and with that demand, so that a layer which cannot
    meet it on this device is named before the training starts. Weights and statistics end as they were.

    Source: `tf.config.experimental.enable_op_determinism`.

    Raises:
        ConvLensError: some layers cannot; the message names them.
    """
    kept = body.get_weights()
    runnable = [layer for layer in _leaves(body) if _runs(layer)]
    tf.config.experimental.enable_op_determinism()
    refused = [f"{layer.name} ({type(layer).__name__})" for layer in runnable if not _runs(layer)]
    body.set_weights(kept)
    if refused:
        raise ConvLensError(
            "Expected layers that give the same result in every run, because train.deterministic is true. Received: "
            f"{', '.join(refused)}, which TensorFlow cannot compute so on this device. Use other layers, another "
            "train.device, or set train.deterministic to false."
        )


def _leaves(body: keras.Model) -> Iterator[keras.Layer]:
    for layer in body._flatten_layers(include_self=False, recursive=True):
        if not isinstance(layer, keras.layers.InputLayer | keras.Model):
            yield layer


def _runs(layer: keras.Layer) -> bool:
    try:
        inputs = tf.nest.map_structure(_zeros, layer.input)
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            answer = layer(inputs, training=True) if layer._call_has_training_arg else layer(inputs)
        tape.gradient(answer, [*tf.nest.flatten(inputs), *layer.trainable_variables])
    except (tf.errors.OpError, RuntimeError, ValueError, LookupError, AttributeError):  # the last: part of a layer
        return False
    return True


def _zeros(tensor: keras.KerasTensor) -> tf.Tensor:
    return tf.zeros([2, *(ASSUMED_SIDE if side is None else side for side in tensor.shape[1:])], tensor.dtype)
