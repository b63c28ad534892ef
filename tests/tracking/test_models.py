import base64
import json
import os
import pickle
import pickletools
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from mlflow.models import Model
from small_training import KEY, LOCK, SIDE, model_files, use_own_store, write_card, write_network, write_photo

from convlens.errors import ConvLensError
from convlens.models.classifier import is_served, open_classifier
from convlens.models.inference import OperatingPoint
from convlens.tracking.models import ensure_models, name_package, predict_served, shipped_modules, stage_code
from convlens.tracking.runs import find_or_create_run
from convlens.tracking.store import Store, fluent_store, no_warnings, open_store

# What a process without this project does; an import of the project would fail.
STRANGER = """
import sys
sys.modules["convlens"] = None
import json, mlflow
model = mlflow.pyfunc.load_model(sys.argv[1])
answer = model.predict(sys.argv[2:])
print(json.dumps({"rows": answer.to_dict(orient="records"),
                  "loader": next(n for n in sys.modules if n.endswith("data.loader")),
                  "place": next(m.__file__ for n, m in sys.modules.items() if n.endswith("data.loader"))}))
"""


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, dict[str, str]]:
    """A store with the models of one run, and their addresses."""
    root = tmp_path_factory.mktemp("store")
    with pytest.MonkeyPatch.context() as monkeypatch:
        use_own_store(root, monkeypatch)
        store = open_store()
        run = find_or_create_run(store, experiment="trials", key=KEY)
        files = model_files(root)
        ensure_models(store, run, files)
    models = store.client.search_logged_models([run.info.experiment_id])
    return store, {model.name: model.artifact_location.removeprefix("file://") for model in models}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow may make a store in the working directory, whatever one asks of it."""
    use_own_store(tmp_path, monkeypatch)


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / "dark.png", tmp_path / "bright.png"]
    for path, brightness in zip(paths, (0.1, 0.9), strict=True):
        write_photo(path, brightness)
    return paths


def test_answers_without_the_project(logged: tuple[Store, dict[str, str]], photos: list[Path], tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-I", "-c", STRANGER, logged[1]["photo_model"], *map(str, photos), "lost.png"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert [row["label"] for row in told["rows"]] == ["cats", "dogs", None]
    assert told["rows"][2]["error"].startswith("Expected a photo file")
    assert told["loader"].startswith("convlens_model_")
    assert told["place"].startswith(logged[1]["photo_model"])


def test_answers_inside_the_project_as_the_network_does(
    logged: tuple[Store, dict[str, str]], photos: list[Path]
) -> None:
    model = mlflow.pyfunc.load_model(logged[1]["photo_model"])
    own = open_classifier(Path(logged[1]["photo_model"], "artifacts"))
    table = pd.DataFrame({"image": [base64.b64encode(photo.read_bytes()).decode() for photo in photos]})
    for given in (photos, [str(photo) for photo in photos], [photo.read_bytes() for photo in photos], table):
        pd.testing.assert_frame_equal(model.predict(given), own.predict(photos), check_exact=True)


def test_parameters_go_with_every_form_of_input(logged: tuple[Store, dict[str, str]], photos: list[Path]) -> None:
    model = mlflow.pyfunc.load_model(logged[1]["photo_model"])
    texts = [base64.b64encode(photo.read_bytes()).decode() for photo in photos]
    arrays = np.stack([np.full((SIDE, SIDE, 3), round(255 * value), np.uint8) for value in (0.1, 0.9)])
    for given in (photos, texts, pd.DataFrame({"image": texts, "id": [1, 2]}), arrays, {"image": texts}):
        answer = model.predict(given, params={"threshold": 0.99, "top_k": 1})
        assert answer["label"].tolist() == ["cats", "cats"]
        assert answer["top_1_label"].tolist() == ["cats", "dogs"]
        assert answer["unsure"].tolist() == [False, False]
    with pytest.raises(MlflowException) as refused:
        model.predict(photos, params={"threshold": 2})
    refused.value.message = "Failed to predict data 'all of the photos'"  # as MLflow's server does
    told = json.loads(refused.value.serialize_as_json())
    assert told["message"] == "Expected a threshold from 0 to 1. Received: 2.0."
    assert refused.value.get_http_status_code() == 400


def test_network_is_a_keras_model_with_a_tensor_signature(logged: tuple[Store, dict[str, str]]) -> None:
    model = mlflow.pyfunc.load_model(logged[1]["network"])
    (inputs,), (outputs,) = model.metadata.signature.inputs.inputs, model.metadata.signature.outputs.inputs
    assert (inputs.name, inputs.type, inputs.shape) == (None, np.dtype("uint8"), (-1, SIDE, SIDE, 3))
    assert (outputs.type, outputs.shape) == (np.dtype("float32"), (-1, 1))
    example = model.input_example
    assert example.dtype == np.uint8
    assert model.predict(example).shape == (1, 1)
    with pytest.raises(MlflowException):
        model.predict(np.zeros((1, SIDE, SIDE, 3), np.float32))


@pytest.mark.parametrize("name", ["network", "photo_model"])
def test_requirements_are_pinned(logged: tuple[Store, dict[str, str]], name: str) -> None:
    assert Path(logged[1][name], "requirements.txt").read_text().split() == LOCK.split()


def test_nothing_in_the_models_is_a_pickle(logged: tuple[Store, dict[str, str]]) -> None:
    """By content, inside the zip archive of Keras too, and by what the shipped code imports."""
    files = [path for name in logged[1] for path in Path(logged[1][name]).rglob("*") if path.is_file()]
    contents = {str(path): path.read_bytes() for path in files if path.suffix != ".pyc"}
    for path in files:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                contents |= {f"{path}/{name}": archive.read(name) for name in archive.namelist()}
    assert [name for name, content in contents.items() if is_pickle(content)] == []
    assert sum(name.endswith("model.keras/config.json") for name in contents) == 2
    sources = [content.decode() for name, content in contents.items() if name.endswith(".py")]
    assert sources
    imports = [line for text in sources for line in text.splitlines() if line.lstrip().startswith(("import", "from"))]
    assert [line for line in imports if re.search(r"pickle|joblib|dill|marshal|shelve", line)] == []
    assert [text for text in sources if "safe_mode=False" in text] == []
    assert [text.count("safe_mode=True") for text in sources if "load_model(" in text] == [1]


def is_pickle(content: bytes) -> bool:
    """Whether all of it can be read as one pickle, of any protocol."""
    try:
        last = max((position for _, _, position in pickletools.genops(content)), default=-1)
    except Exception:
        return False
    return last == len(content) - 1 and len(content) > 1


def test_pickles_are_known_when_seen() -> None:
    for protocol in range(6):
        assert is_pickle(pickle.dumps({"a": [1, 2.5]}, protocol))
    assert not is_pickle(b'{"a": 1}')


def test_code_in_a_network_is_not_run(tmp_path: Path) -> None:
    """A layer with code of its own is refused, whoever made the file."""
    import keras

    network = keras.Sequential([keras.Input((SIDE, SIDE, 3)), keras.layers.Lambda(lambda x: x), keras.layers.Flatten()])
    network.save(tmp_path / "model.keras")
    write_card(tmp_path / "card.json")
    with pytest.raises(ConvLensError, match="Expected a trained network in"):
        open_classifier(tmp_path)


def test_model_holds_only_shipped_code(logged: tuple[Store, dict[str, str]]) -> None:
    folder = Path(logged[1]["photo_model"])
    files = {
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.suffix != ".pyc" and path.is_file()
    }
    (package,) = {name.split("/")[1] for name in files if name.startswith("code/")}
    assert files == {
        "MLmodel",
        "artifacts/card.json",
        "artifacts/model.keras",
        "artifacts/operating_point.json",
        f"code/{package}/__init__.py",
        f"code/{package}/data/__init__.py",
        f"code/{package}/data/loader.py",
        f"code/{package}/environment.py",
        f"code/{package}/errors.py",
        f"code/{package}/files.py",
        f"code/{package}/models/__init__.py",
        f"code/{package}/models/classifier.py",
        f"code/{package}/models/inference.py",
        f"code/{package}/tracking/__init__.py",
        f"code/{package}/tracking/packaged_model.py",
        "conda.yaml",
        "input_example.json",
        "packaged_model.py",
        "python_env.yaml",
        "requirements.txt",
        "serving_input_example.json",
    }


def test_outputs_are_described(logged: tuple[Store, dict[str, str]]) -> None:
    signature = Model.load(logged[1]["photo_model"]).signature
    assert signature.outputs.input_names() == ["label", "probability_cats", "probability_dogs", "unsure", "error"]
    assert [(param.name, param.default) for param in signature.params.params] == [("threshold", None), ("top_k", None)]
    assert signature.inputs is None


def test_shipped_code_names_no_other_package(tmp_path: Path) -> None:
    entry, package = stage_code(tmp_path)
    assert entry == package / "tracking/packaged_model.py"
    assert len(list(package.rglob("*.py"))) == len(shipped_modules())
    for file in package.rglob("*.py"):
        assert "import convlens\n" not in file.read_text()
        assert "from convlens." not in file.read_text()
    assert stage_code(tmp_path / "again")[1].name == package.name


def test_models_are_logged_once(logged: tuple[Store, dict[str, str]]) -> None:
    store, _ = logged
    run = find_or_create_run(store, experiment="trials", key=KEY)
    assert len(store.client.search_logged_models([run.info.experiment_id])) == 2
    with fluent_store(store):
        assert {output.model_id for output in mlflow.get_run(run.info.run_id).outputs.model_outputs} == {
            model.model_id for model in store.client.search_logged_models([run.info.experiment_id])
        }


@pytest.mark.parametrize("broken", ["model.keras", "card.json"])
def test_broken_files_are_told(tmp_path: Path, broken: str) -> None:
    write_network(tmp_path / "model.keras")
    write_card(tmp_path / "card.json")
    (tmp_path / broken).write_bytes(b"broken")
    with pytest.raises(ConvLensError, match="Expected a trained network in"):
        open_classifier(tmp_path)


# --- what the model server would make of it ---


def tell_lengths(model_input: pd.DataFrame) -> pd.DataFrame:
    """How long each photo is; an empty one is refused."""
    photos = [base64.b64decode(text) for text in model_input["image"]]
    if not all(photos):
        raise MlflowException.invalid_parameter_value("an empty photo")
    return pd.DataFrame({"length": [len(photo) for photo in photos], "served": is_served()})


@pytest.fixture
def lengths(tmp_path: Path) -> Iterator[Any]:
    with no_warnings():  # of MLflow about itself
        mlflow.pyfunc.save_model(str(tmp_path / "model"), python_model=tell_lengths, pip_requirements=[])
        yield mlflow.pyfunc.load_model(str(tmp_path / "model"))


def test_photos_travel_as_base64_and_answers_come_back(lengths: Any) -> None:
    assert predict_served(lengths, [b"abc", b"\x00\xff"]) == [
        {"length": 3, "served": True},
        {"length": 2, "served": True},
    ]
    assert not is_served()


def test_a_refusal_is_told(lengths: Any) -> None:
    with pytest.raises(MlflowException, match="an empty photo"):
        predict_served(lengths, [b""])


def test_what_decides_predictions_names_the_package() -> None:
    plain = name_package(OperatingPoint("k", max_error=0.1, num_validation=9))
    assert plain == name_package(OperatingPoint())
    changes = [{"threshold": 0.6}, {"min_confidence": 0.9}, {"threshold": 0.6, "min_confidence": 0.9}]
    changes += [{"mirror": True}, {"center_crop": 0.9}, {"temperature": 1.5}]
    assert len({plain, *(name_package(OperatingPoint(**change)) for change in changes)}) == 1 + len(changes)
