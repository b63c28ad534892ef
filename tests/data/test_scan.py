from pathlib import Path

import pandas as pd
import pytest
from photo_files import encode, make_group, noise_photo, write_photo
from PIL import Image

from convlens.data import facts, validation
from convlens.data.sources import describe_photos, list_folder
from convlens.data.validation import MANIFEST_COLUMNS, scan_photos, scan_with_pictures


@pytest.fixture
def dirty(tmp_path: Path) -> Path:
    photo = noise_photo("dirty", (60, 50))
    whole = encode(photo, "JPEG")
    write_photo(tmp_path / "cats/good.jpg", whole)
    write_photo(tmp_path / "cats/suffix.png", encode(photo, "JPEG", quality=60))
    write_photo(tmp_path / "cats/cut.jpg", whole[: len(whole) // 2])
    write_photo(tmp_path / "cats/text.jpg", b"no photo")
    write_photo(tmp_path / "dogs/small.png", Image.new("RGB", (100, 31)))
    write_photo(tmp_path / "dogs/huge.png", Image.new("1", (400, 300)))
    write_photo(tmp_path / "dogs/other.ppm", photo, "PPM")
    write_photo(tmp_path / "dogs/empty.jpg", b"")
    (tmp_path / "dogs/dead.jpg").symlink_to(tmp_path / "dogs/nowhere.jpg")
    return tmp_path


def test_every_photo_gets_a_row_and_a_reason(dirty: Path) -> None:
    photos = describe_photos(list_folder(dirty), {})
    before = photos.copy(deep=True)
    table = scan_photos(photos, make_group("validate", max_megapixels=0.1), num_workers=1)
    assert list(table.columns) == list(MANIFEST_COLUMNS)
    pd.testing.assert_frame_equal(photos, before)
    reasons = {Path(path).name: reason for path, reason in zip(table["path"], table["reason"], strict=True)}
    cut = reasons.pop("cut.jpg")
    assert cut.startswith("cannot be decoded: image file is truncated")
    assert reasons == {
        "good.jpg": "",
        "suffix.png": "",
        "text.jpg": "cannot be decoded: not an image that Pillow can read",
        "small.png": "100x31 pixels, below validate.min_side = 32",
        "huge.png": "400x300 pixels, above validate.max_megapixels = 0.1",
        "other.ppm": "format PPM is not among validate.formats",
        "empty.jpg": "cannot be decoded: not an image that Pillow can read",
        "dead.jpg": "cannot be decoded: the file does not exist",
    }
    assert (table["usable"] == (table["reason"] == "")).all()
    agrees = dict(zip((Path(path).name for path in table["path"]), table["suffix_agrees"], strict=True))
    assert (agrees["good.jpg"], agrees["suffix.png"]) == (True, False)


def test_the_index_of_the_list_does_not_matter(dirty: Path) -> None:
    photos = describe_photos(list_folder(dirty), {})
    limits = make_group("validate")
    shuffled = photos.sample(frac=1, random_state=0)
    table = scan_photos(shuffled, limits, num_workers=1)
    assert list(table["path"]) == list(shuffled["path"])
    pd.testing.assert_frame_equal(
        table.sort_values("path").reset_index(drop=True), scan_photos(photos, limits, num_workers=1)
    )


def test_the_gallery_is_bounded_and_holds_one_picture_of_equal_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(validation, "MAX_PICTURES_PER_DOUBT", 2)
    for index in range(4):
        write_photo(tmp_path / f"cats/{index}.png", Image.new("RGB", (20 + index, 20), (90, 90, 90)))
        write_photo(tmp_path / f"dogs/copy{index}.png", noise_photo("same"))
    write_photo(tmp_path / "dogs/good.png")
    gallery = scan_with_pictures(describe_photos(list_folder(tmp_path), {}), make_group("validate")).gallery
    names = [(Path(path).name, doubt) for path, doubt in zip(gallery["path"], gallery["doubt"], strict=True)]
    assert names == [("0.png", "too_small"), ("1.png", "too_small"), ("copy0.png", "copied")]


def test_no_photo_is_decoded_twice(dirty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Image.Image] = []
    decode = facts.decode_photo

    def count(image: Image.Image) -> Image.Image:
        seen.append(image)
        return decode(image)

    monkeypatch.setattr(facts, "decode_photo", count)
    scan_with_pictures(describe_photos(list_folder(dirty), {}), make_group("validate"), num_workers=1)
    assert len(seen) == 6
