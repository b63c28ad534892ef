"""The page of a comparison: what it says, that it stands alone, and that it is accessible in Chromium."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from compared_runs import COMPARE, EVALUATE, good, make_answers, make_run
from page_reader import Page
from page_visits import find_violations

from convlens.compare.comparison import FirstResults, compare_runs, encode_thumbnails
from convlens.compare.runs import Files, Snapshot
from convlens.compare.verdict import PairedPredictions
from convlens.pages.comparison import place_dots, render_page

HOSTILE = "<script>alert('x')</script>"


def write_arrays(folder: Path, values: list[int]) -> Files:
    """Photos of one gray value each, in two shards."""
    paths = []
    for number, part in enumerate(np.array_split(np.array(values, np.uint8), 2)):
        paths.append(folder / f"images-{number:05d}.npy")
        np.save(paths[-1], np.ones((len(part), 8, 8, 3), np.uint8) * part[:, None, None, None])
    return Files(test_shards=tuple(paths))


def render(base: Snapshot, head: Snapshot) -> str:
    return render_page(compare_runs([base, head], evaluate=EVALUATE, compare=COMPARE))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Snapshot, Snapshot]:
    """Of 40 photos the run loses twelve and gains two."""
    folder = tmp_path_factory.mktemp("arrays")
    base = make_run("main", good(38, 2), files=write_arrays(folder, list(range(40))))
    predictions = make_answers([index >= 12 for index in range(40)])
    return base, make_run("now", good(28, 12), predictions=predictions, params={"train": {"epochs": 9}})


@pytest.fixture(scope="module")
def text(runs: tuple[Snapshot, Snapshot]) -> str:
    return render(*runs)


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


def test_the_page_needs_no_network_and_is_the_same_every_time(runs: tuple[Snapshot, Snapshot], text: str) -> None:
    page = Page(text)
    assert not re.search(r"https?:|//[a-z]+\.|@import|url\((?!#)", text)
    assert page.all("script") == [{}]  # a few lines for previews
    assert page.all("link") == page.all("iframe") == []
    assert {str(image["src"])[:23] for image in page.all("img")} == {"data:image/jpeg;base64,"}
    assert all(str(link["href"]).startswith("#") for link in page.all("a"))
    assert render(*runs) == text


def test_links_have_targets_and_pictures_have_words(page: Page) -> None:
    names = [str(attributes["id"]) for _, attributes in page.elements if "id" in attributes]
    assert len(names) == len(set(names))
    assert {str(link["href"])[1:] for link in page.all("a")} <= set(names)
    assert all(image["alt"] for image in page.all("img"))
    assert all(figure["role"] == "img" and figure["aria-label"] for figure in page.all("svg"))
    assert len(page.all("h1")) == 1


def test_the_page_says_what_the_text_says(page: Page) -> None:
    for words in (
        "Regression: now is worse than main by 25.0 points of accuracy −25.0 points of accuracy −",
        "12 now wrong 2 now right 0 both wrong 26 both right One mark, one test photo",
        "Parameters: 1 differs Parameter main now train.epochs 3 9",
        "Data: the same 1,234 photos, digest dddddddddddd",
        "accuracy 95.0 % 90.0 % to 100 % 70.0 % 65.0 % to 75.0 % −25.0 points",
        "class cats 20 95.0 % 70.0 % 6 1",
        "Now wrong Right before, wrong now. 12 photos .",
        "✕ dogs 90.0 % before: cats 90.0 % truth: cats p0.png",
        "✓ dogs 90.0 % before: cats 90.0 % p39.png",
        "training time 1 min 35 s 1 min 35 s",
        "filters 96 96",
    ):
        assert words in page.text.replace("photos.", "photos ."), words
    assert re.search(r"25\.0 points of accuracy −\d+\.\d to −\d+\.\d, 95 % interval regression", page.text)
    assert len(page.all("img")) == 14
    assert "None" not in page.text


def test_thumbnails_come_from_the_run_or_else_from_the_base(tmp_path: Path, runs: tuple[Snapshot, Snapshot]) -> None:
    base, head = runs
    changed = compare_runs(runs, evaluate=EVALUATE, compare=COMPARE).detail.changed
    pictures = encode_thumbnails(changed, base, head)
    assert set(pictures) == {f"p{index}.png" for index in (*range(12), 38, 39)}
    (tmp_path / "few").mkdir()
    few = replace(head, files=write_arrays(tmp_path / "few", [200] * 4))  # the run has four of them
    mixed = encode_thumbnails(changed, base, few)
    assert [name for name in pictures if mixed[name] != pictures[name]] == [f"p{index}.png" for index in range(4)]


def test_photos_without_arrays_are_told(runs: tuple[Snapshot, Snapshot]) -> None:
    base, head = runs
    page = Page(render(replace(base, files=Files()), head))
    assert page.all("img") == []
    assert "There are no pictures: the arrays of neither revision are on this disk." in page.text
    assert page.text.count("no picture") == 14 + 1


def test_an_unpaired_page_has_numbers_and_no_photos(runs: tuple[Snapshot, Snapshot]) -> None:
    base, head = runs
    page = Page(render(replace(base, predictions=None), head))
    assert "by 25.0 points of accuracy (unpaired)" in page.text
    assert "The comparison is unpaired, by totals alone" in page.text
    assert page.all("img") == []
    assert "Where they disagree" not in page.text


def test_without_a_verdict_there_is_a_page(runs: tuple[Snapshot, Snapshot]) -> None:
    base, head = runs
    page = Page(render(replace(base, predictions=None, outputs={}), head))
    assert "No verdict on now against main no verdict" in page.text
    assert "accuracy 95.0 %" in page.text


def test_first_results_have_a_page() -> None:
    page = Page(render_page(FirstResults("main", "It has no told.json.", (make_run("now", good(9, 1)),))))
    assert "First results: main has none to compare with" in page.text
    assert "accuracy 90.0 %" in page.text


def test_names_cannot_become_markup() -> None:
    predictions = make_answers(good(10, 0)).assign(path=[f"{HOSTILE}/{index}.png" for index in range(10)])
    names = {"probability_dogs": f"probability_{HOSTILE}"}
    tables = [
        table.rename(columns=names).replace("dogs", HOSTILE) for table in (predictions, make_answers(good(0, 10)))
    ]
    tables[1]["path"] = predictions["path"]
    runs = [
        make_run(name, good(10, 0), predictions=table, photos=None, params={HOSTILE: name})
        for name, table in zip((f"a{HOSTILE}", "b"), tables, strict=True)
    ]
    page = Page(render(*runs))
    assert page.all("script") == [{}]  # the page's own
    assert "alert('x')" in page.text


def test_of_many_photos_a_dot_stands_for_some() -> None:
    base, head = make_run("a", good(2000, 0)), make_run("b", good(1999, 1))
    dots = place_dots(PairedPredictions(base, head))
    assert dots.counts == {"lost": 1, "gained": 0, "neither": 0, "both": 1999}
    assert {kind: len(places) for kind, places in dots.places.items()} == {
        "lost": 1,
        "gained": 0,
        "neither": 0,
        "both": 200,
    }
    assert not dots.one_per_photo
    every = [place for places in dots.places.values() for place in places]
    assert len(set(every)) == 201
    assert max(x for x, _ in every) < dots.num_columns
    assert max(y for _, y in every) == dots.num_rows - 1


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 400)])
def test_the_page_is_accessible_and_fits(browser: Any, tmp_path: Path, text: str, scheme: str, width: int) -> None:
    path = tmp_path / "comparison.html"
    path.write_text(text, encoding="utf-8")
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce")
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.goto(path.as_uri())
    found, wide = find_violations(page), page.evaluate("document.documentElement.scrollWidth")
    page.close()
    assert found == []
    assert wide <= width
    assert [url for url in requests if not url.startswith(("data:", path.as_uri()))] == []


def test_facts_that_the_head_lacks_come_from_the_base(tmp_path: Path) -> None:
    """Slices by brightness: the dark half is lost, the bright half is not."""
    facts = pd.DataFrame({"path": [f"p{index}.png" for index in range(40)], "width": 9, "height": 9, "aspect": 1.0,
                          "brightness": np.repeat([0.1, 0.9], 20), "sharpness": 1.0, "format": "PNG"})  # fmt: skip
    facts.to_parquet(tmp_path / "facts.parquet")
    base = make_run("main", good(40, 0), files=Files(manifest=tmp_path / "facts.parquet"))
    head = make_run("now", good(25, 15), predictions=make_answers([index >= 15 for index in range(40)]))
    groups = compare_runs([base, head], evaluate=EVALUATE, compare=COMPARE).detail.slices
    assert [(group.feature, group.name, group.num_photos, group.word) for group in groups] == [
        ("class", "cats", 20, "worse"),
        ("class", "dogs", 20, "worse"),
        ("brightness", "0.10", 20, "worse"),
        ("brightness", "0.90", 20, "same"),
    ]
    assert [group.test.only_first for group in groups] == [8, 7, 15, 0]
    # McNemar's exact p of n to 0 is 2 / 2 ** n; Holm takes the smallest times 4, the next times 3 …
    assert [group.p_value for group in groups] == pytest.approx([3 * 2 / 2**8, 2 * 2 / 2**7, 4 * 2 / 2**15, 1.0])
