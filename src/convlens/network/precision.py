"""Whether multiplying in bfloat16 pays here: first what the hardware says of itself, then a short race.

The flag alone is not enough. TensorFlow uses the instructions through oneDNN; without it (`TF_ENABLE_ONEDNN_OPTS=0`, or
a build that lacks it) the same processor computes bfloat16 about ten times slower than float32.
"""

import time
from collections.abc import Callable

import tensorflow as tf

from convlens.environment import CPU_INFO, cpu_flags

FAST_BFLOAT16 = {"avx512_bf16", "amx_bf16"}
AMPERE = (8, 0)  # compute capability of the first GPUs that multiply bfloat16

# Measured on a loaded machine: 0.6 to 0.9 where the hardware is used, now and then 1.4; 8 to 60 where it is emulated.
# Only what lies between is measured for longer, and the line is drawn well above 1: noise must not turn the choice,
# and with it the results, from one run to the next.
CLEARLY_FAST, CLEARLY_SLOW = 1.0, 4.0
SLOWEST_RATIO = 1.5
FEW_ROUNDS, MANY_ROUNDS = 3, 20


def choose_precision(gpus: list[tf.config.PhysicalDevice]) -> str:
    """`bfloat16` where the hardware multiplies it, and TensorFlow makes use of that; else `float32`.

    Args:
        gpus: those that training uses; empty for the CPU.
    """
    if gpus:
        capability = tf.config.experimental.get_device_details(gpus[0]).get("compute_capability", (0, 0))
        return "bfloat16" if capability >= AMPERE else "float32"
    if not FAST_BFLOAT16 & cpu_flags(CPU_INFO):
        return "float32"
    return "bfloat16" if is_fast() else "float32"


def is_fast() -> bool:
    """Whether bfloat16 takes no more than about the time of float32."""
    ratio = compare_speed(FEW_ROUNDS)
    if CLEARLY_FAST < ratio < CLEARLY_SLOW:
        ratio = compare_speed(MANY_ROUNDS)
    return ratio < SLOWEST_RATIO


def compare_speed(num_rounds: int) -> float:
    """Time of a convolution, forwards and backwards, in bfloat16 over that in float32; the best of some rounds each.

    The rounds take turns, so that a load on the machine meets both.
    """
    contestants = [_convolution(dtype) for dtype in (tf.bfloat16, tf.float32)]
    seconds = [[_time(contestant) for contestant in contestants] for _ in range(num_rounds + 1)][1:]
    bfloat16, float32 = (min(column) for column in zip(*seconds, strict=True))
    return float(bfloat16 / float32)


def _convolution(dtype: tf.DType) -> Callable[[], object]:
    pictures = tf.random.stateless_normal((4, 32, 32, 32), (0, 1))
    kernel = tf.random.stateless_normal((3, 3, 32, 32), (0, 2))

    def learn() -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch([pictures, kernel])
            answer = tf.nn.conv2d(tf.cast(pictures, dtype), tf.cast(kernel, dtype), 1, "SAME")
            total = tf.reduce_sum(tf.cast(tf.nn.relu(answer), tf.float32))
        return tf.add_n([tf.reduce_sum(gradient) for gradient in tape.gradient(total, [pictures, kernel])])

    compiled = tf.function(learn)
    return lambda: float(compiled())


def _time(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started
