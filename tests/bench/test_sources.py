import json
from pathlib import Path

import pytest
from photo_files import noise_photo, write_classes, write_photo

from convlens.bench.photo_lists import Listed
from convlens.bench.sources import gather_photos, link_photos
from convlens.errors import ConvLensError
from convlens.params import DataParams, load_params

CARD = {
    "kind": "synthetic",
    "name": "tiny",
    "license": "CC0-1.0",
    "recipe": {"num_photos": 20, "image_size": 48, "seed": 0},
}


@pytest.fixture
def workspace(tmp_path):
    folder = tmp_path / "workspace"
    folder.mkdir()
    return folder


def test_every_class_is_held_out_alike(tmp_path, workspace):
    folder = write_classes(tmp_path / "photos", {"cats": 20, "dogs": 10})
    photos = gather_photos(folder, load_params(), workspace)
    assert (photos.source, photos.classes, photos.num_left_out) == (str(folder), ("cats", "dogs"), 0)
    assert [photos.train.labels.count(label) for label in (0, 1)] == [14, 7]
    assert [photos.held_out.labels.count(label) for label in (0, 1)] == [6, 3]
    assert sorted(photos.all.paths) == sorted(str(path) for path in folder.rglob("*.png"))
    again = tmp_path / "again"
    again.mkdir()
    assert gather_photos(folder, load_params(), again) == photos


def test_what_not_everyone_can_read_is_left_out(tmp_path, workspace):
    folder = write_classes(tmp_path / "photos", {"cats": 8, "dogs": 8})
    write_photo(folder / "cats/broken.png", b"nothing")
    write_photo(folder / "cats/copy.png", (folder / "cats/000.png").read_bytes())
    write_photo(folder / "dogs/other.webp", noise_photo("webp"), "WEBP")
    write_photo(folder / "dogs/jpeg-by-content.png", noise_photo("jpeg"), "JPEG")
    photos = gather_photos(folder, load_params(), workspace)
    assert photos.num_left_out == 3
    names = {Path(path).name: suffix for path, suffix in zip(photos.all.paths, photos.all.suffixes, strict=True)}
    assert names == {**{f"{index:03d}.png": ".png" for index in range(8)}, "jpeg-by-content.png": ".jpg"}


def test_a_card_is_painted_into_the_workspace(tmp_path, workspace):
    card = tmp_path / "tiny.yaml"
    card.write_text(json.dumps(CARD))
    params = load_params().model_copy(update={"data": DataParams(source=str(card))})
    photos = gather_photos(None, params, workspace)
    assert (photos.source, len(photos.train), len(photos.held_out)) == (str(card), 14, 6)
    assert all(Path(path).is_relative_to(workspace / "raw") for path in photos.all.paths)


def test_links_lead_to_the_photos(tmp_path):
    paths = [write_photo(tmp_path / name) for name in ("b.png", "a.png", "c.png")]
    listed = Listed(tuple(map(str, paths)), (1, 0, 1), (".png", ".jpg", ".png"))
    folder = link_photos(listed, ("cats", "dogs"), tmp_path / "links")
    found = {path.relative_to(folder).as_posix(): path.resolve() for path in folder.rglob("*.*g")}
    assert found == {"dogs/000000.png": paths[0], "cats/000001.jpg": paths[1], "dogs/000002.png": paths[2]}


def test_a_missing_folder_is_told(tmp_path, workspace):
    with pytest.raises(ConvLensError, match=r"^Expected a folder .* after --photos\. Received: .*lost, which is no fo"):
        gather_photos(tmp_path / "lost", load_params(), workspace)


def test_too_few_photos_are_told(tmp_path, workspace):
    folder = write_classes(tmp_path / "photos", {"cats": 9, "dogs": 7})
    with pytest.raises(ConvLensError, match=r"^Expected at least 8 photos .*Received: 7 of 'dogs' in .*--photos\.$"):
        gather_photos(folder, load_params(), workspace)
