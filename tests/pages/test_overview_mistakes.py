from dataclasses import replace

import pandas as pd
import pytest
from overview_inputs import make_inputs
from robustness_inputs import make_doubts

from convlens.pages.photos import choose_errors, choose_unsure
from convlens.pages.report import (
    MAX_DOUBTS,
    ReportInputs,
    choose_doubts,
    describe_mistakes,
    photos_needed,
    render_report,
)

NOBODY_LOOKED = pd.DataFrame()


@pytest.fixture(scope="module")
def inputs() -> ReportInputs:
    return make_inputs()


def test_a_photo_on_the_feature_map_page_is_linked_by_its_number(inputs: ReportInputs) -> None:
    paths = list(choose_errors(inputs.predictions)["path"])
    found = describe_mistakes(inputs.predictions, NOBODY_LOOKED, {paths[0]: 3})
    assert [answer["maps"] for answer in found["mistakes"]] == [
        "feature_maps.html#photo=3",
        *[""] * (len(paths) - 1),
    ]
    text = render_report(replace(inputs, shown_photos={paths[0]: 3}))
    places = 1 + (paths[0] in set(choose_unsure(inputs.predictions)["path"]))
    assert text.count('href="feature_maps.html#photo=3"') == places
    assert "#photo=" not in render_report(inputs)


def test_the_least_fitting_labels_come_first_and_are_counted(inputs: ReportInputs) -> None:
    doubts = make_doubts(inputs.predictions, 5)
    chosen = choose_doubts(doubts.iloc[::-1])
    assert list(chosen["path"]) == list(inputs.predictions["path"][:5])
    found = describe_mistakes(inputs.predictions, doubts, {})
    assert (found["num_judged"], found["num_doubts"], len(found["doubts"])) == (16, 5, 5)
    assert not found["all_judged"]
    assert describe_mistakes(inputs.predictions, doubts.assign(split="train"), {})["all_judged"]
    many = pd.concat([doubts.assign(suspicious=True)] * 3)
    assert len(choose_doubts(many)) == MAX_DOUBTS


def test_the_page_tells_of_doubtful_labels_and_asks_for_their_pictures(inputs: ReportInputs) -> None:
    doubts = make_doubts(inputs.predictions, 2)
    assert set(doubts["path"][:2]) <= set(photos_needed(inputs.predictions, inputs.manifest, {}, doubts))
    text = render_report(replace(inputs, doubts=doubts))
    assert "2 photos of 16 judged" in text
    assert "label_errors.folds" in text
    assert "label_errors.folds" not in render_report(replace(inputs, doubts=doubts.assign(split="train")))
    none = render_report(replace(inputs, doubts=make_doubts(inputs.predictions, 0)))
    assert "None of the 16 photos judged" in none
    assert "Labels that may be wrong" not in render_report(inputs)


def test_all_answers_right_leaves_the_unsure_ones(inputs: ReportInputs) -> None:
    found = describe_mistakes(inputs.predictions.assign(correct=True), NOBODY_LOOKED, {})
    assert (found["num_mistakes"], found["mistakes"]) == (0, [])
    assert len(found["unsure"]) == 12
