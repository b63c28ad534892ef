"""Export a network to ONNX, TensorFlow Lite and SavedModel."""

import json
import logging
import math
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from PIL import Image
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from convlens.data.loader import decode_photo, open_photo
from convlens.errors import ConvLensError
from convlens.files import new_folder
from convlens.models.classifier import load_by_card
from convlens.models.inference import LOGITS, OperatingPoint, make_views

# --- Pillow's resampling as a graph of ordinary operations, for networks that run without Pillow ---
#
# Pillow weighs the pixels of each row, rounds to whole values, and then does the same with the columns; since version
# 13 with the columns first where that leaves less to do (measured on some 10,000 sizes). Weights of a side are a
# matrix, so a resampling is two products. Weights have 22 binary digits, as Pillow's; sums are float32, so a value that
# falls on a half may come out one step of 255 away.

PADDING_GRAY = 128.0
WEIGHT_STEPS = float(1 << 22)
SUPPORT = {"bilinear": 1.0, "bicubic": 2.0, "lanczos": 3.0}


def resize_photos(photos: tf.Tensor, *, image_size: int, keep_aspect: bool, resampling: str) -> tf.Tensor:
    """Bring RGB pictures of one size to the square that the network takes, as `photos.loader.resize_photo` does.

    Args:
        photos: uint8 (N, height, width, 3), of any size.
        image_size: side of the square in pixels.
        keep_aspect: pad with mid gray instead of squashing.
        resampling: `bilinear`, `bicubic` or `lanczos`.

    Returns:
        uint8 (N, image_size, image_size, 3).
    """
    height, width = tf.shape(photos)[1], tf.shape(photos)[2]
    rows = _Side(height, width, image_size, keep_aspect, resampling)
    columns = _Side(width, height, image_size, keep_aspect, resampling)
    standing = tf.transpose(tf.cast(photos, tf.float32), (0, 3, 1, 2))  # (N, 3, height, width)
    columns_first = (height > rows.target) & (2 * (width - columns.target) < height - rows.target)
    picture = tf.cond(
        columns_first,
        lambda: columns.apply(rows.apply(standing, axis=2), axis=3),
        lambda: rows.apply(columns.apply(standing, axis=3), axis=2),
    )
    picture = tf.reshape(picture, (-1, 3, image_size, image_size))  # says what its shape is
    inside = rows.inside[:, None] * columns.inside[None, :]
    padded = picture * inside + PADDING_GRAY * (1 - inside)
    return tf.cast(tf.transpose(padded, (0, 2, 3, 1)), tf.uint8)


class _Side:
    """How one side of a picture is brought to the side of the square.

    Attributes:
        target: pixels of the square that the picture fills.
        inside: 1 where it does, 0 for padding, float32 (image_size,).
    """

    def __init__(
        self, length: tf.Tensor, other: tf.Tensor, image_size: int, keep_aspect: bool, resampling: str
    ) -> None:
        """Work out what each pixel gives to each of the square: float32 (length, image_size)."""
        self.target = _shorten(length, other, image_size) if keep_aspect else tf.constant(image_size)
        place = tf.range(image_size) - _halve_to_even(image_size - self.target)
        self.inside = tf.cast((place >= 0) & (place < self.target), tf.float32)
        # The distance from the center of each pixel: whole numbers as far as they go, so that it is exact.
        halves = (2 * tf.range(length)[:, None] + 1) * self.target - (2 * place[None, :] + 1) * length
        distance = tf.cast(halves, tf.float32) / tf.cast(2 * self.target, tf.float32)
        shrink = tf.minimum(1.0, tf.cast(self.target, tf.float32) / tf.cast(length, tf.float32))
        weights = _filter(distance * shrink, resampling) * self.inside[None, :]
        total = tf.reduce_sum(weights, axis=0, keepdims=True)
        weights = weights / tf.where(total == 0.0, tf.ones_like(total), total)
        self._weights = tf.round(weights * WEIGHT_STEPS) / WEIGHT_STEPS
        self._image_size = image_size

    def apply(self, values: tf.Tensor, *, axis: int) -> tf.Tensor:
        """Weigh axis 2 or 3 of float32 (N, 3, height, width); whole values in 0..255."""
        turned = values if axis == 3 else tf.transpose(values, (0, 1, 3, 2))
        shape = tf.shape(turned)
        sums = tf.matmul(tf.reshape(turned, tf.stack([-1, shape[3]])), self._weights)
        kept = tf.clip_by_value(tf.floor(sums + 0.5), 0.0, 255.0)
        kept = tf.reshape(kept, tf.stack([-1, 3, shape[2], self._image_size]))
        return kept if axis == 3 else tf.transpose(kept, (0, 1, 3, 2))


def _shorten(length: tf.Tensor, other: tf.Tensor, image_size: int) -> tf.Tensor:
    """The length of a side when the longer one gets `image_size`, a half to the even number, as Pillow rounds."""
    twice = 2 * length * image_size + other
    whole = twice // (2 * other)
    tie = tf.cast((twice % (2 * other) == 0) & (whole % 2 == 1), tf.int32)
    return tf.where(length >= other, tf.constant(image_size), whole - tie)


def _halve_to_even(number: tf.Tensor) -> tf.Tensor:
    """Half of a whole number, a half rounded to the even neighbor: of 1, 3, 5, 7 it is 0, 2, 2, 4."""
    whole = number // 2
    return whole + (number % 2) * (whole % 2)


def _filter(x: tf.Tensor, resampling: str) -> tf.Tensor:
    """Pillow's filters: triangle, Keys' cubic with a = -0.5, and Lanczos' with three lobes."""
    x = tf.abs(x)
    if resampling == "bilinear":
        value = 1 - x
    elif resampling == "bicubic":
        value = tf.where(x < 1, (1.5 * x - 2.5) * x * x + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2)
    else:
        value = _sinc(x) * _sinc(x / 3)
    return tf.where(x < SUPPORT[resampling], value, tf.zeros_like(x))


def _sinc(x: tf.Tensor) -> tf.Tensor:
    turned = tf.where(x == 0.0, tf.ones_like(x), x) * math.pi
    return tf.where(x == 0.0, tf.ones_like(x), tf.sin(turned) / turned)


# --- One graph from decoded photos of any size to calibrated probabilities, which every exported form is made of ---

INPUT, OUTPUT = "photos", "probabilities"
LABELS_FILE, CARD_FILE = "labels.txt", "card.json"
SETTINGS = ("classes", "image_size", "keep_aspect", "resampling", "mirror", "center_crop", "temperature",
            "threshold", "min_confidence", "key")  # fmt: skip


class ExportGraph(tf.Module):
    """Resampling, network, mean over the views of each photo, temperature and softmax in one."""

    def __init__(self, model: keras.Model, card: Mapping[str, Any], point: OperatingPoint) -> None:
        """Take a whole network, its card with the settings of the loader, and its operating point."""
        super().__init__()
        self._point = point
        self._resizing = {name: card[name] for name in ("image_size", "keep_aspect", "resampling")}
        self.network = keras.Model(model.inputs[0], model.get_layer(LOGITS).output, name=LOGITS)

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3), tf.uint8, name=INPUT)])  # type: ignore[untyped-decorator]
    def answer(self, photos: tf.Tensor) -> dict[str, tf.Tensor]:
        """Probabilities, float32 (N, num_classes), of RGB photos, uint8 (N, height, width, 3)."""
        pictures = resize_photos(photos, **self._resizing)
        pictures = tf.ensure_shape(pictures, (None, *self.network.input_shape[1:]))
        views = make_views(pictures, mirror=self._point.mirror, center_crop=self._point.center_crop)
        logits = self.network(tf.concat(views, axis=0), training=False)
        if logits.shape[1] == 1:  # the sigmoid of z is the softmax of 0 and z
            logits = tf.concat([tf.zeros_like(logits), logits], axis=1)
        mean = tf.add_n(tf.split(logits, len(views))) / len(views)
        return {OUTPUT: tf.nn.softmax(mean / self._point.temperature)}


def describe_export(card: Mapping[str, Any], point: OperatingPoint) -> dict[str, Any]:
    """Describe an export: classes, settings, and what goes in and comes out."""
    found = {**card, **asdict(point), "key": card.get("key", "")}
    return {
        **{name: list(found[name]) if name == "classes" else found[name] for name in SETTINGS},
        "input": f"{INPUT}: uint8 (num_photos, height, width, 3), RGB, upright, of any size; resized inside",
        "output": f"{OUTPUT}: float32 (num_photos, {len(card['classes'])}), calibrated, in the order of classes",
        "decision": "of two classes the second above threshold, else the most probable; "
        "unsure if the answer's probability is not above min_confidence",
    }


# --- Export and check ---

TOLERANCE = 1e-5  # of a probability, for pictures of the network's size: other kernels add up in other orders
RESIZED_TOLERANCE = 1e-3  # for others: of thousands of pixels a handful may come out one step of 255 away
SIDES = ((1.0, 1.0), (2.3, 1.7), (0.6, 0.8))  # heights and widths of the pictures to check with, in sides of the input
NUM_PICTURES = 4  # of each size


@dataclass(frozen=True)
class Exported:
    """What was written, and how near it is.

    Attributes:
        path: the file, or the folder of a SavedModel.
        num_pictures: it was checked with.
        difference: largest one of a probability to the pipeline's, on pictures of the network's size.
        resized_difference: on those of other sizes.
        label: the last class.
        low: its smallest probability on these pictures.
        high: largest one.
    """

    path: Path
    num_pictures: int
    difference: float
    resized_difference: float
    label: str
    low: float
    high: float


def export_network(
    network: keras.Model,
    card: Mapping[str, Any],
    point: OperatingPoint,
    form: str,
    folder: Path,
    *,
    answer: Callable[[np.ndarray], np.ndarray],
    photos: Sequence[Path] = (),
) -> Exported:
    """Export a network, and check that the export answers as the model does.

    Args:
        network: uint8 photos to probabilities.
        card: classes and settings of the loader.
        point: how its outputs become probabilities.
        form: one of `FORMATS`.
        folder: new or empty; written whole or not at all.
        answer: gives the model's probabilities, (N, num_classes), for photos as the loader gives them.
        photos: to check with, beside synthetic pictures.

    Raises:
        ConvLensError: no such photo, a package that is missing, or answers that differ.
    """
    pictures = paint_pictures(card["image_size"])
    for photo in photos:
        with open_photo(photo) as image:
            pictures.append(np.asarray(decode_photo(image)))
    expected = answer(np.stack([load_by_card(picture, card) for picture in pictures]))
    write, run = FORMATS[form]
    with new_folder(folder) as part:
        path = write(ExportGraph(network, card, point), describe_export(card, point), part)
        ask = run(path)
        # One at a time, and those of the first size together as well.
        given = np.concatenate([ask(picture[None]) for picture in pictures])
        if not abs(ask(np.stack(pictures[:NUM_PICTURES])) - given[:NUM_PICTURES]).max() <= TOLERANCE:
            given = np.full_like(given, np.nan)
        differences = abs(given - expected).max(axis=1)
        resized = np.array([picture.shape[:2] != (card["image_size"],) * 2 for picture in pictures])
        worst = float(differences[~resized].max()), float(differences[resized].max())
        for difference, most in zip(worst, (TOLERANCE, RESIZED_TOLERANCE), strict=True):
            if not difference <= most:  # also if it is no number
                raise ConvLensError(
                    f"Expected the {form} form to answer as the model, within {most:.0e} of each probability. "
                    f"Received: a difference of {difference:.1e}. Nothing was written; take another format."
                )
    low, high = float(expected[:, -1].min()), float(expected[:, -1].max())
    return Exported(folder / path.relative_to(part), len(pictures), *worst, card["classes"][-1], low, high)


def paint_pictures(image_size: int) -> list[np.ndarray]:
    """Paint pictures uint8 (height, width, 3) of several sizes: from flat ones to noise, each by a fixed seed."""
    pictures = []
    for number, (high, wide) in enumerate(side for side in SIDES for _ in range(NUM_PICTURES)):
        side = 2 + 3 * (number % NUM_PICTURES) ** 2
        blots = np.random.default_rng(number).integers(0, 256, (side, side, 3), dtype=np.uint8)
        size = max(1, round(wide * image_size)), max(1, round(high * image_size))
        pictures.append(np.asarray(Image.fromarray(blots).resize(size, Image.Resampling.BILINEAR)))
    return pictures


# --- The forms: written, and opened to be checked ---

Run = Callable[[np.ndarray], np.ndarray]
OPSET = 17
SIGNATURE = "serving_default"
ZIP_DATE = (1980, 1, 1, 0, 0, 0)


def write_savedmodel(graph: ExportGraph, about: Mapping[str, Any], folder: Path) -> Path:
    """Write a SavedModel into `folder`, signature `serving_default`, with labels.txt and card.json in its assets."""
    with tempfile.TemporaryDirectory(prefix="convlens-") as place:
        for name, text in _texts(about).items():
            (Path(place) / name).write_text(text, encoding="utf-8")
        graph.labels = tf.saved_model.Asset(str(Path(place) / LABELS_FILE))
        graph.card = tf.saved_model.Asset(str(Path(place) / CARD_FILE))
        tf.saved_model.save(graph, str(folder), signatures={SIGNATURE: graph.answer})
    return folder


def write_onnx(graph: ExportGraph, about: Mapping[str, Any], folder: Path) -> Path:
    """Write model.onnx into `folder`; its metadata properties hold the labels, a line each, and the card as JSON.

    Raises:
        ConvLensError: tf2onnx is not installed.
    """
    try:
        import onnx
        import tf2onnx
    except ImportError as error:
        raise ConvLensError(_missing("tf2onnx", error)) from error
    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    model, _ = tf2onnx.convert.from_function(graph.answer, graph.answer.input_signature, opset=OPSET)
    onnx.helper.set_model_props(model, {"labels": _texts(about)[LABELS_FILE], "card": json.dumps(dict(about))})
    path = folder / "model.onnx"
    onnx.save(model, path)
    return path


def write_tflite(graph: ExportGraph, about: Mapping[str, Any], folder: Path) -> Path:
    """Write model.tflite into `folder`, with labels.txt and card.json as associated files: `unzip` takes them out."""
    frozen = convert_variables_to_constants_v2(graph.answer.get_concrete_function())
    path = folder / "model.tflite"
    path.write_bytes(tf.lite.TFLiteConverter.from_concrete_functions([frozen]).convert())
    with zipfile.ZipFile(path, "a") as archive:
        for name, text in _texts(about).items():
            archive.writestr(zipfile.ZipInfo(name, ZIP_DATE), text)
    return path


def open_savedmodel(path: Path) -> Run:
    """Open a SavedModel."""
    opened = tf.saved_model.load(str(path))
    answer = opened.signatures[SIGNATURE]
    return lambda photos: _keep(opened, answer(**{INPUT: tf.constant(photos)})[OUTPUT].numpy())


def open_onnx(path: Path) -> Run:
    """Open an ONNX model with ONNX Runtime.

    Raises:
        ConvLensError: onnxruntime is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise ConvLensError(_missing("onnxruntime", error)) from error
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda photos: session.run([OUTPUT], {INPUT: photos})[0]


def open_tflite(path: Path) -> Run:
    """Open a TensorFlow Lite model."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the interpreter will move to a package of its own
        interpreter = tf.lite.Interpreter(model_path=str(path))
    (given,), (asked,) = interpreter.get_input_details(), interpreter.get_output_details()

    def run(photos: np.ndarray) -> np.ndarray:
        interpreter.resize_tensor_input(given["index"], photos.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(given["index"], photos)
        interpreter.invoke()
        answer: np.ndarray = interpreter.get_tensor(asked["index"])
        return answer

    return run


FORMATS = {
    "onnx": (write_onnx, open_onnx),
    "tflite": (write_tflite, open_tflite),
    "savedmodel": (write_savedmodel, open_savedmodel),
}


def _texts(about: Mapping[str, Any]) -> dict[str, str]:
    labels = "".join(f"{name}\n" for name in about["classes"])
    return {LABELS_FILE: labels, CARD_FILE: json.dumps(dict(about), indent=2, ensure_ascii=False) + "\n"}


def _keep(_: Any, value: np.ndarray) -> np.ndarray:
    """The answer; a SavedModel's variables live as long as someone holds the SavedModel."""
    return value


def _missing(package: str, error: ImportError) -> str:
    return (
        f"Expected the package {package} for ONNX. Received: {error}. Run `python -m pip install -e '.[onnx]'`, or "
        "export as tflite or savedmodel, which need nothing more."
    )
