"""Loss and hits of a batch from its logits, for one sigmoid output or a softmax."""

import tensorflow as tf


def batch_loss(logits: tf.Tensor, labels: tf.Tensor, *, smoothing: float) -> tf.Tensor:
    """Mean cross-entropy in nats.

    Args:
        logits: float32 (N, 1) for two classes, else (N, num_classes).
        labels: int64 (N,).
        smoothing: share of certainty taken from the targets (Szegedy et al. 2016, arXiv:1512.00567).
    """
    if logits.shape[-1] == 1:
        targets = tf.cast(labels, tf.float32) * (1 - smoothing) + smoothing / 2
        return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(targets, logits[:, 0]))
    count = logits.shape[-1]
    targets = tf.one_hot(labels, count) * (1 - smoothing) + smoothing / count
    return tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(targets, logits))


def count_hits(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """How many answers of a batch are right, int32 scalar."""
    if logits.shape[-1] == 1:
        answers = tf.cast(logits[:, 0] > 0, labels.dtype)
    else:
        answers = tf.argmax(logits, axis=-1, output_type=labels.dtype)
    return tf.reduce_sum(tf.cast(answers == labels, tf.int32))
