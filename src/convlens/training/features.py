"""Features: what a frozen backbone makes of photos, computed once for each photo and view, and kept from run to run.

    network = build_extractor("EfficientNetLite2", image_size=260)
    features = extract_features(network, images, views=("photo", "mirror"), folder=cache_folder())

gives float32 (2, num_photos, 1280). An entry is found by the digest of the pixels, of the weights and of the view, so
folds, subsets and races over several backbones compute nothing twice.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from convlens.data.cache import ResultDatabase
from convlens.data.loader import Images
from convlens.models.transfer import AVERAGE, apply_transfer, list_parts, load_weights
from convlens.params import TransferParams
from convlens.progress import track

PHOTOS_AT_ONCE = 32
VIEWS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "photo": lambda photos: photos,
    "mirror": lambda photos: photos[:, :, ::-1],
}


def build_extractor(params: TransferParams, *, image_size: int, dtype: str = "float32") -> keras.Model:
    """Build the backbones with their weights: float pictures (N, image_size, image_size, 3) in 0..255 to features.

    Args:
        params: the group `model.transfer`; `TransferParams.changed(backbone=…)` gives others.
        image_size: side in pixels.
        dtype: Keras dtype policy of the layers.

    Raises:
        ConvLensError: there is no such backbone, its weights cannot be had, or the pictures are too small for it.
    """
    pictures = keras.Input((image_size, image_size, 3), name="pictures")
    features = apply_transfer(pictures, params, image_size=image_size, dtype=dtype)
    network = keras.Model(pictures, features, name="body")
    load_weights(network, params)
    return network


def extract_features(
    body: keras.Model,
    params: TransferParams,
    images: Images,
    *,
    views: Sequence[str] = ("photo",),
    folder: Path | None = None,
) -> np.ndarray:
    """Compute the features of photos, each of its views by itself; what was computed before is read instead.

    A photo gets the same features whatever other photos come with it, and whether they were kept or not.

    Args:
        body: network with the backbones of `params`, from `build_extractor` or `build_body`.
        params: the group `model.transfer`.
        images: uint8 (num_photos, image_size, image_size, 3), read a batch at a time.
        views: names in `VIEWS`.
        folder: where features are kept; None keeps none.

    Returns:
        float32 (len(views), num_photos, channels), the channels of one backbone after the other.
    """
    blocks = []
    for name, prefix in list_parts(params):
        network = keras.Model(body.inputs[0], body.get_layer(f"{prefix}{AVERAGE}").output)
        rows = np.empty((len(views), len(images), network.output_shape[-1]), np.float32)
        with closing(ResultDatabase(folder, f"features_{name}", _describe_network(network))) as known:
            batches, done = _iterate_features(network, images, views, known), 0
            for batch in track(batches, total=len(images), task=f"features of {name}", weigh=_count_photos):
                rows[:, done : done + _count_photos(batch)] = batch
                done += _count_photos(batch)
        blocks.append(rows)
    return np.concatenate(blocks, axis=2)


def _count_photos(batch: np.ndarray) -> int:
    return int(batch.shape[1])


def _iterate_features(
    network: keras.Model, images: Images, views: Sequence[str], known: ResultDatabase
) -> Iterator[np.ndarray]:
    """Yield the features of some photos at a time, float32 (len(views), n, channels)."""

    def compute(pictures: tf.Tensor) -> tf.Tensor:
        return tf.cast(network(tf.cast(pictures, tf.float32), training=False), tf.float32)

    run = tf.function(compute)

    for start in range(0, len(images), PHOTOS_AT_ONCE):
        photos = images[np.arange(start, min(start + PHOTOS_AT_ONCE, len(images)))]
        digests = [hashlib.sha256(photo.tobytes()).digest() for photo in photos]
        batch = np.empty((len(views), len(photos), network.output_shape[-1]), np.float32)
        for number, view in enumerate(views):
            keys = [digest + view.encode() for digest in digests]
            contents = [known.read(key) for key in keys]
            fresh = [row for row, content in enumerate(contents) if len(content) != batch[0, 0].nbytes]
            for row in set(range(len(photos))) - set(fresh):
                batch[number, row] = np.frombuffer(contents[row], np.float32)
            if fresh:
                # Padded, so that there is one shape to compile for, and no photo goes through the network alone.
                padded = VIEWS[view](photos[np.resize(fresh, PHOTOS_AT_ONCE)])
                batch[number, fresh] = run(tf.constant(padded)).numpy()[: len(fresh)]
                for row in fresh:
                    known.write(keys[row], batch[number, row].tobytes())
        yield batch


def _describe_network(network: keras.Model) -> str:
    """Digest the weights and the types of a network, and name what computes with them."""
    digest = hashlib.sha256()
    for layer in network.layers:
        digest.update(f"{layer.name} {layer.dtype_policy.name}".encode())
        for weight in layer.get_weights():
            digest.update(weight.tobytes())
    return f"{digest.hexdigest()} keras {keras.version()}, tensorflow {tf.version.VERSION}"
