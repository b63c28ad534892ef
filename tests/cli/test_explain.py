"""`convlens explain`: a page for any photos, by a model in a folder."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
from lens_models import SIZE, photos, residual
from PIL import Image
from small_training import demand, use_own_store, write_card, write_network, write_photo, write_training

from convlens.cli.main import main
from convlens.lens.lens import open_lens
from convlens.models.files import encode_model, load_trained_model
from convlens.stages.register import register


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    model = tmp_path / "model"
    model.mkdir()
    (model / "model.keras").write_bytes(encode_model(residual(), model))
    card = {"key": "0", "mirror": True, "temperature": 2.0, "classes": ["cats", "dogs"], "image_size": SIZE,
            "keep_aspect": False, "resampling": "bicubic"}  # fmt: skip
    (model / "card.json").write_text(json.dumps(card))
    Image.fromarray(photos(1, size=48)[0]).save(tmp_path / "mine.png")
    (tmp_path / "regions.csv").write_text("path,region,left,top,right,bottom\nmine.png,nose,12,12,24,36\n")
    (tmp_path / "broken.jpg").write_bytes(b"no photo")
    return tmp_path


def test_a_page_is_made_of_photos_that_can_be_read(folder: Path, capsys: pytest.CaptureFixture) -> None:
    page = folder / "page.html"
    arguments = [str(folder / "mine.png"), str(folder / "broken.jpg"), "--model", str(folder / "model")]
    with pytest.raises(SystemExit, match="0"):
        main(["explain", *arguments, "--out", str(page)])
    assert capsys.readouterr().out == f"1 of 2 photos are in {page}. Open it in a browser.\n"
    text = page.read_text()
    data = json.loads(text.split('id="page-data">')[1].split("</script>")[0])
    assert [(photo["name"], photo["group"], photo["truth"]) for photo in data["photos"]] == [("mine.png", "user", None)]
    assert (data["temperature"], data["mirror"], data["trust"], data["regions"]) == (2.0, True, None, [])
    assert {block["facts"] is None for block in data["blocks"]} == {True}
    assert all(block["arithmetic"] for block in data["blocks"])
    payload = json.loads(text.split('id="photo-0">')[1].split("</script>")[0])
    (region,) = payload["regions"]
    assert [round(side, 3) for side in region["box"]] == [4, 4, 8, 12]  # of the 16x16 pixels that the network sees
    assert "broken.jpg" in text


def test_no_photo_that_can_be_read_is_an_error(folder: Path, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit, match="1"):
        main(["explain", str(folder / "broken.jpg"), "--model", str(folder / "model"), "--out", str(folder / "x.html")])
    assert "Expected an image that Pillow can read" in capsys.readouterr().err
    assert not (folder / "x.html").exists()


def test_the_champion_and_what_is_pulled_of_it_make_the_same_page(
    tmp_path: Path, capfd: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_own_store(tmp_path, monkeypatch)
    write_network(tmp_path / "data/model/model.keras")
    write_card(tmp_path / "data/model/card.json")
    register(**write_training(tmp_path), params=demand())
    write_photo(tmp_path / "dark.png", 0.1)
    assert _run("explain", "dark.png", "--out", "champion.html") == 0
    assert _run("pull", "pulled") == 0
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/nowhere.db")
    assert _run("explain", "dark.png", "--model", "pulled", "--out", "pulled.html") == 0
    champion = (tmp_path / "champion.html").read_bytes()
    assert champion == (tmp_path / "pulled.html").read_bytes()
    assert b"This network has no convolution" in champion
    capfd.readouterr()
    assert _run("explain", "dark.png", "--model", "models:/convlens@nobody") == 1
    assert "Expected" in capfd.readouterr().err
    assert not (tmp_path / "explanation.html").exists()


def test_hidden_filters_are_the_weakest_on_the_photos_themselves(folder: Path) -> None:
    page = folder / "page.html"
    few = ["--max-filters", "3", "--out", str(page)]
    assert _run("explain", str(folder / "mine.png"), "--model", str(folder / "model"), *few) == 0
    data = json.loads(page.read_text().split('id="page-data">')[1].split("</script>")[0])
    shown = {block["name"]: block["shown"] for block in data["blocks"]}
    lens = open_lens(load_trained_model(folder / "model"))
    activations = lens.run(np.asarray(Image.open(folder / "mine.png").resize((SIZE, SIZE), Image.Resampling.BICUBIC)))
    for block in lens.blocks:
        means = activations.maps[block.response.name].mean(axis=(0, 1))
        assert shown[block.name] == sorted(np.argsort(-means)[:3].tolist()), block.name


def _run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    return int(stopped.value.code or 0)


def test_any_keras_model_is_explained_from_its_file(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    layers = keras.layers
    model = keras.Sequential(
        [keras.Input((SIZE, SIZE, 3)), layers.Conv2D(4, 3, activation="relu"), layers.Flatten(),
         layers.Dense(1, activation="sigmoid")]
    )  # fmt: skip
    model.save(tmp_path / "mine.keras")
    write_photo(tmp_path / "dark.png", 0.1)
    page, arguments = (
        tmp_path / "page.html",
        ["explain", str(tmp_path / "dark.png"), "--out", str(tmp_path / "page.html")],
    )
    file = ["--model", str(tmp_path / "mine.keras"), "--divide-by", "255"]
    assert _run(*arguments, *file, "--classes", "cats,dogs") == 0
    text = page.read_text()
    assert _run(*arguments, *file, "--classes", "cats, dogs") == 0
    assert page.read_text() == text
    data = json.loads(text.split('id="page-data">')[1].split("</script>")[0])
    assert (data["classes"], data["temperature"]) == (["cats", "dogs"], 1.0)
    pixels = np.asarray(Image.open(tmp_path / "dark.png").resize((SIZE, SIZE), Image.Resampling.BILINEAR)) / 255
    chance = float(np.asarray(model(pixels[np.newaxis].astype(np.float32)))[0, 0])
    assert data["photos"][0]["probabilities"] == pytest.approx([1 - chance, chance], abs=1e-3)
    capsys.readouterr()
    assert _run("predict", str(tmp_path / "dark.png"), "--json", *file, "--classes", "cats,dogs") == 0
    (told,) = json.loads(capsys.readouterr().out)
    assert told["probabilities"] == {
        "cats": pytest.approx(1 - chance, abs=1e-3),
        "dogs": pytest.approx(chance, abs=1e-3),
    }
    for wrong, words in (
        ([*file, "--classes", "cats"], "Expected 2 different names of classes"),
        (["--model", str(tmp_path / "other.keras")], "which is not there"),
    ):
        assert _run(*arguments, *wrong) == 1
        assert words in capsys.readouterr().err.splitlines()[-1]
