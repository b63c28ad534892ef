import json
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from photo_files import encode, make_group, noise_photo, write_classes, write_photo

from convlens.data import workers
from convlens.data.decoding import decode_photos
from convlens.data.loader import LoaderSettings, PhotoError, load_photo
from convlens.data.prepared import Prepared
from convlens.data.sources import describe_photos, list_folder
from convlens.data.split import SPLITS
from convlens.data.validation import scan_photos
from convlens.errors import ConvLensError
from convlens.files import write_parquet
from convlens.params import DataParams
from convlens.stages.preprocess import preprocess

SOURCE = DataParams(source="pets")


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_classes(tmp_path / "pets", {"dogs": 13, "cats": 12})
    return tmp_path


def write_manifest(change: Any = None) -> None:
    listed = describe_photos(list_folder(Path("pets")), {})
    table = scan_photos(listed, make_group("validate"), num_workers=1)
    write_parquet(Path("manifest/manifest.parquet"), table if change is None else change(table))


def run(folder: str = "prepared", **changes: Any) -> Any:
    group = make_group(
        "preprocess",
        **{"image_size": 16, "photos_per_shard": 4, "num_workers": 1, **changes},
    )
    preprocess(
        manifest=Path("manifest"),
        prepared=Path(folder),
        data=SOURCE,
        preprocess=group,
    )
    return Prepared.load(Path(folder))


def tree(folder: str) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file()
    }


def test_shards_labels_and_card() -> None:
    write_manifest()
    prepared = run(validation_fraction=0.2, test_fraction=0.2)
    assert sorted(tree("prepared")) == [
        "card.json",
        "duplicates.json",
        "splits.csv",
        "test/images-00000.npy",
        "test/images-00001.npy",
        "test/labels.npy",
        *(f"train/images-{shard:05d}.npy" for shard in range(4)),
        "train/labels.npy",
        "validation/images-00000.npy",
        "validation/images-00001.npy",
        "validation/labels.npy",
    ]
    card = json.loads(Path("prepared/card.json").read_text(encoding="utf-8"))
    assert card == dict(prepared.card)
    assert len(card.pop("digest")) == 64
    assert card == {
        "classes": ["cats", "dogs"],
        "image_size": 16,
        "keep_aspect": False,
        "resampling": "bicubic",
        "counts": {
            "train": {"cats": 8, "dogs": 7},
            "validation": {"cats": 2, "dogs": 3},
            "test": {"cats": 2, "dogs": 3},
        },
        "source": "pets",
    }
    assert prepared.classes == ("cats", "dogs")
    assert prepared.loader == LoaderSettings(16, False, "bicubic")
    assert [len(np.load(path)) for path in sorted(Path("prepared/train").glob("images*"))] == [4, 4, 4, 3]


@pytest.mark.parametrize("shard", [1, 4, 1000])
def test_every_row_is_what_the_loader_gives(shard: int) -> None:
    write_manifest()
    prepared = run(keep_aspect=True, resampling="bilinear", photos_per_shard=shard)
    settings = LoaderSettings(16, True, "bilinear")
    for split in SPLITS:
        photos, images, labels = prepared.photos(split), prepared.images(split), prepared.labels(split)
        assert photos["row"].tolist() == list(range(len(images)))
        expected = np.stack([load_photo(Path(path), settings) for path in photos["path"]])
        np.testing.assert_array_equal(images[:], expected)
        assert labels.dtype == np.int64
        assert [prepared.classes[label] for label in labels] == photos["label"].tolist()


def test_the_table_of_splits_names_every_usable_photo() -> None:
    write_photo(Path("pets/cats/broken.jpg"), b"no photo")
    write_manifest()
    table = run().splits
    assert list(table.columns) == ["path", "label", "split", "row", "width", "height", "sha256"]
    assert sorted(table["path"]) == sorted(path.as_posix() for path in Path("pets").rglob("*.png"))
    assert (table["width"] == 40).all()
    assert (table["height"] == 36).all()


def test_processes_give_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    write_manifest()
    run("alone", num_workers=1)
    monkeypatch.setattr(workers, "SMALL_JOB", 0)
    run("together", num_workers=2)
    assert tree("alone") == tree("together")


def test_the_digest_follows_content_not_names_or_shards() -> None:
    write_manifest()
    first = run().card["digest"]
    assert run(photos_per_shard=1000).card["digest"] == first
    assert run(seed=1).card["digest"] != first
    os.rename("pets/cats/000.png", "pets/cats/other name.png")
    write_manifest()
    assert set(run().splits["sha256"]) == set(pd.read_parquet("manifest/manifest.parquet")["sha256"])


def test_names_that_trouble_csv_come_back() -> None:
    names = ["NA.png", "a,b.png", "two\nlines.png", "carriage\rreturn.png", 'quo"te.png']
    for name in names:
        write_photo(Path("pets/cats") / name, noise_photo(name))
    write_manifest()
    table = run().splits
    assert {f"pets/cats/{name}" for name in names} <= set(table["path"])


def test_a_typing_error_in_a_split_is_told() -> None:
    write_manifest()
    with pytest.raises(ConvLensError, match=r"Expected photos of a split in prepared/tset. Received: none"):
        run().images("tset")


def no_dogs(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(usable=(table["label"] == "cats") | (table.index % 13 == 0))


def none_usable(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(usable=False)


@pytest.mark.parametrize(("change", "words"), [(no_dogs, "none of dogs"), (none_usable, "Expected usable photos")])
def test_too_few_photos_stop_and_leave_the_earlier_result(change: Any, words: str) -> None:
    write_manifest()
    run()
    before = tree("prepared")
    write_manifest(change)
    with pytest.raises(ConvLensError, match=words):
        run()
    assert tree("prepared") == before


def test_a_photo_that_broke_since_the_scan_stops_and_leaves_the_earlier_result() -> None:
    write_manifest()
    run()
    before = tree("prepared")
    Path("pets/dogs/003.png").write_bytes(encode(noise_photo("x"))[:60])
    shutil.rmtree(".convlens")
    with pytest.raises(PhotoError, match=r"pets/dogs/003\.png"):
        run()
    assert tree("prepared") == before
    shutil.rmtree(".convlens")
    assert sorted(path.name for path in Path().iterdir()) == ["manifest", "pets", "prepared"]


def test_photos_that_were_decoded_before_are_not_decoded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def decode(paths: Sequence[str], *args: Any, **options: Any) -> Iterator[tuple[np.ndarray, str]]:
        decoded.extend(Path(path).name for path in paths)
        return decode_photos(paths, *args, **options)

    decoded: list[str] = []
    monkeypatch.setattr("convlens.data.decoding.decode_photos", decode)
    write_manifest()
    run("first")
    assert len(decoded) == 25
    write_photo(Path("pets/cats/new.png"))
    write_manifest()
    decoded.clear()
    run("second")
    assert decoded == ["new.png"]
    shutil.rmtree(".convlens")
    run("third")
    assert tree("second") == tree("third")
    run("other size", image_size=24)
    assert len(decoded) == 1 + 26 + 26


def test_classes_and_photos_may_be_called_like_numbers_or_nothing() -> None:
    shutil.rmtree("pets")
    write_classes(Path("pets"), {"0": 8, "1": 8, "007": 8, "NA": 8, "Ärger, mit Komma": 8})
    write_manifest()
    prepared = run()
    assert prepared.classes == ("0", "007", "1", "NA", "Ärger, mit Komma")
    for split in SPLITS:
        photos = prepared.photos(split)
        assert [prepared.classes[label] for label in prepared.labels(split)] == photos["label"].tolist()
        assert [Path(path).parent.name for path in photos["path"]] == photos["label"].tolist()
