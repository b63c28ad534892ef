"""The report as a whole: what it says, that it stands alone, and what is shown of errors."""

import base64
import re
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
from page_reader import Page
from report_inputs import change_evaluation, make_inputs, paint
from robustness_inputs import make_label_errors

from convlens.models.inference import OperatingPoint
from convlens.pages.photos import MAX_ERRORS, MAX_UNSURE, choose_errors, choose_unsure
from convlens.pages.report import (
    MAX_LABEL_ERRORS,
    ReportInputs,
    choose_label_errors,
    describe_errors,
    photos_needed,
    render_report,
)
from convlens.pages.report_evaluation import describe_headline, describe_operating_point, is_lectures_task, name_task

HOSTILE = "<script>alert('x')</script>"


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
    before = inputs.evaluation.predictions.copy()
    assert render_report(inputs) == text
    pd.testing.assert_frame_equal(inputs.evaluation.predictions, before)


def test_the_page_needs_no_network(text: str, page: Page) -> None:
    assert not re.search(r"https?:|//[a-z]+\.|@import|url\((?!#)", text)
    assert page.all("script") == [{}]  # a few lines for previews that cannot follow links
    assert page.all("link") == page.all("iframe") == []
    images = [str(image["src"]) for image in page.all("img")]
    assert all(source.startswith("data:image/jpeg;base64,") for source in images)
    links = {str(link["href"]) for link in page.all("a")}
    assert {link for link in links if not link.startswith("#")} == {
        "feature_maps.html",
        "validation/data_docs/index.html",
    }


def test_every_link_inside_the_page_has_its_target_and_names_are_unique(page: Page) -> None:
    names = [str(attributes["id"]) for _, attributes in page.elements if "id" in attributes]
    assert len(names) == len(set(names))
    assert {str(link["href"])[1:] for link in page.all("a") if str(link["href"]).startswith("#")} <= set(names)
    labels = {str(attributes["aria-labelledby"]) for _, attributes in page.elements if "aria-labelledby" in attributes}
    assert len(labels) >= 5
    assert labels <= set(names)


def test_every_picture_has_a_text_alternative(page: Page) -> None:
    assert all(image["alt"] for image in page.all("img"))
    assert all(figure["role"] == "img" and figure["aria-label"] for figure in page.all("svg"))
    assert len(page.all("h1")) == 1
    assert page.all("html")[0]["lang"] == "en"


def test_the_sections_tell_headline_data_training_and_evaluation(inputs: ReportInputs, page: Page) -> None:
    share = f"{100 * inputs.evaluation.predictions['correct'].mean():.1f} %"
    for words in (
        f"On 16 photos the network never saw, it is right {share} of the time (95 % interval",
        "Always predicting “cats” would be right 50.0 % of the time.",
        "48 photos found, 47 used. 1 left out",
        "cannot be read the file ends early cats · 0000.jpg",
        "1 of 2 expectations met",
        "no photo twice 2 photos do not data/raw/a.jpg, data/raw/b.jpg",
        "6; weights of epoch 5 kept",
        "971,329",
        "Evaluated on 16 test photos",
        "Misclassified, the most confident first",
        "dvc repro",
    ):
        assert words in page.text, words


def test_every_error_is_shown_with_label_prediction_and_probability(inputs: ReportInputs, page: Page) -> None:
    errors = choose_errors(inputs.evaluation.predictions)
    assert 0 < len(errors) < MAX_ERRORS
    assert errors["confidence"].is_monotonic_decreasing
    for row in errors.to_dict("records"):
        assert f"✕ {row['predicted']} {100 * row['confidence']:.1f} % label: {row['label']}" in page.text


def test_the_confidence_is_that_of_the_predicted_class(inputs: ReportInputs) -> None:
    """With a threshold of its own the predicted class need not be the most probable one."""
    row = {"path": "a.jpg", "label": "dogs", "predicted": "cats", "correct": False,
           "probability_cats": 0.4, "probability_dogs": 0.6}  # fmt: skip
    assert choose_errors(pd.DataFrame([row]))["confidence"].tolist() == [0.4]


def test_the_least_confident_predictions_come_first(inputs: ReportInputs) -> None:
    unsure = choose_unsure(inputs.evaluation.predictions)
    assert len(unsure) == MAX_UNSURE
    assert unsure["confidence"].is_monotonic_increasing


def test_the_thumbnails_asked_for_are_the_ones_shown(inputs: ReportInputs, text: str) -> None:
    wanted = photos_needed(inputs)
    assert len(wanted) == len(set(wanted))
    assert set(choose_errors(inputs.evaluation.predictions)["path"]) <= set(wanted)
    assert "data/raw/cats/0000.jpg" not in wanted  # it does not decode
    for path in wanted:
        assert base64.b64encode(paint(path)).decode() in text


def test_a_missing_thumbnail_leaves_a_place(inputs: ReportInputs) -> None:
    page = Page(render_report(replace(inputs, thumbnails={})))
    assert [image["src"] for image in page.all("img")] == []
    assert "no picture" in page.text


def test_a_photo_on_the_feature_map_page_is_linked_by_its_number(inputs: ReportInputs, text: str) -> None:
    predictions = inputs.evaluation.predictions
    path = choose_errors(predictions)["path"].iloc[0]
    linked = render_report(replace(inputs, shown_photos={path: 3}))
    places = 1 + (path in set(choose_unsure(predictions)["path"]))
    assert linked.count('href="feature_maps.html#photo=3"') == places
    assert "#photo=" not in text


def test_labels_to_check_come_with_the_worst_first_and_are_no_errors_shown_anyway(inputs: ReportInputs) -> None:
    predictions = inputs.evaluation.predictions
    judged, none = make_label_errors(predictions.iloc[::-1], 5), predictions[:0]
    assert list(choose_label_errors(judged, none)["path"]) == list(predictions["path"].iloc[:-6:-1])
    assert list(choose_label_errors(judged, predictions[-2:])["path"]) == list(predictions["path"].iloc[-3:-6:-1])
    found = describe_errors(predictions, judged, {})
    errors = {photo["path"] for photo in found["errors"]}
    assert (found["num_judged"], found["num_label_errors"]) == (16, 5)
    assert not errors & {photo["path"] for photo in found["label_errors"]}
    many = make_label_errors(pd.concat([predictions] * 3), 48)
    assert len(choose_label_errors(many, none)) == MAX_LABEL_ERRORS


def test_the_page_tells_of_labels_to_check_and_asks_for_their_pictures(inputs: ReportInputs, text: str) -> None:
    predictions = inputs.evaluation.predictions
    judged = replace(inputs, label_errors=make_label_errors(predictions, 2))
    assert set(predictions["path"][:2]) <= set(photos_needed(judged))
    found = render_report(judged)
    assert "2 of 16 photos judged" in found
    assert "label_errors.folds" in found
    assert "label_errors.folds" not in render_report(
        replace(inputs, label_errors=make_label_errors(predictions, 2, "train"))
    )
    none = render_report(replace(inputs, label_errors=make_label_errors(predictions, 0)))
    assert "None of 16 photos judged" in none
    weak = render_report(replace(inputs, label_errors=make_label_errors(predictions, 0, note="They classify 65 %.")))
    assert "too weak. They classify 65 %." in weak
    assert "judged by" not in weak
    assert "Labels to check first" not in text


def test_no_page_tells_where_the_photos_lay() -> None:
    assert "/home/eve" not in render_report(make_inputs(source="/home/eve/photos"))


def test_a_missed_target_is_marked(inputs: ReportInputs) -> None:
    def describe(reached: float, low: float) -> tuple[bool, str]:
        ends = {"error_when_sure_low": low, "error_when_sure_high": 0.2, "num_unsure": 3}
        metrics = {**inputs.evaluation.metrics, **ends, "error_when_sure": reached}
        told = describe_operating_point(
            change_evaluation(inputs, metrics=metrics).evaluation, OperatingPoint(max_error=0.05)
        )
        return told["missed"], told["abstention"]

    assert describe(0.03, 0.01)[0] is False
    missed, words = describe(0.068, 0.045)
    assert missed
    assert words.replace("\xa0", " ").endswith(
        "The target of 5.0 % is missed, within chance of it: do not count on it."
    )
    assert "by more than chance" in describe(0.12, 0.06)[1]


def test_names_cannot_become_markup() -> None:
    page = Page(render_report(make_inputs((HOSTILE, 'a"b & c'), source=f"{HOSTILE}/photos")))
    assert page.all("script") == [{}]  # the page's own
    assert "alert('x')" in page.text


def test_many_classes_fit() -> None:
    page = Page(render_report(make_inputs([f"class {index:02d}" for index in range(14)], per_class=12)))
    assert "Which of 14 classes?" in page.text
    assert "As a table" not in page.text


def test_a_perfect_network_gets_no_gallery_of_errors() -> None:
    page = Page(render_report(make_inputs(skill=20)))
    assert "right 100 % of the time" in page.text
    assert "None on 16 photos. That is no promise" in page.text
    assert "nan" not in page.text.lower().split()


def test_numbers_that_are_undefined_are_said_to_be(inputs: ReportInputs) -> None:
    metrics = {**inputs.evaluation.metrics, "roc_auc": None, "roc_auc_low": None, "roc_auc_high": None}
    scores = inputs.evaluation.class_scores.copy()
    scores.loc[1, ["precision", "precision_low", "precision_high"]] = float("nan")
    roc = inputs.evaluation.roc.iloc[:0]
    page = Page(render_report(change_evaluation(inputs, metrics=metrics, class_scores=scores, roc=roc)))
    assert "ROC AUC undefined no interval" in page.text
    assert "None" not in page.text.replace("None had", "")


@pytest.mark.parametrize(
    ("classes", "title"),
    [(["cats", "dogs"], "Cats or dogs?"), (["a", "b", "c"], "A, b or c?"), (list("abcdefg"), "Which of 7 classes?")],
)
def test_the_title_is_the_question(classes: list[str], title: str) -> None:
    assert name_task(classes) == title


def test_the_lecture_is_named_only_where_it_compares() -> None:
    assert is_lectures_task(["cats", "dogs"], "../photos/cats-vs-dogs")
    assert not is_lectures_task(["cats", "dogs"], "data/cards/synthetic.yaml")
    assert not is_lectures_task(["ants", "bees"], "photos")


@pytest.mark.parametrize(("num_photos", "num_wrong", "dots"), [(180, 4, (176, 4)), (2000, 1, (199, 1)), (3, 3, (0, 3))])
def test_there_is_a_dot_for_every_photo_or_half_percent(
    inputs: ReportInputs, num_photos: int, num_wrong: int, dots: tuple[int, int]
) -> None:
    counts = {"class": ["a", "b"], "num_photos": [num_photos, 0], "num_correct": [num_photos - num_wrong, 0]}
    metrics: dict[str, Any] = {"num_photos": num_photos, "accuracy": 1 - num_wrong / num_photos}
    evaluation = replace(inputs.evaluation, metrics=metrics, class_scores=pd.DataFrame(counts))
    card = {"num_parameters": 1, "architecture": "dense"}
    found = describe_headline(evaluation, card, {"classes": ["a", "b"]})["dots"]
    assert (len(found["correct"]), len(found["wrong"])) == dots
