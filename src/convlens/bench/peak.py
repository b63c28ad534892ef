"""The machine's measured peak: the fastest product of large matrices, in each precision."""

import time
from collections.abc import Sequence

import tensorflow as tf

SIZES = (2048, 3072, 4096)
PRECISIONS = ("float32", "bfloat16")
NUM_TRIALS = 5


def measure_peaks(sizes: Sequence[int] = SIZES, num_trials: int = NUM_TRIALS) -> dict[str, float]:
    """Floating-point operations per second of the best product, by precision; a multiply-add counts as 2.

    Args:
        sizes: sides of the square matrices that are tried.
        num_trials: products of each size, after one that is not counted.
    """
    return {dtype: max(_best_speed(size, dtype, num_trials) for size in sizes) for dtype in PRECISIONS}


def _best_speed(size: int, dtype: str, num_trials: int) -> float:
    left, right = (tf.cast(tf.random.stateless_normal((size, size), (0, seed)), dtype) for seed in (1, 2))
    times = [_time_product(left, right) for _ in range(num_trials + 1)]
    return 2 * size**3 / min(times[1:])


def _time_product(left: tf.Tensor, right: tf.Tensor) -> float:
    started = time.perf_counter()
    tf.matmul(left, right)[0, 0].numpy()  # asking for a value waits for the product, also on a GPU
    return time.perf_counter() - started
