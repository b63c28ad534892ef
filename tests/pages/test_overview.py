import base64
import re
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
from overview_inputs import make_inputs, paint
from page_reader import Page

from convlens.pages.photos import MAX_ERRORS, MAX_UNSURE, add_confidence, choose_errors, choose_unsure
from convlens.pages.report import ReportInputs, photos_needed, render_report
from convlens.pages.report_evaluation import describe_glance, is_lectures_task, name_task

HOSTILE = "<script>alert('x')</script>"

SPEED = "training/speed.png"


@pytest.fixture(scope="module")
def inputs() -> ReportInputs:
    return make_inputs()


@pytest.fixture(scope="module")
def text(inputs: ReportInputs) -> str:
    return render_report(inputs)


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


def test_the_same_inputs_give_the_same_bytes_and_stay_as_they_are(inputs: ReportInputs, text: str) -> None:
    before = inputs.predictions.copy()
    assert render_report(inputs) == text
    pd.testing.assert_frame_equal(inputs.predictions, before)


def test_the_page_needs_no_network(text: str, page: Page) -> None:
    assert not re.search(r"https?:|//[a-z]+\.|@import|url\((?!#)", text)
    assert page.all("script") == page.all("link") == page.all("iframe") == []
    images = [str(image["src"]) for image in page.all("img")]
    assert images.count(SPEED) == 1  # measured, so it differs from run to run and stays a file beside the page
    assert all(source.startswith("data:image/jpeg;base64,") for source in images if source != SPEED)
    links = {str(link["href"]) for link in page.all("a")}
    assert {link for link in links if not link.startswith("#")} == {
        "feature_maps.html",
        "validation/data_docs/index.html",
    }


def test_every_link_inside_the_page_has_its_target_and_names_are_unique(page: Page) -> None:
    names = [str(attributes["id"]) for _, attributes in page.elements if "id" in attributes]
    assert len(names) == len(set(names))
    assert {str(link["href"])[1:] for link in page.all("a") if str(link["href"]).startswith("#")} <= set(names)


def test_every_picture_has_a_text_alternative(page: Page) -> None:
    assert all(image["alt"] for image in page.all("img"))
    assert all(figure["role"] == "img" and figure["aria-label"] for figure in page.all("svg"))
    assert len(page.all("h1")) == 1
    assert page.all("html")[0]["lang"] == "en"


def test_the_first_sentence_says_what_the_network_is_worth(inputs: ReportInputs, page: Page) -> None:
    right = inputs.predictions["correct"].sum()
    assert inputs.metrics["num_photos"] == 16
    share = f"{100 * right / 16:.1f} %"
    assert f"On 16 photos the network never saw, it is right {share} of the time (95 % interval" in page.text
    assert "Always answering “cats” would be right 50.0 % of the time." in page.text


def test_the_sections_tell_data_training_and_evaluation(page: Page) -> None:
    for words in (
        "48 photos found, 47 used. 1 left out",
        "cannot be read the file ends early cats · 0000.jpg",
        "1 of 2 expectations met",
        "no photo twice 2 photos do not data/raw/a.jpg, data/raw/b.jpg",
        "6; weights of epoch 5 kept",
        "971,329",
        "Mistakes, the most confident first",
        "dvc repro",
    ):
        assert words in page.text


def test_every_mistake_is_shown_with_truth_answer_and_probability(inputs: ReportInputs, page: Page) -> None:
    mistakes = choose_errors(inputs.predictions)
    assert 0 < len(mistakes) < MAX_ERRORS
    assert mistakes["confidence"].is_monotonic_decreasing
    for row in mistakes.to_dict("records"):
        words = f"✕ {row['predicted']} {100 * row['confidence']:.1f} % truth: {row['label']}"
        assert words in page.text


def test_the_thumbnails_asked_for_are_the_ones_shown(inputs: ReportInputs, text: str) -> None:
    wanted = photos_needed(inputs.predictions, inputs.manifest)
    assert len(wanted) == len(set(wanted))
    assert set(choose_errors(inputs.predictions)["path"]) <= set(wanted)
    assert "data/raw/cats/0000.jpg" not in wanted  # it does not decode
    for path in wanted:
        assert base64.b64encode(paint(path)).decode() in text


def test_a_missing_thumbnail_leaves_a_place(inputs: ReportInputs) -> None:
    page = Page(render_report(replace(inputs, thumbnails={})))
    assert [image["src"] for image in page.all("img")] == [SPEED]
    assert "no picture" in page.text


def test_names_cannot_become_markup() -> None:
    page = Page(render_report(make_inputs((HOSTILE, 'a"b & c'), source=f"{HOSTILE}/photos")))
    assert page.all("script") == []
    assert "alert('x')" in page.text


def test_many_classes_fit() -> None:
    page = Page(render_report(make_inputs([f"class {index:02d}" for index in range(14)], per_class=12)))
    assert "Which of 14 classes?" in page.text
    assert "As a table" not in page.text


def test_a_perfect_network_gets_no_gallery_of_mistakes() -> None:
    page = Page(render_report(make_inputs(skill=20)))
    assert "right 100 % of the time" in page.text
    assert "None on 16 photos. That is no promise" in page.text
    assert "nan" not in page.text.lower().split()


def test_numbers_that_are_undefined_are_said_to_be(inputs: ReportInputs) -> None:
    metrics = {**inputs.metrics, "roc_auc": None, "roc_auc_low": None, "roc_auc_high": None}
    scores = inputs.class_scores.astype(object)
    scores.loc[1, ["precision", "precision_low", "precision_high"]] = ["", "", ""]
    page = Page(render_report(replace(inputs, metrics=metrics, class_scores=scores, roc=inputs.roc.iloc[:0])))
    assert "ROC AUC undefined no interval" in page.text
    assert "None" not in page.text.replace("None had", "")


@pytest.mark.parametrize(
    ("classes", "title"),
    [
        (["cats", "dogs"], "Cats or dogs?"),
        (["a", "b", "c"], "A, b or c?"),
        (list("abcdefg"), "Which of 7 classes?"),
    ],
)
def test_the_title_is_the_question(classes: list[str], title: str) -> None:
    assert name_task(classes) == title


def test_the_lecture_is_named_only_where_it_compares() -> None:
    assert is_lectures_task(["cats", "dogs"], "../photos/cats-vs-dogs")
    assert not is_lectures_task(["cats", "dogs"], "data/cards/synthetic.yaml")
    assert not is_lectures_task(["ants", "bees"], "photos")


@pytest.mark.parametrize(("num_photos", "num_wrong", "dots"), [(180, 4, (176, 4)), (2000, 1, (199, 1)), (3, 3, (0, 3))])
def test_there_is_a_dot_for_every_photo_or_half_percent(num_photos: int, num_wrong: int, dots: tuple[int, int]) -> None:
    scores = pd.DataFrame(
        {"class": ["a", "b"], "num_photos": [num_photos, 0], "num_correct": [num_photos - num_wrong, 0]}
    )
    metrics: dict[str, Any] = {"num_photos": num_photos, "accuracy": 1 - num_wrong / num_photos}
    card = {"num_parameters": 1, "architecture": "dense"}
    found = describe_glance(metrics, card, {"classes": ["a", "b"]}, scores)["dots"]
    assert (len(found["right"]), len(found["wrong"])) == dots


def test_the_least_confident_answers_come_first(inputs: ReportInputs) -> None:
    unsure = choose_unsure(inputs.predictions)
    assert len(unsure) == MAX_UNSURE
    assert unsure["confidence"].is_monotonic_increasing
    assert unsure["confidence"].max() <= add_confidence(inputs.predictions)["confidence"].nsmallest(MAX_UNSURE).max()
