"""Transfer learning: EfficientNet-Lite and backbones of keras.applications, their weights, how they are unfrozen."""

import contextlib
import difflib
import hashlib
import io
import math
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

from convlens.environment import repository_root
from convlens.errors import ConvLensError
from convlens.files import round_array
from convlens.models.efficientnet_lite import LITE_LICENSE, LITE_NETWORKS, apply_lite, find_package, load_lite_weights
from convlens.params import ModelParams, TransferParams
from convlens.progress import say

# --- The networks of `keras.applications` by name, as layers of one flat graph with their preprocessing in front ---
#
# A backbone gets pictures of 0..255 in RGB like every network here. What its module's `preprocess_input` does to them
# is found out by asking it, and built of plain Keras layers. The graph is flat, not a model within a model, so that the
# lens shows every layer under its own name; and every name depends on the network only, so that files are reproducible.

FULL = 255.0
DIGITS = 12  # enough for float32, and the rounding errors of the probe do not show


@dataclass(frozen=True)
class Preprocessing:
    """What is done to pictures: `value * scale + offset` by channel (R, G, B), then perhaps BGR for RGB."""

    scale: tuple[float, ...]
    offset: tuple[float, ...]
    flipped: bool

    def apply(self, pictures: keras.KerasTensor) -> keras.KerasTensor:
        """Build it of plain Keras layers, for pictures (N, height, width, 3) of 0..255."""
        # One number where all channels have the same.
        scale, offset = (values[0] if len(set(values)) == 1 else list(values) for values in (self.scale, self.offset))
        values = layers.Rescaling(scale, offset=offset, name="preprocess", dtype="float32")(pictures)
        return keras.ops.flip(values, axis=-1) if self.flipped else values


def list_backbones() -> tuple[str, ...]:
    """List the names of all networks in `keras.applications`, sorted."""
    public = vars(keras.applications)
    return tuple(sorted(name for name, value in public.items() if callable(value) and name[:1].isupper()))


def find_builder(name: str) -> Callable[..., keras.Model]:
    """Find the function of `keras.applications` that builds a network.

    Raises:
        ConvLensError: there is none of that name; the message suggests others.
    """
    known = list_backbones()
    if name not in known:
        lower = {other.lower(): other for other in (*known, *LITE_NETWORKS)}
        close = difflib.get_close_matches(name.lower().replace("-", "").replace("_", ""), lower, n=3, cutoff=0.5)
        hint = (
            f"Did you mean {', '.join(lower[match] for match in close)}?" if close else f"There are {', '.join(known)}."
        )
        raise ConvLensError(
            f"Expected model.transfer.backbone to be {', '.join(LITE_NETWORKS)} or the name of a network in "
            f"keras.applications. Received: '{name}'. {hint}"
        )
    builder: Callable[..., keras.Model] = getattr(keras.applications, name)
    return builder


def probe_preprocessing(name: str) -> Preprocessing:
    """Find what the `preprocess_input` of a network does to pictures of 0..255, by showing it some.

    The first EfficientNets (B0 to B7) scale inside the network, by values that come with their weights. Theirs is what
    takes pictures to ImageNet's mean 0 and deviation 1 behind that layer; see `pretrained.copy_weights`.

    Raises:
        ConvLensError: it is no scaling of channels.
    """
    prepare = sys.modules[find_builder(name).__module__].preprocess_input
    if re.fullmatch(r"EfficientNetB\d", name):
        found = _probe(name, lambda values: keras.applications.imagenet_utils.preprocess_input(values, mode="torch"))
        scale, offset = (_round(FULL * np.array(values)) for values in (found.scale, found.offset))
        return Preprocessing(scale, offset, found.flipped)
    return _probe(name, prepare)


def apply_backbone(
    pictures: keras.KerasTensor, name: str, *, image_size: int | None, dtype: str, prefix: str = ""
) -> tuple[keras.KerasTensor, list[keras.Layer]]:
    """Apply preprocessing and backbone, with random weights.

    Args:
        pictures: (N, image_size, image_size, 3), RGB, values 0..255.
        name: one of `LITE_NETWORKS`, or of a network in `keras.applications`.
        image_size: side in pixels; None takes any.
        dtype: Keras dtype policy of the backbone's layers; preprocessing is done in float32.
        prefix: of the layers' names of one of `LITE_NETWORKS`.

    Returns:
        Features (N, rows, columns, channels), and the layers on the way to them.

    Raises:
        ConvLensError: there is no such network, or the pictures are too small for it.
    """
    if name in LITE_NETWORKS:
        return apply_lite(pictures, name, image_size=image_size, dtype=dtype, prefix=prefix)
    builder = find_builder(name)
    values = probe_preprocessing(name).apply(pictures)
    with _dtype_policy(dtype):
        network = build_application(builder, name, image_size=image_size, input_tensor=values)
    _settle_names(network)
    return network.output, network.layers


def build_application(
    builder: Callable[..., keras.Model], name: str, *, image_size: int | None, **options: Any
) -> keras.Model:
    """Build a network of `keras.applications` without its top, with random weights unless `options` say otherwise.

    Raises:
        ConvLensError: the pictures are too small for it.
    """
    options = {"weights": None, **options}
    try:
        return builder(include_top=False, input_shape=(image_size, image_size, 3), **options)
    except ValueError as error:
        small = re.search(r"at least (\d+)\s?x", str(error))
        if not small and "negative dimension" not in str(error).lower() and "<= 0" not in str(error):
            raise
        least = f"at least {small[1]}" if small else "larger"
        raise ConvLensError(
            f"Expected preprocess.image_size to be {least} for the backbone {name}. Received: {image_size}."
        ) from error


def _probe(name: str, prepare: Callable[[np.ndarray], np.ndarray]) -> Preprocessing:
    black = np.asarray(prepare(np.zeros((1, 1, 1, 3))))[0, 0, 0]
    bright = np.asarray(prepare(FULL * np.eye(3).reshape(3, 1, 1, 3)))[:, 0, 0]
    matrix = (bright - black) / FULL  # row: channel that is lit; column: channel of the answer
    flipped = bool(matrix[0, 2] != 0)
    if flipped:
        matrix, black = matrix[:, ::-1], black[::-1]
    if np.count_nonzero(matrix - np.diag(np.diag(matrix))):
        raise ConvLensError(f"Expected the preprocessing of {name} to scale channels. Received: one that mixes them.")
    return Preprocessing(_round(np.diag(matrix)), _round(black), flipped)


def _round(values: np.ndarray) -> tuple[float, ...]:
    return tuple((round_array(values, DIGITS) + 0.0).tolist())  # + 0.0 makes -0.0 zero


@contextmanager
def _dtype_policy(name: str) -> Iterator[None]:
    """Layers made inside have this policy; `keras.applications` cannot be told in another way."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _settle_names(network: keras.Model) -> None:
    """Number the layers that Keras numbered (`conv2d_57`) anew, as it goes on counting from model to model."""
    counts: dict[str, int] = {}
    parts = network.layers if isinstance(network, keras.Sequential) else network.operations
    for operation in parts:
        # As Keras makes names of classes: Conv2D to conv2d, ReLU to re_lu.
        partly = re.sub(r"(.)([A-Z][a-z0-9]+)", r"\1_\2", re.sub(r"\W+", "", type(operation).__name__))
        kind = re.sub(r"([a-z])([A-Z])", r"\1_\2", partly).lower()
        if re.fullmatch(rf"{kind}(_\d+)?", operation.name):
            counts[kind] = counts.get(kind, 0) + 1
            operation.name = f"{kind}_{counts[kind]}"
        if isinstance(operation, keras.Model):
            operation.inputs[0]._keras_history.operation.name = f"{operation.name}_input"
            _settle_names(operation)


# --- Transfer learning: a backbone trained on ImageNet, frozen at first and then trained on at a lower rate ---
#
# Normalization layers of a pretrained backbone stay in inference mode for good, also while their neighbors learn:
# their averages come from a million photos, and batches of ours would spoil them
# (https://keras.io/guides/transfer_learning).

HEAD = "logits"
AVERAGE = "average"


@dataclass(frozen=True)
class Phase:
    """What is trained at a time.

    Attributes:
        name: `all`, `frozen`, `fitted` or `fine_tuned`; phases of one name have the same variables.
        variables: those that are updated.
        rate_factor: what the learning rate is multiplied with.
    """

    name: str
    variables: tuple[keras.Variable, ...]
    rate_factor: float


def apply_transfer(
    pictures: keras.KerasTensor, params: TransferParams, *, image_size: int | None, dtype: str
) -> keras.KerasTensor:
    """Apply preprocessing, backbone with random weights, and a global average; several backbones stand side by side.

    Args:
        pictures: (N, image_size, image_size, 3), values 0..255.
        params: the group `model.transfer`.
        image_size: side in pixels; None takes any.
        dtype: Keras dtype policy of the backbone.

    Returns:
        Features of shape (N, channels of the backbones).

    Raises:
        ConvLensError: there is no such backbone, or the pictures are too small for it.
    """
    averages = []
    for name, prefix in list_parts(params):
        values, found = apply_backbone(pictures, name, image_size=image_size, dtype=dtype, prefix=prefix)
        for layer in found if params.weights != "none" else []:
            freeze_normalization(layer)
        averages.append(layers.GlobalAveragePooling2D(name=f"{prefix}{AVERAGE}", dtype=dtype)(values))
    values = averages[0] if len(averages) == 1 else layers.Concatenate(name="features", dtype=dtype)(averages)
    return layers.Dropout(params.dropout, name="dropout", dtype=dtype)(values) if params.dropout else values


def list_parts(params: TransferParams) -> list[tuple[str, str]]:
    """List the backbones with the prefix of their layers' names, which is empty if there is but one.

    Raises:
        ConvLensError: networks stand side by side that cannot.
    """
    names = params.backbone.split("+")
    if len(names) == 1:
        return [(names[0], "")]
    if set(names) - set(LITE_NETWORKS) or len(set(names)) < len(names):
        raise ConvLensError(
            f"Expected different ones of {', '.join(LITE_NETWORKS)} side by side in model.transfer.backbone. "
            f"Received: '{params.backbone}'."
        )
    return [(name, f"{name.removeprefix('EfficientNet').lower()}_") for name in names]


def freeze_normalization(layer: keras.Layer) -> None:
    """Keep batch normalization in inference mode; in Keras `trainable = False` does that, even if training=True."""
    for part in layer.layers if isinstance(layer, keras.Model) else [layer]:
        if isinstance(part, layers.BatchNormalization):
            part.trainable = False


def phase_at(progress: float, params: ModelParams, body: keras.Model) -> Phase:
    """Give what is trained when a share of the training, 0..1, is done.

    Networks that start from random weights are always trained as a whole.
    """
    transfer = params.transfer
    if not params.is_pretrained:
        return Phase("all", tuple(body.trainable_variables), 1.0)
    head = list(body.get_layer(HEAD).trainable_variables)
    if transfer.head == "fitted" and progress == 0:
        return Phase("fitted", tuple(head), 0.0)
    if transfer.frozen_fraction == 1 or (transfer.head == "trained" and progress < transfer.frozen_fraction):
        return Phase("frozen", tuple(head), 1.0)
    backbone = [layer for layer in body.layers if layer.trainable_variables and layer.name != HEAD]
    num_unfrozen = math.ceil(transfer.unfrozen_fraction * len(backbone))
    variables = [variable for layer in backbone[-num_unfrozen:] for variable in layer.trainable_variables]
    return Phase("fine_tuned", (*variables, *head), transfer.fine_tune_rate)


# --- Weights for a backbone: fetched by `keras.applications`, or from a file that somebody brought ---

LONGEST = 300
FORMATS = (".h5", ".hdf5", ".keras")
IMAGENET_MEAN, IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def load_pretrained(body: keras.Model, params: ModelParams) -> None:
    """Give the backbones in a freshly built body their pretrained weights, if `params` ask for any.

    To be called once, at the start of a training; never for inference, where the weights come with the model.

    Args:
        body: what `build_body` made of `params`; its backbone is changed, its last layer is not.
        params: the group `model`.

    Raises:
        ConvLensError: the weights cannot be fetched, are not the file that was meant, or belong to another network.
    """
    if params.is_pretrained:
        load_weights(body, params.transfer)


def load_weights(network: keras.Model, params: TransferParams) -> None:
    """Give the backbones in a network the weights that `params` name, which are not none.

    Raises:
        ConvLensError: as `load_pretrained`.
    """
    size = network.inputs[0].shape[1]
    if params.has_weights_file:
        copy_weights(_load_file(params, size), network, name=params.backbone)
        return
    for name, prefix in list_parts(params):
        if name in LITE_NETWORKS:
            load_lite_weights(network.layers, name, prefix=prefix)
        else:
            copy_weights(_load_imagenet(params, find_builder(name), size), network, name=name)


def describe_weights(params: ModelParams) -> list[dict[str, str | None]]:
    """Describe where pretrained weights come from: name, source, license and sha256, as far as known.

    Args:
        params: the group `model`.

    Returns:
        One for each backbone; none if the training starts from random weights.

    Raises:
        ConvLensError: the package that holds the weights is not installed.
    """
    if not params.is_pretrained:
        return []
    transfer, described = params.transfer, list[dict[str, str | None]]()
    if transfer.has_weights_file:
        file = {"source": Path(transfer.weights).name, "license": None, "sha256": transfer.weights_sha256}
        return [{"name": transfer.backbone, **file}]
    for name, _ in list_parts(transfer):
        if network := LITE_NETWORKS.get(name):
            source = f"the package {network.package} {find_package(name).version}"
            described.append({"name": name, "source": source, "license": LITE_LICENSE, "sha256": network.sha256})
        else:
            source = f"keras.applications of Keras {keras.version()}"
            described.append({"name": name, "source": source, "license": None, "sha256": None})
    return described


def copy_weights(source: keras.Model, body: keras.Model, *, name: str) -> None:
    """Copy the weights of a network of `keras.applications` into the same network inside a body.

    Raises:
        ConvLensError: the networks differ, or the weights want pictures of another scale than ImageNet's.
    """
    givers = [layer for layer in source.layers if layer.weights]
    takers = [layer for layer in body.layers if layer.weights and layer.name != HEAD]
    given, taken = ([[tuple(w.shape) for w in layer.weights] for layer in found] for found in (givers, takers))
    if given != taken:
        raise ConvLensError(
            f"Expected the weights of {len(takers)} layers for the backbone {name}. Received: those of {len(givers)} "
            "layers, or of other shapes. Please report the version of Keras."
        )
    for giver, taker in zip(givers, takers, strict=True):
        if isinstance(giver, keras.layers.Normalization):
            _check_scale(giver, name)  # stays what it is: our own preprocessing does this, in front
        else:
            taker.set_weights(giver.get_weights())


def _check_scale(layer: keras.layers.Normalization, name: str) -> None:
    """The first EfficientNets carry ImageNet's mean and, as `variance`, its deviation (TensorFlow issue 49930)."""
    mean, variance, _ = layer.get_weights()
    if not (np.allclose(mean, IMAGENET_MEAN, atol=1e-3) and np.allclose(variance, IMAGENET_DEVIATION, atol=1e-3)):
        raise ConvLensError(
            f"Expected weights of {name} that were trained on pictures scaled by ImageNet's mean {IMAGENET_MEAN} and "
            f"deviation {IMAGENET_DEVIATION}. Received: {mean.round(3).tolist()} and {variance.round(3).tolist()} in "
            "the layer 'normalization'. Take the file that Keras publishes, or another backbone."
        )


def _load_imagenet(params: TransferParams, builder: Callable[..., keras.Model], size: int | None) -> keras.Model:
    """Let Keras find the weights in its cache, or fetch them and check their digest."""
    say(f"train: ImageNet weights of {params.backbone}, through keras.applications.")
    told = io.StringIO()
    try:
        with contextlib.redirect_stdout(told), warnings.catch_warnings():
            # MobileNet and MobileNetV2 warn that they take the weights of 224 pixels for sizes they have none for.
            warnings.simplefilter("ignore", UserWarning)
            return build_application(builder, params.backbone, image_size=size, weights="imagenet")
    except ConvLensError:
        raise
    except Exception as error:  # Keras raises bare exceptions here
        address = re.search(r"https?://\S+?\.h5", f"{told.getvalue()} {error}")
        where = f"Fetch {address[0]} on a machine that can" if address else "Fetch them on a machine that can"
        raise ConvLensError(
            f"Expected the ImageNet weights of {params.backbone} from keras.applications. Received: {_shorten(error)} "
            f"{where}, put the file anywhere on this one, and set model.transfer.weights to its path and "
            "model.transfer.weights_sha256 to its digest (`sha256sum FILE`); or set model.transfer.weights to none."
        ) from error


def _load_file(params: TransferParams, size: int | None) -> keras.Model:
    path = Path(repository_root()) / Path(params.weights).expanduser()
    _check_file(path, params)
    if params.backbone in LITE_NETWORKS:
        pictures = keras.Input((size, size, 3), name="pictures")
        features, _ = apply_lite(pictures, params.backbone, image_size=size, dtype="float32")
        network = keras.Model(pictures, features)
    else:
        network = build_application(find_builder(params.backbone), params.backbone, image_size=size)
    try:
        with warnings.catch_warnings():
            # Keras 3.15 warns of groups that hold no layer; layers without weights in the file are errors anyway.
            warnings.filterwarnings("ignore", "Skipping nested container", UserWarning)
            network.load_weights(path)
    except Exception as error:  # h5py, zipfile and Keras raise many kinds, bare ones among them
        raise ConvLensError(
            f"Expected weights of {params.backbone} without its top in {params.weights}. "
            f"Received: {_shorten(error)} The file may belong to another network, "
            "or to one with its top; Keras has files ending in notop.h5 or no_top.h5 for this."
        ) from error
    return network


def _shorten(error: Exception) -> str:
    """The start of a message that may list every layer, as one sentence."""
    text = " ".join(str(error).split()).rstrip(".")
    return f"{text[:LONGEST]}{'…' if len(text) > LONGEST else '.'}"


def _check_file(path: Path, params: TransferParams) -> None:
    """Refuse a file that is missing, of an unknown kind, or another than the parameters name."""
    if not path.is_file():
        raise ConvLensError(
            f"Expected imagenet, none or a file in model.transfer.weights. Received: '{params.weights}', and nothing "
            f"is there. Put the weights of {params.backbone} (without its top) there, or correct the path."
        )
    if path.suffix not in FORMATS:
        raise ConvLensError(
            f"Expected weights in a file ending in {', '.join(FORMATS)}. Received: '{params.weights}'. Save them by "
            "`model.save_weights('NAME.weights.h5')`."
        )
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != params.weights_sha256:
        raise ConvLensError(
            f"Expected {params.weights} to have the sha256 {params.weights_sha256} of model.transfer.weights_sha256. "
            f"Received: {digest}. Bring the right file; or, if this is the one you mean, put its digest there."
        )
