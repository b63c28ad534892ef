import hashlib
import http.server
import os
import threading
import zipfile
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from photo_files import write_classes, write_photo
from PIL import Image

from convlens.errors import ConvLensError
from convlens.params import DataParams
from convlens.stages.ingest import ingest

SYNTHETIC = {
    "kind": "synthetic",
    "name": "tiny",
    "license": "CC0-1.0",
    "recipe": {"num_photos": 6, "image_size": 48, "seed": 3},
}


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(source: str) -> pd.DataFrame:
    ingest(photos=Path("data/photos.parquet"), raw=Path("data/raw"), data=DataParams(source=source))
    return pd.read_parquet("data/photos.parquet")


def write_card(values: dict[str, Any]) -> str:
    Path("card.yaml").write_text(yaml.safe_dump(values))
    return "card.yaml"


def write_zip(path: str, folder: Path) -> str:
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, file.relative_to(folder))
    return path


def tree(folder: str = "data") -> dict[str, bytes]:
    return {path.as_posix(): path.read_bytes() for path in sorted(Path(folder).rglob("*")) if path.is_file()}


def test_a_folder_is_listed_where_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    write_classes(Path("pets"), {"cats": 2, "dogs": 1})
    before = tree("pets")
    table = run("pets")
    assert list(table["path"]) == ["pets/cats/000.png", "pets/cats/001.png", "pets/dogs/000.png"]
    assert list(table["sha256"]) == [hashlib.sha256(before[path]).hexdigest() for path in table["path"]]
    assert tree("pets") == before
    assert sorted(tree()) == ["data/photos.parquet", "data/raw/README.txt"]
    assert "ingest: 3 photos in pets: 2 cats, 1 dogs." in capsys.readouterr().err


def test_regions_of_a_folder_stand_beside_its_photos(capsys: pytest.CaptureFixture[str]) -> None:
    write_classes(Path("pets"), {"cats": 1, "dogs": 1})
    Path("pets/regions.csv").write_text(
        "path,region,left,top,right,bottom\ncats/000.png,nose,1,2,3,4\ngone.png,ear,1,2,3,4\n"
    )
    table = run("pets")
    assert [list(cell) for cell in table["regions"]] == [
        [{"bottom": 4.0, "left": 1.0, "name": "nose", "right": 3.0, "top": 2.0}],
        [],
    ]
    assert (
        "warning: regions.csv has boxes of 1 photos that are not there, for example gone.png."
        in capsys.readouterr().err
    )


@pytest.mark.parametrize(
    "name", ["price $5", 'say "cheese"', "o'clock (new) #1", "back`tick", "$(touch pwned)", "100%"]
)
def test_a_folder_may_have_any_name(name: str) -> None:
    write_classes(Path(name), {"cats": 1, "dogs": 1})
    assert list(run(name)["path"]) == [f"{name}/cats/000.png", f"{name}/dogs/000.png"]
    assert not Path("pwned").exists()


def test_what_cannot_be_read_is_told_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    write_classes(Path("pets"), {"cats": 2, "dogs": 2})
    Path("pets/cats/dead.jpg").symlink_to("nowhere.jpg")
    os.mkfifo("pets/dogs/pipe.jpg")
    assert len(run("pets")) == 6
    told = capsys.readouterr().err
    assert "warning: 2 of 6 photos cannot be read" in told
    assert "for example pets/cats/dead.jpg, pets/dogs/pipe.jpg." in told


def test_a_painted_card_paints_the_same_each_time() -> None:
    table = run(write_card(SYNTHETIC))
    first = tree()
    assert len(table) == 6
    assert table["label"].value_counts().to_dict() == {"cats": 3, "dogs": 3}
    assert set(table["split"]) == {""}
    assert all(path.startswith("data/raw/") for path in table["path"])
    for path, regions in zip(table["path"], table["regions"], strict=True):
        with Image.open(path) as image:
            assert image.size == (48, 48)
        assert len(regions) > 3
        assert all(0 <= box["left"] <= box["right"] <= 48 for box in regions)
    run("card.yaml")
    assert tree() == first


def test_an_archive_is_unpacked(project: Path) -> None:
    write_classes(project / "made" / "wrapper" / "train", {"cats": 2, "dogs": 2})
    write_classes(project / "made" / "wrapper" / "validation", {"cats": 1, "dogs": 1})
    table = run(write_zip("pets.zip", project / "made"))
    assert table["path"].iloc[0] == "data/raw/wrapper/train/cats/000.png"
    assert table["split"].value_counts().to_dict() == {"train": 4, "validation": 2}
    assert all(Path(path).is_file() for path in table["path"])


def test_a_card_is_downloaded_once(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_classes(project / "made", {"cats": 2, "dogs": 2})
    (project / "site").mkdir()
    content = Path(write_zip("site/pets.zip", project / "made")).read_bytes()
    asked: list[str] = []

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            asked.append(self.path)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(project / "site")))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        card = {
            "kind": "url",
            "name": "pets",
            "license": "CC0-1.0",
            "url": f"http://127.0.0.1:{server.server_address[1]}/pets.zip",
            "sha256": hashlib.sha256(content).hexdigest(),
        }
        first = run(write_card(card))
        second = run("card.yaml")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    pd.testing.assert_frame_equal(first, second)
    assert asked == ["/pets.zip"]
    assert first["path"].iloc[0] == "data/raw/cats/000.png"
    assert [path.name for path in Path(".convlens/downloads").iterdir()] == ["pets.archive"]


def break_zip(project: Path) -> str:
    content = Path(write_zip("broken.zip", write_classes(project / "made", {"cats": 3, "dogs": 3}))).read_bytes()
    Path("broken.zip").write_bytes(content[:60] + bytes(40) + content[100:])
    return "broken.zip"


def hostile_zip(_: Path) -> str:
    with zipfile.ZipFile("hostile.zip", "w") as archive:
        archive.writestr("cats/1.jpg", b"1")
        archive.writestr("../../dogs/1.jpg", b"1")
    return "hostile.zip"


def zip_of_one_class(project: Path) -> str:
    return write_zip("one.zip", write_classes(project / "made", {"cats": 3}))


def zip_with_empty_class(project: Path) -> str:
    write_photo(project / "made" / "dogs" / ".keep", b"")
    return write_zip("empty.zip", write_classes(project / "made", {"cats": 3}))


SOURCES = {
    "missing": (lambda _: "nowhere", "Received: nowhere, which does not exist. Correct data.source in params.yaml"),
    "no source": (lambda _: str(write_photo(Path("photo.png"))), "photo.png, which is none of these"),
    "folder of files": (lambda _: str(write_photo(Path("flat/1.png")).parent), "Received: flat with no class folder"),
    "one class": (lambda _: str(write_classes(Path("one"), {"cats": 1})), "one class only .'cats'."),
    "broken archive": (break_zip, "Expected a whole zip or tar archive. Received: broken.zip"),
    "hostile archive": (hostile_zip, "Expected plain files in hostile.zip. Received: '../../dogs/1.jpg'"),
    "archive of one class": (zip_of_one_class, "Received: one.zip with one class only .'cats'."),
    "archive with empty class": (zip_with_empty_class, "Received: empty.zip/dogs, which has none"),
    "broken card": (lambda _: write_card({**SYNTHETIC, "kind": "drawn"}), "Expected a card with kind"),
    "raw itself": (lambda _: "data/raw", "Expected data.source outside data/raw, which this stage empties"),
    "inside of raw": (lambda _: "data/raw/cats", "Expected data.source outside data/raw"),
    "around raw": (lambda _: "data", "Expected data.source outside data/raw"),
}


@pytest.mark.parametrize("name", SOURCES)
def test_a_bad_source_is_told_and_the_earlier_result_stays(name: str, project: Path) -> None:
    run(write_card({**SYNTHETIC, "recipe": {"num_photos": 2, "image_size": 32}}))
    before = tree()
    make, words = SOURCES[name]
    source = make(project)
    with pytest.raises(ConvLensError, match=words) as caught:
        run(source)
    assert "\n" not in str(caught.value)
    assert ".part" not in str(caught.value)
    assert tree() == before
    assert not list(Path("data").glob(".*"))


def test_a_link_to_raw_is_seen_through() -> None:
    run(write_card(SYNTHETIC))
    before = tree()
    Path("pets").symlink_to("data/raw")
    with pytest.raises(ConvLensError, match=r"Expected data.source outside data/raw"):
        run("pets")
    assert tree() == before
