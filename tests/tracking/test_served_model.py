"""The packaged model behind MLflow's own server, on 127.0.0.1: every form of JSON, refusals, and many at once."""

import base64
import http.client
import io
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import pytest
import serve
import uvicorn
from click.testing import CliRunner
from mlflow.models import Model
from PIL import Image
from small_training import model_files, use_own_store, write_photo

from convlens.errors import ConvLensError
from convlens.models.classifier import SERVER_VARIABLE
from convlens.tracking.models import save_photo_model
from convlens.tracking.store import no_warnings


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    root = tmp_path_factory.mktemp("served")
    with pytest.MonkeyPatch.context() as monkeypatch:
        use_own_store(root, monkeypatch)
        files = model_files(root)
        with no_warnings():
            from mlflow.pyfunc import scoring_server

            save_photo_model(root / "packed", Model(), files)
        monkeypatch.setenv(SERVER_VARIABLE, str(root / "packed"))
        monkeypatch.setenv("_MLFLOW_IS_IN_SERVING_ENVIRONMENT", "true")
        app = scoring_server.init(mlflow.pyfunc.load_model(str(root / "packed")))
        with socket.create_server(("127.0.0.1", 0)) as listening:
            server = uvicorn.Server(uvicorn.Config(app, log_config=None, log_level="critical", ws="none"))
            thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
            thread.start()
            while not server.started and thread.is_alive():
                time.sleep(0.01)
            yield int(listening.getsockname()[1])
            server.should_exit = True
            thread.join(60)


def ask(port: int, body: Any, content_type: str = "application/json") -> tuple[int, Any]:
    """Status, and the answer: JSON, or the text of what is none."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    connection.request("POST", "/invocations", content, {"Content-Type": content_type})
    response = connection.getresponse()
    text = response.read().decode()
    connection.close()
    return response.status, json.loads(text) if text.startswith("{") else text


def text(brightness: float) -> str:
    buffer = io.BytesIO()
    Image.new("RGB", (20, 30), (round(255 * brightness),) * 3).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


DARK, BRIGHT = text(0.1), text(0.9)


@pytest.mark.parametrize(
    "body",
    [
        {"dataframe_split": {"columns": ["image"], "data": [[DARK], [BRIGHT]]}},
        {"dataframe_records": [{"image": DARK}, {"image": BRIGHT}]},
        {"instances": [DARK, BRIGHT]},
        {"instances": [{"image": DARK}, {"image": BRIGHT}]},
        {"inputs": [DARK, BRIGHT]},
        {"inputs": {"image": [DARK, BRIGHT]}},
    ],
    ids=["split", "records", "instances", "instances of records", "inputs", "inputs of columns"],
)
def test_every_form_of_json_is_answered(port: int, body: dict) -> None:
    status, answer = ask(port, {**body, "params": {"threshold": 0.99, "top_k": 1}})
    assert status == 200
    dark, bright = answer["predictions"]
    assert (dark["label"], bright["label"], bright["top_1_label"]) == ("cats", "cats", "dogs")
    assert set(dark) == {
        *("label", "probability_cats", "probability_dogs", "unsure", "error", "top_1_label", "top_1_probability")
    }
    assert ask(port, body)[1]["predictions"][1]["label"] == "dogs"


def test_bad_photo_is_told_in_its_row_and_files_stay_closed(port: int, tmp_path: Path) -> None:
    write_photo(tmp_path / "here.png", 0.9)
    status, answer = ask(port, {"inputs": [BRIGHT, "no photo", str(tmp_path / "here.png")]})
    bright, bad, path = answer["predictions"]
    assert (status, bright["label"], bright["unsure"]) == (200, "dogs", False)
    assert bad == {
        "label": None,
        "probability_cats": None,
        "probability_dogs": None,
        "unsure": None,
        "error": "Expected the base64 text of a photo. Received: the text 'no photo'.",
    }
    assert path["label"] is None


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"dataframe_split": {"columns": ["picture"], "data": [[DARK]]}}, "Expected a column 'image' with the photos."),
        ({"inputs": [[1, 2], [3, 4]]}, "Expected a list of photos or a table with a column 'image'."),
        ({"prompt": "hello"}, "Expected a column 'image' with the photos. Received columns: prompt."),
        ({"inputs": [DARK], "params": {"threshold": 7}}, "Expected a threshold from 0 to 1. Received: 7.0."),
        ({"inputs": [DARK], "params": {"top_k": 3}}, "Expected top_k from 0 to 2, the classes. Received: 3."),
        ({"photos": [DARK]}, "The input must be a JSON dictionary with exactly one of the input fields"),
        ({"inputs": [DARK], "instances": [DARK]}, "The input must be a JSON dictionary with exactly one"),
        ([DARK], "Invalid input. The input must be a JSON dictionary"),
        (b'{"inputs": [', "Invalid input. Ensure that input is a valid JSON formatted string."),
    ],
)
def test_malformed_requests_are_refused_clearly(port: int, body: Any, told: str) -> None:
    status, answer = ask(port, body)
    assert status == 400
    assert answer["message"].startswith(told)
    assert DARK not in answer["message"]
    assert "Traceback" not in json.dumps(answer)


def test_nothing_is_lost_or_wrong_when_many_ask_at_once(port: int, tmp_path: Path) -> None:
    photos = [tmp_path / f"{number}.png" for number in range(5)]
    for number, photo in enumerate(photos):
        write_photo(photo, number / 4)
    address = f"http://127.0.0.1:{port}"
    result = serve.load_server(address, photos, num_requests=24, num_clients=6, photos_per_request=2)
    counted = {name: result[name] for name in ("num_requests", "num_clients", "num_lost", "num_wrong", "first_failure")}
    assert counted == {"num_requests": 24, "num_clients": 6, "num_lost": 0, "num_wrong": 0, "first_failure": ""}
    assert 0 < result["p50_seconds"] <= result["p99_seconds"]
    asked = [*map(str, photos), "--address", address, "--requests", "4", "--clients", "2"]
    told = CliRunner().invoke(serve.main, asked, catch_exceptions=False)
    assert told.exit_code == 0
    assert told.output.startswith("4 requests of 1 photo each, 2 at a time\n")
    assert "; 0 lost, 0 wrong\nmemory of the server: " in told.output


def test_bench_without_a_server_says_how_to_start_one(tmp_path: Path) -> None:
    write_photo(tmp_path / "a.png", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        free = taken.getsockname()[1]
    with pytest.raises(ConvLensError, match=r"Expected a model server at http://127\.0\.0\.1:.* Start it: make serve"):
        serve.load_server(f"http://127.0.0.1:{free}", [tmp_path / "a.png"], num_requests=1, num_clients=1)
