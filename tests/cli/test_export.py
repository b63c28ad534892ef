import json
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner
from small_training import CLASSES, KEY, SIDE, write_card, write_network, write_operating_point, write_photo

from convlens.cli.export import FORMATS, export
from convlens.errors import ConvLensError
from convlens.models import export as export_formats
from convlens.models.export import Exported, export_network
from convlens.models.files import load_trained_model
from convlens.tracking.access import open_with_reference

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # exporters of TensorFlow and ONNX
    pytest.mark.filterwarnings("ignore::UserWarning:tensorflow"),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of one sigmoid output with all views and a temperature, and a threshold."""
    folder = tmp_path_factory.mktemp("trained") / "model"
    write_network(folder / "model.keras")
    write_card(folder / "card.json")
    point = {"mirror": True, "center_crop": 0.875, "temperature": 1.7, "threshold": 0.4, "min_confidence": 0.8}
    write_operating_point(folder, **point)
    return folder


def export_model(address: str, form: str, out: Path, *, photos: Sequence[Path] = ()) -> Exported:
    opened = open_with_reference(address)
    network, card = load_trained_model(opened.folder), opened.classifier.card
    answer = opened.classifier.predict_arrays
    return export_network(network, card, opened.operating_point, form, out, answer=answer, photos=photos)


@pytest.mark.parametrize("form", FORMATS)
def test_exported_form_answers_as_the_model(model: Path, tmp_path: Path, form: str) -> None:
    photo = tmp_path / "photo.png"
    write_photo(photo, 0.43)
    done = export_model(str(model), form, tmp_path / "out", photos=[photo])
    assert (done.num_pictures, done.label) == (13, "dogs")
    assert 0 <= done.difference <= 1e-5
    assert 0 <= done.resized_difference <= 1e-3
    pictures = np.random.default_rng(0).integers(0, 256, (3, 20, 31, 3), dtype=np.uint8)
    expected = (
        open_with_reference(str(model))
        .classifier.predict(pictures)[["probability_cats", "probability_dogs"]]
        .to_numpy()
    )
    given = export_formats.FORMATS[form][1](done.path)(pictures)
    assert given.dtype == np.float32
    np.testing.assert_allclose(given, expected, atol=1e-3)
    card = read_card(form, done.path)
    assert card["classes"] == list(CLASSES)
    assert (card["image_size"], card["resampling"], card["keep_aspect"]) == (SIDE, "bicubic", False)
    assert (card["threshold"], card["min_confidence"], card["temperature"]) == (0.4, 0.8, 1.7)
    assert (card["mirror"], card["key"]) == (True, KEY)


def read_card(form: str, path: Path) -> dict:
    """As a stranger finds it: labels a line each, and the card."""
    if form == "onnx":
        onnx = pytest.importorskip("onnx")
        properties = {item.key: item.value for item in onnx.load(path).metadata_props}
        labels, card = properties["labels"], properties["card"]
    elif form == "tflite":
        with zipfile.ZipFile(path) as archive:
            labels, card = (archive.read(name).decode() for name in ("labels.txt", "card.json"))
    else:
        labels, card = ((path / "assets" / name).read_text() for name in ("labels.txt", "card.json"))
    assert labels == "cats\ndogs\n"
    found: dict = json.loads(card)
    return found


def test_savedmodel_names_its_input_and_output(model: Path, tmp_path: Path) -> None:
    done = export_model(str(model), "savedmodel", tmp_path / "out")
    signature = tf.saved_model.load(str(done.path)).signatures["serving_default"]
    assert list(signature.structured_input_signature[1]) == ["photos"]
    assert list(signature.structured_outputs) == ["probabilities"]


def test_several_classes_are_exported(tmp_path: Path) -> None:
    keras.utils.set_random_seed(3)
    layers = [
        keras.Input((SIDE, SIDE, 3), dtype="uint8"),
        keras.layers.Rescaling(1 / 255),
        keras.layers.Conv2D(4, 3, activation="relu"),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(3, name="logits"),
        keras.layers.Activation("softmax"),
    ]
    folder = tmp_path / "model"
    folder.mkdir()
    keras.Sequential(layers).save(folder / "model.keras")
    write_card(folder / "card.json")
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps({**card, "classes": ["a", "b", "c"], "keep_aspect": True}))
    done = export_model(str(folder), "savedmodel", tmp_path / "out")
    assert done.label == "c"


def test_form_that_answers_otherwise_is_refused(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, run = export_formats.FORMATS["savedmodel"]
    slightly = {"savedmodel": (write, lambda path: lambda photos: run(path)(photos) + np.float32(1e-4))}
    monkeypatch.setattr(export_formats, "FORMATS", slightly)
    with pytest.raises(ConvLensError, match=r"within 1e-05 of each .* a difference of 1\.0e-04"):
        export_model(str(model), "savedmodel", tmp_path / "out")
    none = {"savedmodel": (write, lambda path: lambda photos: run(path)(photos) * np.float32(np.nan))}
    monkeypatch.setattr(export_formats, "FORMATS", none)
    with pytest.raises(ConvLensError, match="Received: a difference of nan"):
        export_model(str(model), "savedmodel", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("package", ["tf2onnx", "onnxruntime"])
def test_missing_exporter_is_told(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConvLensError, match=f"Expected the package {package} for ONNX.*python -m pip install -e"):
        export_formats.open_onnx(tmp_path / "model.onnx") if package == "onnxruntime" else export_model(
            str(model), "onnx", tmp_path / "out"
        )
    assert list(tmp_path.iterdir()) == []


def test_command_tells_what_it_wrote(model: Path, tmp_path: Path) -> None:
    asked = ["--format", "savedmodel", "--model", str(model), "--out", str(tmp_path / "out")]
    told = CliRunner().invoke(export, asked, catch_exceptions=False)
    assert told.stdout.startswith(f"{tmp_path / 'out'} answers 12 pictures as the model does: 'dogs' with ")
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {"saved_model.pb", "variables", "assets"}
    with pytest.raises(ConvLensError, match="Expected a new or empty folder after --out"):
        CliRunner().invoke(export, asked, catch_exceptions=False)


def test_missing_photo_is_told_and_nothing_written(model: Path, tmp_path: Path) -> None:
    with pytest.raises(ConvLensError, match=r"Expected a photo file. Received: lost\.png"):
        export_model(str(model), "savedmodel", tmp_path / "out", photos=[Path("lost.png")])
    assert list(tmp_path.iterdir()) == []
