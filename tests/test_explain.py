"""`convlens explain`: a page for any photos, by a model in a folder."""

import json
from pathlib import Path

import pytest
from lens_models import SIZE, photos, residual
from PIL import Image

from convlens.cli import main
from convlens.network.model_files import encode_model


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
    assert [(photo["name"], photo["group"], photo["truth"]) for photo in data["photos"]] == [("mine.png", "own", None)]
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
