"""Optimizers by name; among them ConvMuon, which orthogonalizes the updates of convolution kernels."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from convlens.params import TrainParams

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # Jordan et al. 2024: steepest at zero while staying near one

CONVOLUTIONS = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.SeparableConv2D)


def build_optimizer(params: TrainParams, network: keras.Model) -> keras.optimizers.Optimizer:
    """The optimizer that `train.optimizer` names; its learning rate is set at every step by the schedule."""
    rate, decay = params.learning_rate, params.weight_decay
    if params.optimizer == "conv_muon":
        return ConvMuon(rate, keep_norm=is_normalized(network))
    if params.optimizer == "adam":
        return keras.optimizers.Adam(rate)
    if params.optimizer == "adamw":
        return keras.optimizers.AdamW(rate, weight_decay=decay)
    return keras.optimizers.SGD(rate, momentum=0.9, nesterov=True, weight_decay=decay or None)


def is_normalized(network: keras.Model) -> bool:
    """Whether normalization that learns from the batch follows the convolutions, so that their norm does not matter.

    Frozen normalization, as in pretrained backbones, does not make up for a changed norm; nor is there any behind a
    convolution with a bias of its own, as in squeeze-and-excitation.
    """
    normalizations = [layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]
    convolutions = [layer for layer in network.layers if isinstance(layer, CONVOLUTIONS)]
    return (
        bool(normalizations)
        and all(layer.trainable for layer in normalizations)
        and not any(layer.use_bias for layer in convolutions)
    )


@keras.saving.register_keras_serializable(package="convlens")
class ConvMuon(keras.optimizers.Optimizer):
    """Muon for convolution kernels, Nesterov momentum for everything else.

    A kernel is taken as a matrix of (height * width * inputs) x filters. Its momentum is replaced by the nearest
    orthogonal matrix, found by Newton-Schulz iteration, so that every filter moves and none dominates.
    `keras.optimizers.Muon` orthogonalizes two-dimensional variables only, hence no kernel of a convolution.

    Source: Jordan et al. 2024, "Muon: an optimizer for hidden layers"; the treatment of kernels follows airbench
    (arXiv:2404.00498).

    Args:
        learning_rate: of the kernels.
        momentum: Nesterov momentum of the kernels.
        other_rate: learning rate of other variables as a share of `learning_rate`.
        other_momentum: their Nesterov momentum.
        num_iterations: Newton-Schulz steps.
        keep_norm: bring each kernel to Frobenius norm sqrt(filters) before each update. Only right where
            normalization follows the convolution, which makes the answer independent of the kernel's norm.
    """

    def __init__(
        self,
        learning_rate: float = 0.1,
        momentum: float = 0.6,
        other_rate: float = 0.3,
        other_momentum: float = 0.85,
        num_iterations: int = 3,
        keep_norm: bool = True,
        name: str = "conv_muon",
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate=learning_rate, name=name, **kwargs)
        self.momentum = momentum
        self.other_rate = other_rate
        self.other_momentum = other_momentum
        self.num_iterations = num_iterations
        self.keep_norm = keep_norm

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Make one momentum slot per variable."""
        if self.built:
            return
        super().build(variables)
        self._velocities = self.add_optimizer_variables(variables, "velocity")

    def update_step(self, gradient: tf.Tensor, variable: keras.Variable, learning_rate: tf.Tensor) -> None:
        """Update one variable from its gradient."""
        velocity = self._velocities[self._get_variable_index(variable)]
        rate = tf.cast(learning_rate, variable.dtype)
        if len(variable.shape) == 4:
            self._update_kernel(gradient, variable, velocity, rate)
        else:
            step = self._accelerate(gradient, velocity, self.other_momentum)
            variable.assign_sub(self.other_rate * rate * step)

    def _update_kernel(
        self, gradient: tf.Tensor, kernel: keras.Variable, velocity: keras.Variable, rate: tf.Tensor
    ) -> None:
        step = self._accelerate(gradient, velocity, self.momentum)
        filters = kernel.shape[-1]
        direction = orthogonalize(tf.reshape(step, (-1, filters)), num_iterations=self.num_iterations)
        value = tf.convert_to_tensor(kernel)
        if self.keep_norm:
            value = value * (filters**0.5 / (tf.norm(value) + 1e-7))
        kernel.assign(value - rate * tf.reshape(direction, kernel.shape))

    def _accelerate(self, gradient: tf.Tensor, velocity: keras.Variable, momentum: float) -> tf.Tensor:
        velocity.assign(momentum * velocity + gradient)
        return gradient + momentum * velocity

    def get_config(self) -> dict[str, Any]:
        """The arguments, for Keras serialization."""
        own = ("momentum", "other_rate", "other_momentum", "num_iterations", "keep_norm")
        return {**super().get_config(), **{name: getattr(self, name) for name in own}}


def orthogonalize(matrix: tf.Tensor, *, num_iterations: int) -> tf.Tensor:
    """Nearly the nearest orthogonal matrix: singular values go towards 1, singular vectors stay.

    Each Newton-Schulz step multiplies the matrix with a polynomial of its Gram matrix. The polynomials are multiplied
    first, on the side with fewer rows or columns, so that the matrix itself is gone through twice, however many steps.

    Args:
        matrix: float32, any shape (rows, columns).
        num_iterations: quintic Newton-Schulz steps; after three, singular values lie around 0.7 to 1.2 unless they
            were tiny against the largest.

    Returns:
        float32 matrix of the same shape.
    """
    tall = matrix.shape[0] > matrix.shape[1]
    value = matrix / (tf.norm(matrix) + 1e-7)
    gram = tf.matmul(value, value, transpose_a=tall, transpose_b=not tall)
    factor = _newton_schulz_factor(gram, num_iterations)
    return tf.matmul(value, factor) if tall else tf.matmul(factor, value)


def _newton_schulz_factor(gram: tf.Tensor, num_iterations: int) -> tf.Tensor:
    """The product of the polynomials; all of them, and the Gram matrices between, commute."""
    a, b, c = NEWTON_SCHULZ
    one = tf.eye(gram.shape[0])
    factor = one
    for left in reversed(range(num_iterations)):
        polynomial = a * one + b * gram + c * tf.matmul(gram, gram)
        factor = tf.matmul(polynomial, factor)
        if left:
            gram = tf.matmul(tf.matmul(polynomial, polynomial), gram)
    return factor
