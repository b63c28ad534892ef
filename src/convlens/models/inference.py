"""Predict with a trained network: the operating point, views, logits, probabilities, and a reusable predictor."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from convlens.data.loader import Images
from convlens.errors import ConvLensError
from convlens.files import write_json

if TYPE_CHECKING:  # metrics know the operating point without loading TensorFlow
    import keras
    import tensorflow as tf

# --- the operating point: how outputs become predictions ---

EVEN = 0.5  # of two classes the more probable one
OPERATING_POINT = "operating_point.json"
FOLDER = "operating_point"  # beside the folder of the network, as the pipeline leaves it


@dataclass(frozen=True)
class OperatingPoint:
    """How the outputs of a trained network become predictions; chosen after training, on the validation photos.

    The defaults take the network as it is: one view, no calibration, the most probable class, never abstaining.

    Attributes:
        key: training key of the network it belongs to.
        mirror: test-time augmentation: logits are the mean over a photo and its mirror image.
        center_crop: test-time augmentation: also over the center, so much of each side, enlarged; None for none.
        temperature: what logits are divided by, above 0.
        calibration: how the temperature was found: num_photos, loss_before, loss_after, note.
        threshold: of two classes the second is predicted above this probability; 0.5 is the most probable class.
        threshold_rule: `inference.threshold` as a text.
        threshold_reached: whether the rule could be met on the validation photos.
        threshold_note: how the threshold was chosen, for people.
        min_confidence: predictions with no more than this probability are unsure: the network abstains; 0 never.
        max_error: share of misclassified photos tolerated among those it does not abstain on.
        num_validation: photos these were chosen on.
    """

    key: str = ""
    mirror: bool = False
    center_crop: float | None = None
    temperature: float = 1.0
    calibration: Mapping[str, Any] = field(default_factory=dict)
    threshold: float = EVEN
    threshold_rule: str = "0.5"
    threshold_reached: bool = True
    threshold_note: str = "the most probable class"
    min_confidence: float = 0.0
    max_error: float = 1.0
    num_validation: int = 0

    def __post_init__(self) -> None:
        if not (isinstance(self.temperature, int | float) and math.isfinite(self.temperature) and self.temperature > 0):
            raise ConvLensError(
                f"Expected a temperature above 0 in the operating point. Received: {self.temperature!r}. "
                "Evaluate again: dvc repro."
            )

    def predict(self, probabilities: np.ndarray) -> np.ndarray:
        """Return the predicted classes, int64 (N,), of probabilities (N, K)."""
        return apply_threshold(probabilities, self.threshold)

    def is_unsure(self, probabilities: np.ndarray) -> np.ndarray:
        """Return on which photos the network abstains, bool (N,), by probabilities (N, K)."""
        unsure: np.ndarray = prediction_confidence(probabilities, self.predict(probabilities)) <= self.min_confidence
        return unsure

    def save(self, folder: Path) -> None:
        """Write operating_point.json."""
        write_json(folder / OPERATING_POINT, asdict(self))

    @classmethod
    def load(cls, folder: Path, *, key: str | None = None) -> "OperatingPoint":
        """Read operating_point.json.

        Args:
            folder: where it lies.
            key: of the network it must belong to; None takes any.

        Raises:
            ConvLensError: there is none, it cannot be read, or it belongs to another training.
        """
        path = folder / OPERATING_POINT
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            found = cls(**{name: values[name] for name in (each.name for each in fields(cls)) if name in values})
        except (OSError, ValueError, TypeError) as error:
            raise ConvLensError(
                f"Expected an operating point in {path}. Received: {error}. Run `dvc repro`."
            ) from error
        if key is not None and found.key != key:
            raise ConvLensError(
                f"Expected the operating point of this network in {path}. Received: one of another training. "
                "Run `dvc repro`."
            )
        return found

    @classmethod
    def from_card(cls, card: Mapping[str, Any]) -> "OperatingPoint":
        """Read what the cards of models of earlier versions say; what they do not know stays at its default."""
        old = {"key": str(card.get("key", "")), "min_confidence": card.get("min_probability", 0.0)}
        known = {each.name: card[each.name] for each in fields(cls) if each.name in card}
        return cls(**{**old, **known})


def find_operating_point(model_folder: Path, card: Mapping[str, Any]) -> OperatingPoint:
    """Load the operating point beside a network: packed with it, or as the pipeline leaves it, or in its old card.

    Raises:
        ConvLensError: it cannot be read, or belongs to another training.
    """
    for folder in (model_folder, model_folder.absolute().parent / FOLDER):
        if (folder / OPERATING_POINT).is_file():
            return OperatingPoint.load(folder, key=str(card.get("key", "")))
    return OperatingPoint.from_card(card)


def check_choices(num_classes: int, *, threshold: float | None, top_k: int | None) -> None:
    """Check what a user chose for one prediction; None leaves it to the model.

    Raises:
        ConvLensError: a threshold for another number of classes than two or out of range, or more places than classes.
    """
    if threshold is not None and num_classes != 2:
        raise ConvLensError(
            f"Expected no threshold for {num_classes} classes: only two have one threshold between them. "
            f"Received: {threshold}."
        )
    if threshold is not None and not (math.isfinite(threshold) and 0 <= threshold <= 1):
        raise ConvLensError(f"Expected a threshold from 0 to 1. Received: {threshold}.")
    if top_k is not None and not 0 <= top_k <= num_classes:
        raise ConvLensError(f"Expected top_k from 0 to {num_classes}, the classes. Received: {top_k}.")


def apply_threshold(probabilities: np.ndarray, threshold: float = EVEN) -> np.ndarray:
    """Return the predictions, int64 (N,): of two classes the second above the threshold, else the most probable."""
    if probabilities.shape[1] == 2 and threshold != EVEN:
        return (probabilities[:, 1] > threshold).astype(np.int64)
    predicted: np.ndarray = np.argmax(probabilities, axis=1).astype(np.int64)
    return predicted


def prediction_confidence(probabilities: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Return the probability of each predicted class, float64 (N,)."""
    given: np.ndarray = probabilities[np.arange(len(predicted)), predicted]
    return given


# --- logits and probabilities ---

LOGITS = "logits"  # the layer before the probabilities in every architecture


def predict_probabilities(
    model: "keras.Model", images: Images, point: OperatingPoint | None = None, *, batch_size: int = 64
) -> np.ndarray:
    """Predict the probability of every class for photos as the loader gives them.

    Args:
        model: a whole network: uint8 photos to probabilities.
        images: uint8 (num_photos, image_size, image_size, 3), read a batch at a time.
        point: views and temperature; None takes the network as it is.
        batch_size: photos per batch.

    Returns:
        float64 (num_photos, num_classes), rows add up to 1; two columns also for one sigmoid output.
    """
    point = point or OperatingPoint()
    logits = predict_logits(model, images, mirror=point.mirror, center_crop=point.center_crop, batch_size=batch_size)
    return apply_temperature(logits, point.temperature)


def predict_logits(
    model: "keras.Model",
    images: Images,
    *,
    mirror: bool = False,
    center_crop: float | None = None,
    batch_size: int = 64,
) -> np.ndarray:
    """Predict what the network says before it becomes probabilities: the mean over the views of each photo.

    Returns:
        float64 (num_photos, num_classes); one sigmoid output gives a column of zeros and its logit.
    """
    to_logits = _open_logits(model)
    starts = range(0, len(images), batch_size)
    logits = []
    for start in starts:
        photos = images[np.arange(start, min(start + batch_size, len(images)))]
        views = make_views(photos, mirror=mirror, center_crop=center_crop)
        logits.append(average_views([_spread(to_logits, view) for view in views]))
    return np.concatenate(logits) if logits else np.empty((0, max(2, int(model.output_shape[-1]))))


def make_views(photos: Any, *, mirror: bool = False, center_crop: float | None = None) -> "list[tf.Tensor]":
    """Return the views of photos that logits are the mean over, the photos themselves first.

    Args:
        photos: uint8 (N, height, width, 3), an array or a tensor, also in a graph.
        mirror: the mirror image of every view, too.
        center_crop: the center of a photo, so much of each side, enlarged to the size of the photo; None for none.

    Returns:
        One, two or four uint8 tensors of the shape of `photos`.
    """
    import tensorflow as tf

    views = [tf.convert_to_tensor(photos)]
    if center_crop is not None:
        views.append(_enlarge_center(views[0], center_crop))
    return [*views, *(tf.reverse(view, axis=[2]) for view in views)] if mirror else views


def locate_views(
    shape: tuple[int, int], *, mirror: bool = False, center_crop: float | None = None
) -> list[tuple[float, float, tuple[float, float], bool]]:
    """Return where the views of a photo lie on it, in their order: top and left, shares of the sides, and mirrored.

    Args:
        shape: height and width of the photo.
        mirror: see `make_views`.
        center_crop: see `make_views`.
    """
    views = [(0.0, 0.0, (1.0, 1.0), False)]
    if center_crop is not None:
        rows, columns, top, left = _find_center(shape, center_crop)
        views.append((top / shape[0], left / shape[1], (rows / shape[0], columns / shape[1]), False))
    return [*views, *((top, left, share, True) for top, left, share, _ in views)] if mirror else views


def average_views(logits: Sequence[np.ndarray]) -> np.ndarray:
    """The mean of the logits (N, K) of every view, added up in order: the same bits wherever predictions are made."""
    mean: np.ndarray = sum(logits[1:], start=logits[0]) / len(logits)
    return mean


def _find_center(shape: tuple[int, int], share: float) -> tuple[int, int, int, int]:
    """Rows, columns, top and left of the center of a photo of height and width."""
    rows, columns = (max(1, round(side * share)) for side in shape)
    return rows, columns, (shape[0] - rows) // 2, (shape[1] - columns) // 2


def _enlarge_center(photos: "tf.Tensor", share: float) -> "tf.Tensor":
    import tensorflow as tf

    height, width = photos.shape[1:3]
    rows, columns, top, left = _find_center((height, width), share)
    center = tf.cast(photos[:, top : top + rows, left : left + columns], tf.float32)  # exporters resize only floats
    return tf.cast(tf.round(tf.image.resize(center, (height, width))), tf.uint8)


def apply_temperature(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """The softmax of logits (N, K) divided by a temperature: float64 (N, K), rows add up to 1."""
    scaled = logits / temperature
    weights = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    probabilities: np.ndarray = weights / weights.sum(axis=1, keepdims=True)
    return probabilities


def _open_logits(model: "keras.Model") -> "keras.Model":
    """The network up to its logits, on the same weights.

    Raises:
        ConvLensError: a weight is NaN or infinite.
    """
    import keras

    for weight in model.weights:
        values = np.asarray(weight)
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise ConvLensError(
                f"Expected a network whose weights are finite numbers. Received: NaN or infinity in {weight.path}. "
                "Train it again with a lower train.learning_rate, or take another version."
            )
    return keras.Model(model.inputs[0], model.get_layer(LOGITS).output, name=LOGITS)


def _spread(to_logits: "keras.Model", photos: "tf.Tensor") -> np.ndarray:
    """Logits float64 (N, K); the sigmoid of z is the softmax of 0 and z.

    No photo goes through the network alone: the product of a single row adds up in another order than those of more,
    so that the same photo would get other last bits by itself than among others.
    """
    import tensorflow as tf

    asked = photos if len(photos) > 1 else tf.repeat(photos, 2, axis=0)
    logits = np.asarray(to_logits(asked, training=False)).astype(np.float64)[: len(photos)]
    return np.concatenate([np.zeros_like(logits), logits], axis=1) if logits.shape[1] == 1 else logits


# --- a network ready to predict again and again ---
# The bits of `predict_probabilities`, without its cost per call.

PHOTOS_AT_ONCE = 64


class Predictor:
    """Predicts probabilities for arrays of photos; may be called from several threads at once.

    The network runs as one graph instead of layer by layer. A photo gets the same bits whatever other photos come with
    it, and the same as in the evaluation. For that no photo goes through the network alone: the matrix product of a
    single row adds up in another order than those of two and more.
    """

    def __init__(self, model: "keras.Model", point: OperatingPoint) -> None:
        """Take a whole network and its operating point."""
        import tensorflow as tf

        network, photos = _open_logits(model), model.inputs[0]
        shape = tf.TensorSpec((None, *photos.shape[1:]), tf.uint8)
        self._run = tf.function(partial(network, training=False), input_signature=[shape])
        self._point = point

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Probabilities, float64 (N, num_classes), of at least one photo, uint8 (N, image_size, image_size, 3)."""
        step = PHOTOS_AT_ONCE // len(self._make_views(images[:1]))
        parts = [self._logits(images[start : start + step]) for start in range(0, len(images), step)]
        return apply_temperature(np.concatenate(parts), self._point.temperature)

    def _make_views(self, photos: np.ndarray) -> "list[tf.Tensor]":
        return make_views(photos, mirror=self._point.mirror, center_crop=self._point.center_crop)

    def _logits(self, photos: np.ndarray) -> np.ndarray:
        """Logits float64 (N, K); all views of the photos go through the network together."""
        views = self._make_views(photos)
        asked = np.concatenate(views)
        given = np.asarray(self._run(asked if len(asked) > 1 else np.repeat(asked, 2, axis=0))).astype(np.float64)
        if given.shape[1] == 1:  # the sigmoid of z is the softmax of 0 and z
            given = np.concatenate([np.zeros_like(given), given], axis=1)
        return average_views(np.split(given[: len(views) * len(photos)], len(views)))
