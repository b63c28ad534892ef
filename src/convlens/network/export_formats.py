"""The forms a network can be exported in: ONNX, TensorFlow Lite and SavedModel; written, and opened to be checked."""

import json
import logging
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from convlens.errors import ConvLensError
from convlens.network.export_graph import CARD_FILE, INPUT, LABELS_FILE, OUTPUT, ExportGraph

Run = Callable[[np.ndarray], np.ndarray]
OPSET = 17
SIGNATURE = "serving_default"
ZIP_DATE = (1980, 1, 1, 0, 0, 0)


def write_savedmodel(graph: ExportGraph, about: Mapping[str, Any], folder: Path) -> Path:
    """A SavedModel in `folder`, signature `serving_default`, with labels.txt and card.json in its assets."""
    with tempfile.TemporaryDirectory(prefix="convlens-") as place:
        for name, text in _texts(about).items():
            (Path(place) / name).write_text(text, encoding="utf-8")
        graph.labels = tf.saved_model.Asset(str(Path(place) / LABELS_FILE))
        graph.card = tf.saved_model.Asset(str(Path(place) / CARD_FILE))
        tf.saved_model.save(graph, str(folder), signatures={SIGNATURE: graph.answer})
    return folder


def write_onnx(graph: ExportGraph, about: Mapping[str, Any], folder: Path) -> Path:
    """model.onnx in `folder`; its metadata properties hold the labels, a line each, and the card as JSON.

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
    """model.tflite in `folder`, with labels.txt and card.json as associated files: `unzip` takes them out."""
    frozen = convert_variables_to_constants_v2(graph.answer.get_concrete_function())
    path = folder / "model.tflite"
    path.write_bytes(tf.lite.TFLiteConverter.from_concrete_functions([frozen]).convert())
    with zipfile.ZipFile(path, "a") as archive:
        for name, text in _texts(about).items():
            archive.writestr(zipfile.ZipInfo(name, ZIP_DATE), text)
    return path


def open_savedmodel(path: Path) -> Run:
    """What a SavedModel answers."""
    opened = tf.saved_model.load(str(path))
    answer = opened.signatures[SIGNATURE]
    return lambda photos: _keep(opened, answer(**{INPUT: tf.constant(photos)})[OUTPUT].numpy())


def open_onnx(path: Path) -> Run:
    """What an ONNX model answers, by ONNX Runtime.

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
    """What a TensorFlow Lite model answers."""
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
        f"Expected the package {package} for ONNX. Received: {error}. Run `pip install tf2onnx onnxruntime`, or export "
        "as tflite or savedmodel, which need nothing more."
    )
