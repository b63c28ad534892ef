"""Weights for a backbone: fetched by `keras.applications`, or from a file that somebody brought."""

import contextlib
import hashlib
import io
import re
import warnings
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np

from convlens.environment import repository_root
from convlens.errors import ConvLensError
from convlens.network.backbones import build_application, find_builder
from convlens.network.transfer import HEAD
from convlens.params import ModelParams, TransferParams
from convlens.progress import say

LONGEST = 300
FORMATS = (".h5", ".hdf5", ".keras")
IMAGENET_MEAN, IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def load_pretrained(body: keras.Model, params: ModelParams) -> None:
    """Give the backbone in a freshly built body its pretrained weights, if `params` ask for any.

    To be called once, at the start of a training; never for inference, where the weights come with the model.

    Args:
        body: what `build_body` made of `params`; its backbone is changed, its last layer is not.
        params: the group `model`.

    Raises:
        ConvLensError: the weights cannot be fetched, are not the file that was meant, or belong to another network.
    """
    if params.architecture != "transfer" or params.transfer.weights == "none":
        return
    size = body.inputs[0].shape[1]
    load = _load_file if params.transfer.has_weights_file else _load_imagenet
    source = load(params.transfer, find_builder(params.transfer.backbone), size)
    copy_weights(source, body, name=params.transfer.backbone)


def copy_weights(source: keras.Model, body: keras.Model, *, name: str) -> None:
    """Copy the weights of a network of `keras.applications` into the same network inside a body.

    Raises:
        ConvLensError: the networks differ, or the weights want pictures of another scale than ImageNet's.
    """
    givers = [layer for layer in source.layers if layer.weights]
    takers = [layer for layer in body.layers if layer.weights and layer.name != HEAD]
    if _shapes(givers) != _shapes(takers):
        raise ConvLensError(
            f"Expected the weights of {len(takers)} layers for the backbone {name}. Received: those of {len(givers)} "
            "layers, or of other shapes. Please report the version of Keras."
        )
    for giver, taker in zip(givers, takers, strict=True):
        if isinstance(giver, keras.layers.Normalization):
            _check_scale(giver, name)  # stays what it is: our own preprocessing does this, in front
        else:
            taker.set_weights(giver.get_weights())


def _shapes(found: list[keras.Layer]) -> list[list[tuple[int, ...]]]:
    return [[tuple(weight.shape) for weight in layer.weights] for layer in found]


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
        raise ConvLensError(_explain_fetch(params.backbone, f"{told.getvalue()} {error}", error)) from error


def _explain_fetch(name: str, told: str, error: Exception) -> str:
    address = re.search(r"https?://\S+?\.h5", told)
    where = f"Fetch {address[0]} on a machine that can" if address else "Fetch them on a machine that can"
    return (
        f"Expected the ImageNet weights of {name} from keras.applications. Received: {_shorten(error)} "
        f"{where}, put the file anywhere on this one, and set model.transfer.weights to its path and "
        "model.transfer.weights_sha256 to its digest (`sha256sum FILE`); or set model.transfer.weights to none."
    )


def _load_file(params: TransferParams, builder: Callable[..., keras.Model], size: int | None) -> keras.Model:
    path = Path(repository_root()) / Path(params.weights).expanduser()
    _check_file(path, params)
    network = build_application(builder, params.backbone, image_size=size)
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
