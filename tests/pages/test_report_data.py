import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from report_inputs import make_gallery, make_inputs, make_validation, paint

from convlens.data.prepared import Prepared
from convlens.pages import report_data
from convlens.pages.report import ReportInputs, photos_needed, render_report
from convlens.pages.report_data import CAUSES, describe_quarantine

INPUTS = make_inputs(per_class=60)
MANIFEST = INPUTS.validation.manifest


def change(causes: dict[int, str], same: tuple[tuple[int, ...], ...] = (), **columns: dict[int, Any]) -> pd.DataFrame:
    """The manifest with causes at some rows, equal digests at others, and other values."""
    manifest = MANIFEST.copy()
    for row, cause in causes.items():
        manifest.loc[row, ["cause", "reason", "usable"]] = [cause, f"reason of {row}", False]
    for rows in same:
        manifest.loc[list(rows), "sha256"] = f"same {rows[0]}"
    for name, values in columns.items():
        for row, value in values.items():
            manifest.loc[row, name] = value
    return manifest


def describe(manifest: pd.DataFrame, gallery: pd.DataFrame | None = None, **duplicates: Any) -> dict[str, Any]:
    return describe_quarantine(make_validation(manifest, gallery), duplicates)


def with_duplicates(inputs: ReportInputs, folder: Path, groups: list[list[str]]) -> ReportInputs:
    """The same with groups of near-duplicates, as `preprocess` writes them."""
    (folder / "duplicates.json").write_text(json.dumps({"num_groups": len(groups), "groups": groups}))
    return replace(inputs, prepared=Prepared(folder, inputs.prepared.card, inputs.prepared.splits))


def path(row: int) -> str:
    return str(MANIFEST.at[row, "path"])


def test_every_cause_of_the_quarantine_has_words() -> None:
    from convlens.data.validation import CAUSES as JUDGED

    assert set(CAUSES) == set(JUDGED)


def test_the_gallery_is_bounded_and_every_cause_has_its_share() -> None:
    causes = dict.fromkeys(range(1, 50), "too_small") | {50: "format", 51: "two_labels", 52: "later_frames"}
    found = describe(change(causes))
    shown = [photo["cause"] for photo in found["shown"]]
    assert len(shown) == report_data.MAX_SHOWN
    assert shown == ["unreadable", "two_labels", *["too_small"] * 20, "format", "later_frames"]
    assert (found["num_photos"], found["num_hidden"]) == (52, 53 - 24)
    assert {row["title"]: row["count"] for row in found["counts"]} == {
        "cannot be read": 1, "two labels": 1, "too small": 49, "format": 1, "later frames": 1,
    }  # fmt: skip


def test_pictures_are_found_by_path_and_by_digest() -> None:
    manifest = change({3: "duplicate", 4: "too_small", 5: "format"}, same=((2, 3),))
    gallery = make_gallery([(path(2), "same 2", "copied"), (path(4), "x", "too_small")])
    shown = {photo["path"]: bool(photo["source"]) for photo in describe(manifest, gallery)["shown"]}
    assert shown == {path(0): False, path(3): True, path(4): True, path(5): False}


def test_equal_files_stand_together_the_used_one_first() -> None:
    manifest = change({1: "duplicate", 6: "two_labels", 66: "two_labels"}, same=((1, 2), (6, 66)))
    found = describe(manifest, make_gallery([(path(1), "same 1", "copied")]))
    assert found["num_copied"] == 2
    first, second = found["copies"]
    assert [(file["role"], file["path"]) for file in first["paths"]] == [("used", path(2)), ("copy", path(1))]
    assert first["source"].startswith("data:image/jpeg;base64,")
    assert [(file["role"], file["path"]) for file in second["paths"]] == [("cats", path(6)), ("dogs", path(66))]
    assert second["source"] == ""


def test_groups_are_bounded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(report_data, "MAX_GROUPS", 2)
    groups = [[path(row) for row in range(start, start + 9)] for start in (0, 10, 20)]
    found = describe(MANIFEST, groups=groups)
    assert found["num_groups"] == 3
    assert [(len(group["photos"]), group["num_more"], group["num_photos"]) for group in found["near_duplicates"]] == [
        (4, 5, 9)
    ] * 2
    needed = photos_needed(with_duplicates(INPUTS, tmp_path, groups))
    assert {path(0), path(3), path(13)} <= set(needed)
    assert path(24) not in set(needed) - set(photos_needed(INPUTS))


@pytest.fixture
def dirty(tmp_path: Path) -> ReportInputs:
    """Copies, two labels, dark and blurred photos, and near-duplicates."""
    manifest = change({1: "duplicate", 6: "two_labels", 66: "two_labels"}, same=((1, 2), (6, 66)),
                      brightness={9: 0.02}, sharpness={8: 3.0})  # fmt: skip
    gallery = make_gallery(
        [
            (path(1), "same 1", "copied"),
            (path(8), "x", "blurred"),
            (path(9), "y", "dark"),
            (path(6), "same 6", "copied"),
        ]
    )
    groups = [[path(11), path(12)]]
    thumbnails = {**INPUTS.thumbnails, path(11): paint("11"), path(12): paint("12")}
    inputs = replace(INPUTS, validation=make_validation(manifest, gallery), thumbnails=thumbnails)
    return with_duplicates(inputs, tmp_path, groups)


def test_the_page_shows_it_all_without_a_network_and_the_same_twice(dirty: ReportInputs) -> None:
    text = render_report(dirty)
    assert render_report(dirty) == text
    assert not re.search(r"https?:|//[a-z]+\.|@import|url\((?!#)", text)
    words = " ".join(re.sub(r"<[^>]+>", " ", text).split())
    for expected in (
        "120 photos found",
        "4 left out, each with its reason below",
        "cannot be read the file ends early cats · 0000.jpg",
        "copy reason of 1 cats · 0001.jpg",
        "blurred sharpness 3 cats · 0008.jpg",
        "dark brightness 0.02 cats · 0009.jpg",
        "used data/raw/cats/0002.jpg copy data/raw/cats/0001.jpg",
        "1 group of near-duplicates",
    ):
        assert expected in words, expected


def test_a_page_about_clean_photos_has_no_empty_headings() -> None:
    manifest = MANIFEST.drop(index=0)
    text = render_report(replace(INPUTS, validation=make_validation(manifest)))
    assert "None had to be left out." in text
    for heading in ("Left out<", "Kept, but dark", "Exact copies", "Near-duplicates"):
        assert heading not in text


def test_a_page_about_dirty_photos_stays_small() -> None:
    """Whatever is wrong with a million photos, a bounded number of small pictures is in the page."""
    causes = dict.fromkeys(range(1, 119), "too_small")
    manifest = change(causes)
    gallery = make_gallery([(path(row), str(row), "too_small") for row in range(1, 119)])
    text = render_report(replace(INPUTS, validation=make_validation(manifest, gallery)))
    pictures = len(re.findall(r'src="data:image', text)) - len(re.findall(r'width="160" height="160"', text))
    assert pictures <= report_data.MAX_SHOWN
    assert "95 more are in the list only" in text


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("plain.jpg", "plain.jpg"),
        ("two\nlines \x1b[31m.jpg", r"two\nlines \x1b[31m.jpg"),
        ("very long name " * 9 + ".jpg", "very long name very long name ve… long name .jpg"),
    ],
)
def test_names_are_short_and_on_one_line(name: str, shown: str) -> None:
    manifest = MANIFEST.assign(path=MANIFEST["path"].where(MANIFEST["usable"], f"cats/{name}"))
    (photo,) = describe(manifest)["shown"]
    assert (photo["path"], photo["file"]) == (f"cats/{name}", shown)
