"""Where TensorFlow computes: device, threads, precision. Call once, before anything else touches TensorFlow."""

from dataclasses import dataclass
from pathlib import Path

import tensorflow as tf

from convlens.errors import ConvLensError
from convlens.params import TrainParams

FAST_BFLOAT16 = {"avx512_bf16", "amx_bf16"}
CPU_INFO = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class Runtime:
    """What training runs on.

    Attributes:
        device: `cpu` or `gpu`.
        precision: `float32` or `bfloat16`, of the multiplications; weights are always float32.
        num_threads: threads one operation may use; 0 leaves it to TensorFlow (one per core).
    """

    device: str
    precision: str
    num_threads: int

    @property
    def dtype_policy(self) -> str:
        """The Keras dtype policy of the layers."""
        return "mixed_bfloat16" if self.precision == "bfloat16" else "float32"


def prepare_runtime(params: TrainParams) -> Runtime:
    """Choose device and precision, and fix the number of threads.

    Raises:
        ConvLensError: a GPU is asked for and TensorFlow sees none.
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
    precision = params.precision if params.precision != "auto" else _choose_precision(gpus if use_gpu else [])
    return Runtime("gpu" if use_gpu else "cpu", precision, params.num_threads)


def _fix_threads(num_threads: int) -> None:
    try:
        tf.config.threading.set_intra_op_parallelism_threads(num_threads)
    except RuntimeError:  # TensorFlow is running already, as in a notebook or a test
        if tf.config.threading.get_intra_op_parallelism_threads() != num_threads:
            raise ConvLensError(
                f"Expected to compute with train.num_threads = {num_threads}. Received: a process in which TensorFlow "
                "already runs with another number. Start a new process."
            ) from None


def _choose_precision(gpus: list[tf.config.PhysicalDevice]) -> str:
    """bfloat16 where the hardware multiplies it natively, which is where it is faster."""
    if gpus:
        capability = tf.config.experimental.get_device_details(gpus[0]).get("compute_capability", (0, 0))
        return "bfloat16" if capability >= (8, 0) else "float32"
    return "bfloat16" if FAST_BFLOAT16 & _cpu_flags() else "float32"


def _cpu_flags() -> set[str]:
    if not CPU_INFO.is_file():
        return set()
    lines = CPU_INFO.read_text(errors="replace").splitlines()
    return set(next((line for line in lines if line.startswith("flags")), "").split())
