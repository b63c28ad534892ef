"""How many floating-point operations a network takes, counted from its graph."""

import math
from collections.abc import Callable

import keras
import tensorflow as tf

TRAINING = 3  # forward, gradient of the activations, gradient of the weights


def count_flops(network: keras.Model, image_size: int) -> int:
    """Operations of one photo's forward pass: multiply-adds of convolutions and dense layers, times 2.

    Counted from the graph that TensorFlow makes of the network at this size, so that nested models, shared layers and
    models for any size are counted as they run. Normalisation, pooling, activations and offsets, mostly a few per
    cent, are left out.

    Args:
        network: takes pictures (N, image_size, image_size, 3).
        image_size: side in pixels.
    """
    return 2 * sum(_count_multiply_adds(operation) for operation in _trace(network, image_size).get_operations())


def _trace(network: keras.Model, image_size: int) -> tf.Graph:
    """The graph of a forward pass of one photo, with nothing hidden in functions of its own (grouped convolutions)."""
    pictures = tf.TensorSpec((1, image_size, image_size, 3), network.inputs[0].dtype)
    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)  # functions called within are drawn into the graph
    try:
        return tf.function(lambda batch: network(batch, training=False)).get_concrete_function(pictures).graph
    finally:
        tf.config.run_functions_eagerly(before)


def _count_multiply_adds(operation: tf.Operation) -> int:
    count = COUNTS.get(operation.type)
    return count(operation) if count else 0


def _convolution(operation: tf.Operation) -> int:
    """Each value of the result is a sum over the kernel; filters (height, width, inputs of the group, outputs)."""
    return _size(operation.outputs[0]) * _product_of(operation.inputs[1].shape[:-1])


def _depthwise(operation: tf.Operation) -> int:
    """Filters (height, width, channels, multiplier): no sum over channels."""
    return _size(operation.outputs[0]) * _product_of(operation.inputs[1].shape[:2])


def _transposed(operation: tf.Operation) -> int:
    """A convolution backwards: the values are those of what it takes, and filters are (…, outputs, inputs)."""
    return _size(operation.inputs[2]) * _product_of(operation.inputs[1].shape[:-1])


def _product(operation: tf.Operation) -> int:
    """Matrices (…, rows, inner) by (…, inner, columns)."""
    transposed = operation.get_attr("transpose_a" if operation.type == "MatMul" else "adj_x")
    return _size(operation.outputs[0]) * int(operation.inputs[0].shape[-2 if transposed else -1])


def _size(tensor: tf.Tensor) -> int:
    return _product_of(tensor.shape)


def _product_of(sides: tf.TensorShape) -> int:
    return math.prod(int(side) for side in sides)


COUNTS: dict[str, Callable[[tf.Operation], int]] = {
    "Conv2D": _convolution,
    "DepthwiseConv2dNative": _depthwise,
    "Conv2DBackpropInput": _transposed,
    "MatMul": _product,
    "BatchMatMulV2": _product,
}
