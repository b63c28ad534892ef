"""What the stage `preprocess` does with copies of photos."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from photo_files import encode, make_group, write_photo
from thumbnails import paint_picture

from convlens.data import decoding
from convlens.data.prepared import Prepared
from convlens.data.sources import describe_photos, list_folder
from convlens.data.validation import scan_photos
from convlens.errors import ConvLensError
from convlens.files import write_parquet
from convlens.params import DataParams
from convlens.stages.preprocess import preprocess

DUPLICATES = Path("prepared/duplicates.json")


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for number in range(24):
        label = ("cats", "dogs")[number % 2]
        picture = paint_picture(number, (120, 100))
        write_photo(Path(f"pets/{label}/{number:03d}.png"), picture)
        if number < 8:
            copy = picture.crop((4, 3, 114, 96)).resize((60, 50)).point(lambda value: value * 0.85)
            write_photo(Path(f"pets/{label}/{number:03d} copy.jpg"), copy, "JPEG", quality=60)
    return tmp_path


def run(change: Any = None, **changes: Any) -> dict[str, Any]:
    """Scan and split; what is told of the copies."""
    table = scan_photos(describe_photos(list_folder(Path("pets")), {}), make_group("validate"), num_workers=1)
    write_parquet(Path("manifest/manifest.parquet"), table if change is None else change(table))
    group = make_group("preprocess", **{"validation_fraction": 0.25, "test_fraction": 0.25, **changes})
    preprocess(
        manifest=Path("manifest"),
        prepared=Path("prepared"),
        data=DataParams(source="pets"),
        preprocess=group,
    )
    told: dict[str, Any] = json.loads(DUPLICATES.read_text(encoding="utf-8"))
    return told


def splits() -> pd.Series:
    return Prepared.load(Path("prepared")).splits.set_index("path")["split"]


def pairs(numbers: range) -> list[list[str]]:
    names = [f"pets/{('cats', 'dogs')[number % 2]}/{number:03d}" for number in numbers]
    return sorted([f"{name} copy.jpg", f"{name}.png"] for name in names)


def test_copies_are_found_listed_and_kept_together(capsys: pytest.CaptureFixture[str]) -> None:
    told = run()
    assert told == {
        "num_photos": 32,
        "num_groups": 8,
        "num_grouped_photos": 16,
        "largest_group": 2,
        "groups_of_two_labels": 0,
        "groups_across_source_splits": 0,
        "groups_across_splits": 0,
        "left_out": [],
        "groups": pairs(range(8)),
    }
    assigned = splits()
    assert len(assigned) == 32
    assert all(assigned[first] == assigned[second] for first, second in told["groups"])
    said = capsys.readouterr().err
    assert "preprocess: 16 photos are in 8 groups of copies, each in one split; see prepared/duplicates.json." in said
    assert "warning" not in said


def test_without_the_search_they_are_not() -> None:
    told = run(near_duplicates=False)
    assert (told["num_groups"], told["groups"]) == (0, [])


def test_copies_of_held_out_photos_are_not_prepared(capsys: pytest.CaptureFixture[str]) -> None:
    def give_splits(table: pd.DataFrame) -> pd.DataFrame:
        number = table["path"].str.extract(r"(\d+)[^/]*$")[0].astype(int)
        held_out = (number % 3).map({0: "train", 1: "validation", 2: "test"})
        return table.assign(split=held_out.mask(table["path"].str.contains("copy"), "train"))

    told = run(give_splits)
    left_out = told["left_out"]
    assert told["groups_across_source_splits"] == len(left_out) == 5
    assert told["groups_across_splits"] == 0
    assert all("copy" in path for path in left_out)
    assert set(splits().index).isdisjoint(left_out)
    assert len(splits()) == 32 - 5
    prepared = Prepared.load(Path("prepared"))
    assert sum(len(prepared.images(split)) for split in ("train", "validation", "test")) == 27
    assert "preprocess: 5 photos are left out: copies of photos that the source holds out." in capsys.readouterr().err


def test_two_labels_and_large_groups_are_warned_of(capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(20):
        write_photo(Path(f"pets/dogs/again {number}.png"), encode(paint_picture(0, (121 + number, 100))))
    told = run()
    assert (told["largest_group"], told["groups_of_two_labels"]) == (22, 1)
    said = capsys.readouterr().err
    assert "preprocess: warning: 1 groups of copies have more than one label." in said
    assert "preprocess: warning: 22 photos count as copies of one another. If they are not, lower" in said


def test_the_result_is_the_same_byte_for_byte() -> None:
    run()
    first = [DUPLICATES.read_bytes(), Path("prepared/splits.csv").read_bytes()]
    run()
    assert [DUPLICATES.read_bytes(), Path("prepared/splits.csv").read_bytes()] == first


def test_a_group_in_two_splits_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cannot happen; if it did, nothing measured on the test split would be worth anything."""
    turn = ["train", "validation", "test"]
    monkeypatch.setattr(
        decoding, "split_photos", lambda photos, *_, **__: pd.Series([turn[row % 3] for row in range(len(photos))])
    )
    with pytest.raises(ConvLensError, match=r"Expected copies of a photo in one split\. Received: .* \d of 8\."):
        run()
    assert not Path("prepared").exists()
