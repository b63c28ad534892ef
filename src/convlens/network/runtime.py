"""Where TensorFlow computes: device, threads, precision. Call once, before anything else touches TensorFlow."""

from dataclasses import dataclass

import tensorflow as tf

from convlens.errors import ConvLensError
from convlens.network.devices import SINGLE, Devices, Meeting, open_devices
from convlens.network.precision import choose_precision
from convlens.params import TrainParams


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


def prepare_runtime(params: TrainParams, meeting: Meeting | None = None) -> Runtime:
    """Choose devices and precision, and fix the number of threads.

    Args:
        params: the group `train`.
        meeting: terms for several machines; without it a single device is used, whatever `train.strategy` says.

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
    devices = open_devices(params, meeting) if meeting else SINGLE
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
