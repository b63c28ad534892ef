import html
import json
import re
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

import pandas as pd
import pytest
from photo_files import import_expectations, make_group

from convlens.data.expectations import build_rules, count_classes
from convlens.params import Expectation, ValidateParams

expectations = import_expectations()
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:great_expectations")


def make_manifest(num_photos: int = 20) -> pd.DataFrame:
    """A list of photos that meets every expectation."""
    rows = [
        {
            "path": f"photos/{label}/{index:02d}.jpg",
            "label": label,
            "sha256": f"{label}{index}",
            "format": "JPEG",
            "width": 60,
            "height": 50,
            "decodes": True,
            "usable": True,
            "cause": "",
            "brightness": 0.5,
            "sharpness": 500.0,
        }
        for label in ("cats", "dogs")
        for index in range(num_photos // 2)
    ]
    return pd.DataFrame(rows)


def limits(**changes: Any) -> ValidateParams:
    group: ValidateParams = make_group("validate", **{"min_photos_per_class": 3, **changes})
    return group


def judge(manifest: pd.DataFrame, folder: Path, **changes: Any) -> dict[str, Any]:
    verdicts = expectations.check_photos(manifest, limits(**changes), docs=folder)
    return {verdict.name: verdict for verdict in verdicts}


def spoil(column: str, value: Any, count: int) -> Callable[[pd.DataFrame], None]:
    def change(manifest: pd.DataFrame) -> None:
        manifest.loc[: count - 1, column] = value

    return change


def break_photos(count: int) -> Callable[[pd.DataFrame], None]:
    def change(manifest: pd.DataFrame) -> None:
        manifest.loc[: count - 1, ["decodes", "usable"]] = False
        manifest.loc[: count - 1, ["width", "height", "brightness", "sharpness"]] = 0
        manifest.loc[: count - 1, "format"] = ""

    return change


def nothing(_: pd.DataFrame) -> None:
    pass


def test_good_photos_meet_everything(tmp_path: Path) -> None:
    verdicts = judge(make_manifest(), tmp_path)
    assert set(verdicts) == set(get_args(Expectation))
    assert all(verdict.success and verdict.worst == () for verdict in verdicts.values())
    assert {verdict.observed for verdict in verdicts.values()} == {"all 20 photos meet it", "all 2 classes meet it"}


CRITICAL = [
    ("unreadable", break_photos(2), {}, "2 of 20 photos do not", "photos/cats/00.jpg"),
    ("quarantined", spoil("usable", False, 5), {}, "5 of 20 photos do not", "photos/cats/00.jpg"),
    ("photos_per_class", spoil("usable", False, 3), {"min_photos_per_class": 8}, "1 of 2 classes", "cats"),
    ("unique_paths", spoil("path", "photos/cats/00.jpg", 2), {}, "2 of 20 photos do not", "photos/cats/00.jpg"),
]  # fmt: skip


@pytest.mark.parametrize(("parameter", "change", "changes", "observed", "worst"), CRITICAL)
def test_each_critical_expectation_fails_alone(
    parameter: str, change: Callable, changes: dict, observed: str, worst: str, tmp_path: Path
) -> None:
    manifest = make_manifest()
    change(manifest)
    verdicts = judge(manifest, tmp_path, **changes)
    assert [name for name, verdict in verdicts.items() if not verdict.success] == [parameter]
    verdict = verdicts[parameter]
    assert (verdict.severity, verdict.worst[0]) == ("critical", worst)
    assert verdict.observed.startswith(observed)


def test_every_warning_names_its_photos(tmp_path: Path) -> None:
    manifest = make_manifest()
    manifest.loc[0, "format"] = "PPM"
    manifest.loc[1, "height"] = 20
    manifest.loc[2, "width"] = 500
    manifest.loc[3:5, "brightness"] = 0.01
    manifest.loc[6:7, "cause"] = "duplicate"
    manifest.loc[8:9, "cause"] = "two_labels"
    manifest.loc[4:5, "sharpness"] = [0.3, 0.2]
    manifest.loc[:3, "usable"] = False
    verdicts = judge(
        manifest,
        tmp_path,
        max_class_ratio=1.5,
        max_quarantined_fraction=0.5,
        max_duplicated_fraction=0.05,
        max_blurred_fraction=0.05,
    )
    failed = {name: verdict for name, verdict in verdicts.items() if not verdict.success}
    assert {verdict.severity for verdict in failed.values()} == {"warning"}
    assert {name: (verdict.observed, verdict.worst) for name, verdict in failed.items()} == {
        "class_balance": ("1 of 2 classes do not", ("cats",)),
        "formats": ("1 of 20 photos do not (5.0%)", ("photos/cats/00.jpg",)),
        "min_side": ("1 of 20 photos do not (5.0%)", ("photos/cats/01.jpg",)),
        "aspect": ("1 of 20 photos do not (5.0%)", ("photos/cats/02.jpg",)),
        "dark": ("3 of 20 photos do not (15.0%)", tuple(f"photos/cats/0{row}.jpg" for row in (3, 4, 5))),
        "blurred": ("2 of 20 photos do not (10.0%)", ("photos/cats/05.jpg", "photos/cats/04.jpg")),
        "duplicated": ("2 of 20 photos do not (10.0%)", ("photos/cats/06.jpg", "photos/cats/07.jpg")),
        "two_labels": ("2 of 20 photos do not (10.0%)", ("photos/cats/08.jpg", "photos/cats/09.jpg")),
    }


def test_shares_are_allowed_up_to_their_limit(tmp_path: Path) -> None:
    for index, (count, fraction) in enumerate([(7, 0.35), (9, 0.45), (0, 0.0)]):
        (tmp_path / str(index)).mkdir()
        manifest = make_manifest()
        spoil("usable", False, count)(manifest)
        verdict = judge(manifest, tmp_path / str(index), max_quarantined_fraction=fraction)
        assert verdict["quarantined"].success, (count, fraction)


def test_every_photo_may_be_broken(tmp_path: Path) -> None:
    manifest = make_manifest()
    break_photos(20)(manifest)
    failed = {name for name, verdict in judge(manifest, tmp_path).items() if not verdict.success}
    assert failed == {"unreadable", "quarantined", "photos_per_class"}


def test_at_most_five_examples_are_named(tmp_path: Path) -> None:
    manifest = make_manifest()
    spoil("brightness", 0.0, 12)(manifest)
    verdict = judge(manifest, tmp_path)["dark"]
    assert verdict.worst == tuple(f"photos/cats/{index:02d}.jpg" for index in range(5))


def test_verdicts_are_plain_values(tmp_path: Path) -> None:
    manifest = make_manifest()
    break_photos(9)(manifest)
    for verdict in judge(manifest, tmp_path).values():
        json.dumps(asdict(verdict), allow_nan=False)


def test_classes_are_counted() -> None:
    manifest = make_manifest()
    spoil("usable", False, 5)(manifest)
    assert count_classes(manifest).to_dict("list") == {
        "path": ["cats", "dogs"],
        "num_usable": [5, 10],
        "times_smaller": [2.0, 1.0],
    }


def read_tree(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def test_data_docs_are_the_same_twice_and_hold_the_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = [
        "photos/cats/Screenshot 2024-05-01 12:30:00.jpg",
        "photos/cats/1b4e28ba-2fa1-41d2-883f-0016d3cca427.jpg",
        "photos/cats/20240501T123000.000000Z.jpg",
    ]
    manifest = make_manifest()
    manifest.loc[:2, "path"] = names
    spoil("width", 5000, 3)(manifest)
    sites = []
    for folder in ("first", "second/deeper"):
        (tmp_path / folder).mkdir(parents=True)
        judge(manifest, Path(folder))
        sites.append(read_tree(tmp_path / folder))
    assert sites[0] == sites[1]
    assert "index.html" in sites[0]
    text = b"\n".join(content for name, content in sites[0].items() if name.endswith(".html")).decode()
    assert all(name in text for name in names)
    assert str(tmp_path) not in text
    rest = text
    for name in names:
        rest = rest.replace(name, "")
    assert not re.search(r"20\d\d-\d\d-\d\d[T ]\d\d:\d\d", rest)
    assert not [name for name in sites[0] if name.endswith(".gif")]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first", "second"]


def test_names_cannot_bring_scripts_into_the_pages(tmp_path: Path) -> None:
    manifest = make_manifest()
    names = (
        "photos/cats/<script>alert(1)</script>.jpg",
        "photos/cats/$a ${b} $$ {c} %s & \"d\" 'e'.jpg",
        "photos/\n.jpg",
    )
    manifest.loc[:2, "path"] = names
    manifest["label"] = manifest["label"].replace("cats", "<b>cats</b>")
    spoil("width", 5000, 3)(manifest)
    verdicts = judge(manifest, tmp_path, min_photos_per_class=100)
    assert verdicts["aspect"].worst == names
    assert verdicts["photos_per_class"].worst == ("<b>cats</b>", "dogs")
    pages = "".join(path.read_text(encoding="utf-8") for path in tmp_path.rglob("*.html"))
    assert "<script>alert(1)</script>" not in pages
    assert "<b>cats</b>" not in pages
    assert all(html.escape(name) in pages for name in names)


def test_severity_is_a_parameter(tmp_path: Path) -> None:
    manifest = make_manifest()
    for index, critical in enumerate([(), ("dark", "two_labels"), get_args(Expectation)]):
        (tmp_path / str(index)).mkdir()
        verdicts = judge(manifest, tmp_path / str(index), critical=critical)
        assert {name for name, verdict in verdicts.items() if verdict.severity == "critical"} == set(critical)


def test_every_rule_says_what_to_change() -> None:
    rules = build_rules(limits())
    assert [rule.name for rule in rules if not (rule.title and rule.expected)] == []
    fields = {f"validate.{name}" for name in ValidateParams.model_fields}
    assert {rule.parameter for rule in rules} <= fields | {"data.source"}


def test_data_docs_load_nothing_from_outside_and_run_nothing(tmp_path: Path) -> None:
    manifest = make_manifest()
    spoil("width", 5000, 3)(manifest)
    judge(manifest, tmp_path)
    pages = {path.relative_to(tmp_path).as_posix(): path.read_text(encoding="utf-8") for path in tmp_path.rglob("*.*")}
    assert set(pages) == {
        "index.html",
        *(f"expectations/{name}.html" for name in ("photos", "classes")),
        *(f"validations/{name}/validation/latest/{name}-{name}.html" for name in ("photos", "classes")),
    }
    for name, page in pages.items():
        assert not re.search(
            r"https?:|src=|//[a-z]+\.|@import|url\(|<script|<link|<img|<iframe|javascript:| on\w+=", page
        ), name
        assert page.count("<style>") == 1
        for target in re.findall(r'href="([^"#]+)"', page):
            assert (tmp_path / name).parent.joinpath(target).resolve().is_file(), (name, target)
    assert "not all is as expected" in pages["index.html"]
    assert "photos/cats/00.jpg" in pages["validations/photos/validation/latest/photos-photos.html"]
