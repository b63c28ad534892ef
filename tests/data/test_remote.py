"""Photos in an object store: Arrow's S3 client against a server on 127.0.0.1."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from object_store import serve_own
from photo_files import encode, make_group, noise_photo, write_photo

from convlens.data import loader as remote
from convlens.data.cards import find_address
from convlens.data.decoding import decode_photos
from convlens.data.loader import LoaderSettings, PhotoError
from convlens.data.sources import ListedPhoto, list_folder, list_store
from convlens.data.validation import scan_with_pictures
from convlens.errors import ConvLensError
from convlens.params import DataParams
from convlens.stages.ingest import ingest

SETTINGS = LoaderSettings(16)
NAMES = [f"{label}/{index} é+&%.png" for label in ("cats", "dogs") for index in range(5)]


@pytest.fixture(autouse=True)
def credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": "none",
        "AWS_SHARED_CREDENTIALS_FILE": "none",
    }.items():
        monkeypatch.setenv(name, value)
    remote._open_store.cache_clear()
    yield
    remote._open_store.cache_clear()


def photos() -> dict[str, bytes]:
    return {f"bucket/pets/{name}": encode(noise_photo(name)) for name in NAMES}


def serve(objects: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, bytes]]:
    with serve_own(objects) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        yield objects


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, bytes]]:
    yield from serve({}, monkeypatch)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, bytes]]:
    yield from serve(photos(), monkeypatch)


def run_ingest(source: str) -> pd.DataFrame:
    data = DataParams(source=source)
    ingest(photos=Path("data/photos.parquet"), raw=Path("data/raw"), data=data)
    return pd.read_parquet("data/photos.parquet")


def test_a_store_gives_what_a_folder_gives(store: dict[str, bytes]) -> None:
    for name in NAMES:
        write_photo(Path("pets") / name, noise_photo(name))
    folder, bucket = run_ingest("pets"), run_ingest("s3://bucket/pets")
    assert list(bucket["path"]) == [f"s3://bucket/{path}" for path in folder["path"]]
    pd.testing.assert_frame_equal(bucket.drop(columns="path"), folder.drop(columns="path"))
    assert Path("data/raw/README.txt").read_text() == "The photos stay where they are: s3://bucket/pets\n"

    limits = make_group("validate", min_photos_per_class=1)
    local, far = (scan_with_pictures(table, limits, num_workers=1).manifest for table in (folder, bucket))
    assert far["usable"].all()
    pd.testing.assert_frame_equal(far.drop(columns="path"), local.drop(columns="path"))
    decoded = [
        np.stack([pixels for pixels, _ in decode_photos(list(table["path"]), SETTINGS)]) for table in (folder, bucket)
    ]
    np.testing.assert_array_equal(*decoded)


def test_a_card_names_a_store(store: dict[str, bytes]) -> None:
    card = {"kind": "store", "name": "pets", "license": "CC0-1.0", "address": "s3://bucket/pets/"}
    Path("card.yaml").write_text(yaml.safe_dump(card))
    assert len(run_ingest("card.yaml")) == len(NAMES)


def test_a_photo_that_is_gone_or_broken_is_told(own: dict[str, bytes]) -> None:
    own.update({"bucket/pets/a.png": b"no photo"})
    table = pd.DataFrame({"path": ["s3://bucket/pets/a.png", "s3://bucket/pets/gone.png"], "label": "cats", "bytes": 8})
    table = table.assign(sha256=["1", ""], split="", regions=[[], []])
    scanned = scan_with_pictures(table, make_group("validate")).manifest
    assert list(scanned["error"]) == ["not an image that Pillow can read", "the file does not exist"]
    assert remote.digest_photo("s3://bucket/pets/gone.png") == (0, "")
    with pytest.raises(PhotoError, match=r"Received: s3://bucket/pets/a\.png, which is none"):
        list(decode_photos(["s3://bucket/pets/a.png"], SETTINGS))


def test_a_store_that_refuses_stops_the_work(own: dict[str, bytes]) -> None:
    """An outage must not end up as photos in quarantine."""
    own.update({**photos(), "!refuse": b""})
    for work in (remote.list_objects, remote.digest_photo, lambda path: list(decode_photos([path], SETTINGS))):
        with pytest.raises(
            ConvLensError, match=r"Expected an object store that answers for s3://.*ACCESS_DENIED|403"
        ) as told:
            work(f"s3://bucket/pets/{NAMES[0]}")
        assert not isinstance(told.value, PhotoError)
    own.clear()
    with pytest.raises(ConvLensError, match=r"Expected an object store that answers for s3://bucket/pets\."):
        run_ingest("s3://bucket/pets")


def test_an_address_holds_no_secret() -> None:
    for address in ("s3://key:secret@bucket/pets", "s3:/bucket/pets", "s3://bucket/pets?region=us", "s3://"):
        with pytest.raises(
            ConvLensError, match=r"Expected an address such as s3://bucket/photos. Received: s3:/"
        ) as told:
            remote.read_object(address)
        assert "secret" not in str(told.value)
    assert find_address("s3://bucket/pets/") == "s3://bucket/pets"
    assert find_address("data/cards/none.yaml") == ""


@pytest.mark.parametrize(
    "names",
    [
        ["cats/1.png", "cats/more/2.png", "dogs/1.png"],
        ["pets/cats/1.png", "pets/dogs/1.png", "readme.txt", "pets/readme.txt"],
        ["train/cats/1.png", "train/dogs/1.png", "Test/cats/1.png", "Test/dogs/1.png", "Test/readme.txt"],
        ["a/b/train/cats/1.png", "a/b/train/dogs/deep/er/1.png"],
        ["train/1.png", "other/1.png"],
        ["cats/1.png", "cats/.hidden", "dogs/1.png", "dogs/Thumbs.db", "__MACOSX/cats/1.png", ".git/x/1.png"],
    ],
)
def test_the_rules_are_those_of_folders(names: list[str], own: dict[str, bytes]) -> None:
    for name in names:
        write_photo(Path("photos") / name, b"x")
        own[f"bucket/photos/{name}"] = b"x"
    expected = [ListedPhoto(f"s3://bucket/{one.path}", one.label, one.split) for one in list_folder(Path("photos"))]
    assert list_store("s3://bucket/photos") == expected


@pytest.mark.parametrize(
    "names", [["cats/1.png"], ["1.png", "2.png"], ["train/cats/1.png", "train/dogs/1.png", "cows/1.png"]]
)
def test_what_is_no_data_set_is_refused_alike(names: list[str], own: dict[str, bytes]) -> None:
    for name in names:
        write_photo(Path("photos") / name, b"x")
        own[f"bucket/photos/{name}"] = b"x"
    with pytest.raises(ConvLensError) as folder:
        list_folder(Path("photos"))
    with pytest.raises(ConvLensError) as store:
        list_store("s3://bucket/photos")
    assert str(store.value).replace("s3://bucket/", "") == str(folder.value)
