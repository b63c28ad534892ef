from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from photo_files import encode, make_group, noise_photo, write_photo
from PIL import Image

from convlens.data import facts, validation
from convlens.data.sources import describe_photos, list_folder
from convlens.data.validation import (
    CAUSES,
    MANIFEST_COLUMNS,
    judge_photos,
    list_quarantine,
    scan_photos,
    scan_with_pictures,
)

# --- scanning ---


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
    monkeypatch.setattr(validation, "MAX_PICTURES_PER_FLAG", 2)
    for index in range(4):
        write_photo(tmp_path / f"cats/{index}.png", Image.new("RGB", (20 + index, 20), (90, 90, 90)))
        write_photo(tmp_path / f"dogs/copy{index}.png", noise_photo("same"))
    write_photo(tmp_path / "dogs/good.png")
    gallery = scan_with_pictures(describe_photos(list_folder(tmp_path), {}), make_group("validate")).gallery
    names = [(Path(path).name, flag) for path, flag in zip(gallery["path"], gallery["flag"], strict=True)]
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


# --- quarantine ---


def make_table(*photos: dict[str, Any]) -> pd.DataFrame:
    """Photos that are good but for what is given; each of its own bytes."""
    good = {"label": "cats", "split": "", "format": "JPEG", "width": 60, "height": 50, "frames": 1, "decodes": True,
            "error": ""}  # fmt: skip
    rows = [
        {"path": f"{index}.jpg", "sha256": f"digest {index}", **good, **photo} for index, photo in enumerate(photos)
    ]
    return pd.DataFrame(rows)


def judge(*photos: dict[str, Any]) -> list[tuple[str, str]]:
    table = make_table(*photos)
    before = table.copy(deep=True)
    judged = judge_photos(table, make_group("validate", max_megapixels=0.01))
    pd.testing.assert_frame_equal(table, before)
    assert (judged["usable"] == (judged["cause"] == "")).all()
    assert ((judged["cause"] == "") == (judged["reason"] == "")).all()
    assert set(judged["cause"]) <= {"", *CAUSES}
    return list(zip(judged["cause"], judged["reason"], strict=True))


def test_the_first_reason_counts() -> None:
    assert judge(
        {},
        {"width": 300, "decodes": False, "error": "300x50 pixels"},
        {"decodes": False, "error": "cut", "format": "PPM", "width": 1},
        {"format": "PPM", "width": 1},
        {"width": 31},
        {"frames": 9},
    ) == [
        ("", ""),
        ("too_large", "300x50 pixels, above validate.max_megapixels = 0.01"),
        ("unreadable", "cannot be decoded: cut"),
        ("format", "format PPM is not among validate.formats"),
        ("too_small", "31x50 pixels, below validate.min_side = 32"),
        ("", ""),
    ]


def test_of_copies_the_first_path_stays_and_the_held_out_split_goes_first() -> None:
    same = {"sha256": "same"}
    assert judge({**same, "path": "b"}, {**same, "path": "a"}, {}) == [
        ("duplicate", "the same bytes as a"),
        ("", ""),
        ("", ""),
    ]
    splits = [
        {**same, "path": name, "split": split} for name, split in [("a", "train"), ("b", "validation"), ("c", "test")]
    ]
    assert [cause for cause, _ in judge(*splits)] == ["duplicate", "duplicate", ""]


def test_a_picture_under_two_labels_is_left_out_altogether() -> None:
    same = [{"sha256": "same", "label": label} for label in ("cats", "dogs", "cats")]
    assert judge(*same, {}) == [*[("two_labels", "the same bytes under the labels cats, dogs")] * 3, ("", "")]


def test_what_is_left_out_anyway_is_no_copy() -> None:
    broken = {"sha256": "same", "decodes": False, "error": "cut"}
    assert [cause for cause, _ in judge(broken, {**broken, "label": "dogs"}, {"sha256": ""}, {"sha256": "x"})] == [
        "unreadable",
        "unreadable",
        "",
        "",
    ]


def test_later_frames_are_listed_and_second_views_are_not() -> None:
    table = make_table({}, {"frames": 3, "format": "GIF"}, {"frames": 2, "format": "MPO"}, {"frames": 4, "width": 3})
    left_out = list_quarantine(judge_photos(table, make_group("validate")))
    assert left_out.to_dict("records") == [
        {
            "path": "1.jpg",
            "label": "cats",
            "cause": "later_frames",
            "reason": "3 pictures in the file; the first is used, 2 left out",
        },
        {
            "path": "3.jpg",
            "label": "cats",
            "cause": "too_small",
            "reason": "3x50 pixels, below validate.min_side = 32",
        },
    ]


def test_nothing_to_leave_out() -> None:
    judged = judge_photos(make_table({}, {}), make_group("validate"))
    assert list_quarantine(judged).empty
    assert list(list_quarantine(judged).columns) == ["path", "label", "cause", "reason"]
