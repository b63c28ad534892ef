import json
import math
import re
from typing import Any

import pandas as pd
import pytest

from convlens.errors import ConvLensError
from convlens.params import Bounds, ChampionParams, SliceParams
from convlens.tracking.gate import (
    PACKAGED,
    SERVED,
    ChampionComparison,
    Criterion,
    all_passed,
    criteria_markdown,
    format_criterion,
    format_outcome,
    format_table,
    format_verdict,
    judge_comparison,
    judge_metrics,
    judge_past,
    judge_predictions,
    judge_slices,
    judge_without_champion,
    to_plain,
)

METRICS = {
    "num_photos": 180,
    "accuracy": 0.9,
    "accuracy_low": 0.85,
    "accuracy_high": 0.94,
    "log_loss": 0.3,
    "roc_auc": None,
    "threshold_reached": True,
    "share_low": 0.5,
}
NO_WORSE = ChampionParams(verdict="no_worse", max_loss=0.0)


def judge(name: str, **bounds: Any) -> Criterion:
    (found,) = judge_metrics("evaluation", METRICS, {name: Bounds(**bounds)})
    return found


@pytest.mark.parametrize(
    ("name", "bounds", "passed"),
    [
        ("accuracy", {"min": 0.9}, True),
        ("accuracy", {"min": 0.9001}, False),
        ("accuracy", {"min": 0.85, "end": "lower"}, True),
        ("accuracy", {"min": 0.86, "end": "lower"}, False),
        ("accuracy", {"max": 0.93, "end": "upper"}, False),
        ("log_loss", {"max": 0.3}, True),
        ("log_loss", {"max": 0.29}, False),
        ("log_loss", {"min": 0.1, "max": 0.2}, False),
        ("log_loss", {"min": 0.1, "max": 0.4}, True),
        ("share_low", {"min": 0.5}, True),  # a name, not the end of an interval
    ],
)
def test_metrics_are_held_against_their_bounds(name: str, bounds: dict[str, Any], passed: bool) -> None:
    assert judge(name, **bounds).passed is passed


def test_the_end_of_the_interval_is_what_is_judged() -> None:
    assert judge("accuracy", min=0.8, end="lower") == Criterion(
        "evaluation.accuracy_low", 0.85, 0.8, None, True, "the lower end of its interval, on 180 photos"
    )


@pytest.mark.parametrize("value", [None, math.nan])
def test_an_undefined_metric_misses(value: float | None) -> None:
    (found,) = judge_metrics("evaluation", {"roc_auc": value}, {"roc_auc": Bounds(min=0.5)})
    assert found == Criterion("evaluation.roc_auc", None, 0.5, None, False, "undefined for these photos")


def test_an_unknown_metric_is_told_with_those_that_exist() -> None:
    with pytest.raises(ConvLensError) as told:
        judge("acuracy", min=0.8)
    assert str(told.value) == (
        "Expected `register.criteria.evaluation.acuracy` in params.yaml to name a metric of "
        "reports/evaluation/metrics.json. Received: 'acuracy', which is none. Did you mean 'accuracy'? "
        "There are: num_photos, accuracy, log_loss, roc_auc, share_low."
    )


@pytest.mark.parametrize("name", ["accuracy_low", "threshold_reached"])
def test_ends_and_yes_or_no_are_no_metrics(name: str) -> None:
    with pytest.raises(ConvLensError, match=f"Received: '{name}', which is none"):
        judge(name, min=0.8)


def test_the_end_of_a_metric_without_interval_is_told() -> None:
    expected = "Received: 'log_loss', which has none. Those with an interval: accuracy."
    with pytest.raises(ConvLensError, match=re.escape(expected)):
        judge("log_loss", max=0.8, end="upper")


def slice_row(name: str, num_photos: int, accuracy: float) -> dict[str, Any]:
    low = accuracy - 0.1
    return {
        "feature": "brightness",
        "slice": name,
        "num_photos": num_photos,
        "accuracy": accuracy,
        "low": low,
        "high": 1.0,
    }


SLICES = pd.DataFrame([slice_row("dark", 40, 0.8), slice_row("bright", 45, 0.9), slice_row("black", 5, 0.2)])


def test_the_worst_slice_of_enough_photos_counts() -> None:
    demanded = SliceParams(min_accuracy=0.75, min_photos=20, end=None)
    note = "brightness dark, 40 photos; of 2 slices"
    assert judge_slices(SLICES, demanded) == [Criterion("worst_slice", 0.8, 0.75, None, True, note)]
    assert not judge_slices(SLICES, demanded.model_copy(update={"min_photos": 5}))[0].passed
    assert not judge_slices(SLICES, demanded.model_copy(update={"end": "lower"}))[0].passed


def test_a_floor_of_nothing_demands_nothing() -> None:
    (found,) = judge_slices(SLICES, SliceParams(min_accuracy=0.0, min_photos=5, end=None))
    assert (found.value, found.minimum, found.passed) == (0.2, None, True)
    assert judge_slices(SLICES.head(0), SliceParams(min_accuracy=0.0, min_photos=5, end=None)) == []


def test_slices_too_small_to_count_are_told() -> None:
    (found,) = judge_slices(SLICES, SliceParams(min_accuracy=0.9, min_photos=100, end=None))
    assert found == Criterion("worst_slice", None, 0.9, None, True, "no slice has 100 photos")


def comparison(new: float, champion: float, word: str = "same", num_photos: int = 100) -> ChampionComparison:
    return ChampionComparison(num_photos, new, champion, "stored predictions", word, "as tested")


@pytest.mark.parametrize(
    ("verdict", "max_loss", "held", "passed"),
    [
        ("no_worse", 0.0, comparison(0.9, 0.9), True),
        ("no_worse", 0.0, comparison(0.89, 0.9), False),
        ("no_worse", 0.01, comparison(0.89, 0.9), True),
        ("no_worse", 0.01, comparison(0.88, 0.9), False),
        ("no_worse", 0.05, comparison(0.88, 0.9, "worse"), False),
        ("better", 0.0, comparison(0.92, 0.9), False),
        ("better", 0.0, comparison(0.92, 0.9, "better"), True),
        ("any", 0.0, comparison(0.5, 0.9, "worse"), True),
        ("no_worse", 0.0, comparison(0.0, 0.0, num_photos=0), False),
        ("better", 0.0, comparison(0.0, 0.0, num_photos=0), False),
        ("any", 0.0, comparison(0.0, 0.0, num_photos=0), True),
    ],
)
def test_the_champion_is_met_by_the_rule(verdict: Any, max_loss: float, held: ChampionComparison, passed: bool) -> None:
    assert judge_comparison(held, ChampionParams(verdict=verdict, max_loss=max_loss)).passed is passed


def test_the_comparison_is_told() -> None:
    rule = ChampionParams(verdict="no_worse", max_loss=0.25)
    assert judge_comparison(comparison(0.75, 0.75), rule) == Criterion(
        "no_worse_than_champion", 0.75, 0.5, None, True, "on 100 photos; stored predictions; as tested"
    )
    assert judge_without_champion(rule, "first") == Criterion("no_worse_than_champion", None, None, None, True, "first")


def test_a_champion_of_other_classes_is_no_rival() -> None:
    other = ChampionComparison(0, 0.0, 0.0, "other classes", is_rival=False)
    for verdict in ("no_worse", "better", "any"):
        assert judge_comparison(other, ChampionParams(verdict=verdict, max_loss=0.0)).passed


def test_every_photo_must_be_predicted_alike() -> None:
    assert judge_predictions(PACKAGED, 4, 4, "").passed
    assert judge_predictions(SERVED, 3, 4, "why") == Criterion("predicts_when_served", 0.75, 1.0, None, False, "why")
    assert not judge_past("wrong at night").passed


def test_criteria_survive_json() -> None:
    criteria = [judge("accuracy", min=0.95), judge_without_champion(NO_WORSE, "first")]
    assert [Criterion(**values) for values in json.loads(json.dumps(to_plain(criteria)))] == criteria
    assert not all_passed(criteria)
    assert all_passed(criteria[1:])


# --- criteria in words ---

PASSED = Criterion("evaluation.accuracy", 0.95, 0.8, None, True, "on 180 photos")
MISSED = Criterion("worst_slice", 0.5, None, 0.25, False, "source a|b <c> `d` [e](f)\n, 40 photos")
OPEN = Criterion("no_worse_than_champion", None, None, None, True, "there is no champion yet")


def test_table_for_a_terminal() -> None:
    assert format_table([PASSED, OPEN]) == [
        "criterion                value         demanded  verdict  measured",
        "evaluation.accuracy     0.9500  at least 0.8000  passed   on 180 photos",
        "no_worse_than_champion       –                –  passed   there is no champion yet",
    ]


def test_table_in_markdown_takes_no_mark_up_from_names() -> None:
    assert criteria_markdown([PASSED, MISSED]).splitlines() == [
        "| criterion | value | demanded | verdict | measured |",
        "|---|--:|--:|---|---|",
        "| evaluation.accuracy | 0.9500 | at least 0.8000 | passed | on 180 photos |",
        "| worst_slice | 0.5000 | at most 0.2500 | missed | source a\\|b &lt;c> \\`d\\` \\[e](f) , 40 photos |",
    ]


def test_lines_for_the_tags_of_a_version() -> None:
    assert format_criterion(PASSED) == "evaluation.accuracy passed, 0.9500 (at least 0.8000)"
    assert format_criterion(OPEN) == "no_worse_than_champion passed"
    assert format_criterion(Criterion("a", 0.5, None, None, False, "of 2")) == "a missed, 0.5000"
    assert format_verdict([PASSED, OPEN]) == "passed"
    assert format_verdict([PASSED, MISSED]) == "missed: worst_slice"


def test_demands_and_numbers() -> None:
    assert format_criterion(Criterion("a", 0.5, 0.25, 0.75, True, "")) == "a passed, 0.5000 (0.2500 to 0.7500)"
    assert format_criterion(Criterion("a", 961489.4, None, 0.25, False, "")) == "a missed, 961,489 (at most 0.2500)"


def test_outcome() -> None:
    assert format_outcome([PASSED, OPEN]) == "All 2 criteria are met."
    assert format_outcome([PASSED, MISSED]) == "1 of 2 criteria is missed."
    assert format_outcome([MISSED, MISSED]) == "2 of 2 criteria are missed."
