from typing import Any

import pandas as pd
from photo_files import make_group

from convlens.data.validation import CAUSES, judge_photos, list_quarantine


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
