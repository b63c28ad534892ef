"""Prepare TensorFlow: device, threads, precision, determinism."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import keras
import tensorflow as tf

from convlens.environment import CPU_INFO, cpu_flags
from convlens.errors import ConvLensError
from convlens.params import TrainParams
from convlens.training.devices import SINGLE, Devices, Rendezvous, open_devices

# --- Whether multiplying in bfloat16 pays here: first what the hardware says of itself, then a short race ---
#
# The flag alone is not enough. TensorFlow uses the instructions through oneDNN; without it (`TF_ENABLE_ONEDNN_OPTS=0`,
# or a build that lacks it) the same processor computes bfloat16 about ten times slower than float32.

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


# --- determinism ---
# Results that are the same bit for bit, run after run: asked of TensorFlow, and checked layer by layer beforehand.

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


# --- Where TensorFlow computes: device, threads, precision. Call once, before anything else touches TensorFlow ---


@dataclass(frozen=True)
class Runtime:
    """What training runs on.

    Attributes:
        device: `cpu` or `gpu`.
        precision: `float32` or `bfloat16`, of the multiplications; weights are always float32.
        num_threads: threads one operation may use; 0 leaves it to TensorFlow (one per core).
        devices: what a training is spread over.
    """

    device: str
    precision: str
    num_threads: int
    devices: Devices = SINGLE

    @property
    def dtype_policy(self) -> str:
        """The Keras dtype policy of the layers."""
        return "mixed_bfloat16" if self.precision == "bfloat16" else "float32"


def prepare_runtime(params: TrainParams, rendezvous: Rendezvous | None = None) -> Runtime:
    """Choose devices and precision, and fix the number of threads.

    Args:
        params: the group `train`.
        rendezvous: terms for several machines; without it a single device is used, whatever `train.strategy` says.

    Raises:
        ConvLensError: a GPU is asked for and TensorFlow sees none, or other machines do not come.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if params.device == "gpu" and not gpus:
        raise ConvLensError(
            "Expected a GPU (train.device: gpu). Received: none that TensorFlow can use. Install the GPU environment "
            "(`make setup GPU=1`) and its driver, or set train.device to auto or cpu."
        )
    use_gpu = bool(gpus) and params.device != "cpu"
    if gpus and not use_gpu:
        tf.config.set_visible_devices([], "GPU")
    for gpu in gpus if use_gpu else []:
        tf.config.experimental.set_memory_growth(gpu, True)
    if params.num_threads:
        _fix_threads(params.num_threads)
    devices = open_devices(params, rendezvous) if rendezvous else SINGLE
    precision: str = params.precision
    if precision == "auto":  # one for all machines: they train one network
        precision = devices.from_chief(lambda: choose_precision(gpus if use_gpu else []).encode()).decode()
    return Runtime("gpu" if use_gpu else "cpu", precision, params.num_threads, devices)


def _fix_threads(num_threads: int) -> None:
    try:
        tf.config.threading.set_intra_op_parallelism_threads(num_threads)
    except RuntimeError:  # TensorFlow is running already, as in a notebook or a test
        if tf.config.threading.get_intra_op_parallelism_threads() != num_threads:
            raise ConvLensError(
                f"Expected to compute with train.num_threads = {num_threads}. Received: a process in which TensorFlow "
                "already runs with another number. Start a new process."
            ) from None
