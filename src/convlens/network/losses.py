"""Loss and hits of a batch from its logits, for one sigmoid output or a softmax."""

import tensorflow as tf


def make_targets(labels: tf.Tensor, *, num_outputs: int, smoothing: float) -> tf.Tensor:
    """What the outputs of a network should be: one row per photo, in 0..1.

    Args:
        labels: int64 (N,).
        num_outputs: 1 for two classes, else the number of classes.
        smoothing: share of certainty taken from the targets (Szegedy et al. 2016, arXiv:1512.00567).

    Returns:
        float32 (N, num_outputs).
    """
    if num_outputs == 1:
        return tf.cast(labels, tf.float32)[:, None] * (1 - smoothing) + smoothing / 2
    return tf.one_hot(labels, num_outputs) * (1 - smoothing) + smoothing / num_outputs


def batch_loss(logits: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """Mean cross-entropy in nats of logits float32 (N, num_outputs) against targets of the same shape."""
    if logits.shape[-1] == 1:
        return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(targets, logits))
    return tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(targets, logits))


def count_hits(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """How many answers of a batch are right, int32 scalar."""
    if logits.shape[-1] == 1:
        answers = tf.cast(logits[:, 0] > 0, labels.dtype)
    else:
        answers = tf.argmax(logits, axis=-1, output_type=labels.dtype)
    return tf.reduce_sum(tf.cast(answers == labels, tf.int32))
