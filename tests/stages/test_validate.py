import csv
import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from photo_files import encode, import_expectations, make_group, noise_photo, write_classes, write_photo
from PIL import Image

from convlens.data.sources import describe_photos, list_folder
from convlens.errors import ConvLensError
from convlens.files import write_parquet

import_expectations()
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from convlens.data.validation import CAUSES, Validation, Verdict, load_result
    from convlens.stages.validate import tabulate_verdicts, validate

FOLDERS = {"manifest": Path("data/manifest"), "report": Path("reports/validation")}
MANIFEST = Path("data/manifest/manifest.parquet")
RESULT = Path("reports/validation/result.json")
DOCS = Path("reports/validation/data_docs")


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(**changes: Any) -> dict[str, Any]:
    write_parquet(Path("data/photos.parquet"), describe_photos(list_folder(Path("pets")), {}))
    limits = make_group("validate", **{"min_photos_per_class": 2, **changes})
    validate(photos=Path("data/photos.parquet"), **FOLDERS, validate=limits)
    result: dict[str, Any] = json.loads(RESULT.read_text(encoding="utf-8"))
    return result


def read_quarantine() -> list[list[str]]:
    with Path("reports/validation/quarantine.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def tree(folder: str) -> dict[str, bytes]:
    return {path.as_posix(): path.read_bytes() for path in sorted(Path(folder).rglob("*")) if path.is_file()}


def make_dirty(num_good: int = 8) -> None:
    write_classes(Path("pets"), {"cats": num_good, "dogs": num_good})
    whole = encode(noise_photo("x", (200, 150)), "JPEG")
    write_photo(Path("pets/cats/cut.jpg"), whole[: len(whole) // 2])
    write_photo(Path("pets/dogs/small, very.png"), Image.new("RGB", (20, 90), (90, 90, 90)))


def test_good_photos_give_a_manifest_and_a_report(capsys: pytest.CaptureFixture[str]) -> None:
    write_classes(Path("pets"), {"cats": 3, "dogs": 3})
    result = run()
    assert (result["success"], result["num_photos"], result["num_usable"], result["num_warnings"]) == (True, 6, 6, 0)
    assert {tuple(entry) for entry in result["expectations"]} == {
        ("name", "expectation", "severity", "success", "observed", "expected", "parameter", "worst")
    }
    assert read_quarantine() == [["path", "label", "cause", "reason"]]
    assert (DOCS / "index.html").is_file()
    table = pd.read_parquet(MANIFEST)
    assert table["usable"].all()
    assert (table["width"] == 40).all()
    assert "validate: 6 usable photos; 12 of 12 expectations met." in capsys.readouterr().err


def test_broken_photos_are_quarantined_and_left_on_disk(capsys: pytest.CaptureFixture[str]) -> None:
    make_dirty()
    before = tree("pets")
    result = run(max_unreadable_fraction=0.1)
    assert (result["success"], result["num_photos"], result["num_usable"]) == (True, 18, 16)
    rows = read_quarantine()
    assert [row[:3] for row in rows] == [
        ["path", "label", "cause"],
        ["pets/cats/cut.jpg", "cats", "unreadable"],
        ["pets/dogs/small, very.png", "dogs", "too_small"],
    ]
    assert rows[1][3].startswith("cannot be decoded: image file is truncated")
    assert rows[2][3] == "20x90 pixels, below validate.min_side = 32"
    assert result["quarantine"] == {**dict.fromkeys(CAUSES, 0), "unreadable": 1, "too_small": 1}
    assert tree("pets") == before
    told = capsys.readouterr().err
    assert "2 of 18 photos are left out; reports/validation/quarantine.csv lists them." in told
    assert "  min_side     1 of 18 photos do not (5.6%)  at least 32 pixels  validate.min_side\n" in told


def test_two_runs_give_the_same_bytes() -> None:
    make_dirty()
    run(max_unreadable_fraction=0.1)
    first = tree("reports") | tree("data")
    os.utime("pets/cats/000.png", (0, 0))
    run(max_unreadable_fraction=0.1)
    assert tree("reports") | tree("data") == first
    text = RESULT.read_text(encoding="utf-8")
    assert str(Path.cwd()) not in text


CRITICAL = [
    ({"max_unreadable_fraction": 0.05, "max_quarantined_fraction": 0.5}, "cut.jpg", "validate.max_unreadable_fraction"),
    ({"max_unreadable_fraction": 0.5, "max_quarantined_fraction": 0.1}, "cut.jpg", "validate.max_quarantined_fraction"),
    ({"max_unreadable_fraction": 0.5, "min_photos_per_class": 9}, "cats, dogs", "validate.min_photos_per_class"),
]


@pytest.mark.parametrize(("changes", "example", "parameter"), CRITICAL)
def test_a_critical_failure_stops_with_files_and_parameter(changes: dict, example: str, parameter: str) -> None:
    make_dirty()
    with pytest.raises(ConvLensError, match=r"^the photos do not meet what is expected\.") as caught:
        run(**changes)
    _, head, row, *files, last = str(caught.value).split("\n")
    assert head.split() == ["expectation", "observed", "expected", "change"]
    assert "2 of 2 classes do not" in row or "of 18 photos do not" in row
    assert row.endswith(f"  {parameter}")
    assert [name for name in example.split(", ") if not any(line.endswith(name) for line in files)] == []
    assert last.startswith("reports/validation/quarantine.csv lists what is left out")
    result = load_result(FOLDERS["report"])
    assert result["success"] is False
    assert [
        entry["parameter"]
        for entry in result["expectations"]
        if entry["severity"] == "critical" and not entry["success"]
    ] == [parameter]
    assert len(read_quarantine()) == 3
    assert (DOCS / "index.html").is_file()
    assert not MANIFEST.exists()


def test_a_class_without_a_usable_photo_stops() -> None:
    write_classes(Path("pets"), {"cats": 30})
    write_photo(Path("pets/dogs/1.jpg"), b"no photo")
    with pytest.raises(
        ConvLensError,
        match=r"photos_per_class +1 of 2 classes do not +at least 1 +validate\.min_photos_per_class\n +dogs",
    ):
        run(min_photos_per_class=1)


def test_a_critical_failure_leaves_no_earlier_manifest_to_go_on_with() -> None:
    write_classes(Path("pets"), {"cats": 3, "dogs": 3})
    run()
    with pytest.raises(ConvLensError):
        run(min_photos_per_class=4)
    assert not MANIFEST.exists()


def test_warnings_only_warn(capsys: pytest.CaptureFixture[str]) -> None:
    write_classes(Path("pets"), {"cats": 3, "dogs": 3})
    same = encode(Image.new("RGB", (300, 40)))
    for name in ("cats/black.png", "dogs/black.png"):
        write_photo(Path("pets") / name, same)
    result = run(max_quarantined_fraction=0.5)
    assert result["success"] is True
    failed = {entry["name"]: entry for entry in result["expectations"] if not entry["success"]}
    assert set(failed) == {"aspect", "dark", "blurred", "two_labels"}
    assert {entry["severity"] for entry in failed.values()} == {"warning"}
    assert result["num_warnings"] == 4
    assert failed["two_labels"]["worst"] == ["pets/cats/black.png", "pets/dogs/black.png"]
    told = capsys.readouterr().err
    lines = told.split("training goes on.\n")[1].splitlines()
    assert {line.split()[0] for line in lines if line.startswith("  ")} == {
        *("expectation", "aspect", "dark", "blurred", "two_labels"),
        *("pets/cats/black.png", "pets/dogs/black.png"),
    }
    assert MANIFEST.is_file()


@pytest.mark.parametrize("happen", [lambda photo: photo.write_bytes(b"another"), Path.unlink])
def test_a_photo_that_is_another_since_ingest_is_refused(happen: Callable[[Path], object]) -> None:
    write_classes(Path("pets"), {"cats": 3, "dogs": 3})
    run()
    before = tree("data/manifest") | tree("reports")
    happen(Path("pets/cats/000.png"))
    limits = make_group("validate", min_photos_per_class=2)
    with pytest.raises(ConvLensError, match=r"as `ingest` saw them\. Received: 1 .* for example pets/cats/000\.png\."):
        validate(photos=Path("data/photos.parquet"), **FOLDERS, validate=limits)
    assert tree("data/manifest") | tree("reports") == before


def test_a_missing_list_is_told() -> None:
    with pytest.raises(ConvLensError, match=r"Expected the table data/photos\.parquet of an earlier stage"):
        validate(photos=Path("data/photos.parquet"), **FOLDERS, validate=make_group("validate"))
    assert not DOCS.exists()


def test_a_warning_becomes_a_stop_where_it_is_asked_to() -> None:
    write_classes(Path("pets"), {"cats": 3, "dogs": 3})
    write_photo(Path("pets/cats/wide.png"), noise_photo("wide", (300, 40)))
    assert run()["success"] is True
    with pytest.raises(ConvLensError, match=r"aspect +1 of 7 photos do not"):
        run(critical=("aspect",))
    assert not MANIFEST.exists()


def test_copies_and_later_frames_are_left_out_and_listed() -> None:
    write_classes(Path("pets"), {"cats": 8, "dogs": 8})
    for name in ("cats/a copy.png", "cats/z copy.png"):
        write_photo(Path("pets") / name, Path("pets/cats/003.png").read_bytes())
    write_photo(Path("pets/cats/wrong.png"), Path("pets/dogs/005.png").read_bytes())
    frames = [noise_photo(str(index)) for index in range(3)]
    write_photo(Path("pets/dogs/moving.gif"), frames[0], "GIF", save_all=True, append_images=frames[1:])
    result = run(max_quarantined_fraction=0.5)
    assert (result["num_photos"], result["num_usable"]) == (20, 16)
    assert read_quarantine()[1:] == [
        ["pets/cats/a copy.png", "cats", "duplicate", "the same bytes as pets/cats/003.png"],
        ["pets/cats/wrong.png", "cats", "two_labels", "the same bytes under the labels cats, dogs"],
        ["pets/cats/z copy.png", "cats", "duplicate", "the same bytes as pets/cats/003.png"],
        ["pets/dogs/005.png", "dogs", "two_labels", "the same bytes under the labels cats, dogs"],
        ["pets/dogs/moving.gif", "dogs", "later_frames", "3 pictures in the file; the first is used, 2 left out"],
    ]
    gallery = Validation.load(**FOLDERS).gallery
    assert list(zip(gallery["path"], gallery["flag"], strict=True)) == [
        ("pets/cats/003.png", "copied"),
        ("pets/cats/wrong.png", "copied"),
        ("pets/dogs/moving.gif", "later_frames"),
    ]


def test_classes_may_be_called_like_numbers_or_nothing() -> None:
    write_classes(Path("pets"), {"0": 3, "007": 3, "NA": 3})
    write_photo(Path("pets/007/broken.jpg"), b"no photo")
    write_photo(Path("pets/NA/broken.jpg"), b"no photo")
    run(max_unreadable_fraction=0.5, max_quarantined_fraction=0.5)
    found = Validation.load(**FOLDERS)
    assert sorted(set(found.manifest["label"])) == ["0", "007", "NA"]
    assert found.quarantine["label"].tolist() == ["007", "NA"]
    assert found.result["quarantine"]["unreadable"] == 2


def test_names_cannot_command_the_terminal() -> None:
    worst = ("a\n\x1b[31mb.jpg", "große Katze 猫.jpg", "c", "d")
    verdict = Verdict("dark", "not dark", "warning", False, "1 of 2 photos do not", "none", "validate.dark", worst)
    assert tabulate_verdicts([verdict]).splitlines() == [
        "  expectation  observed              expected  change",
        "  dark         1 of 2 photos do not  none      validate.dark",
        "      a\\n\\x1b[31mb.jpg",
        "      große Katze 猫.jpg",
        "      c",
    ]
