from dataclasses import replace
from math import comb

import pytest
from compared_runs import COMPARE, EVALUATE, good, make_answers, make_photos, make_run

from convlens.compare.runs import Output, Snapshot
from convlens.compare.verdict import NoVerdict, RunVerdict, judge
from convlens.metrics.intervals import Interval
from convlens.params import CompareParams


def verdict_of(base: Snapshot, head: Snapshot, max_regression: float = 0.02) -> RunVerdict:
    verdict = judge(base, head, evaluate=EVALUATE, compare=CompareParams(max_regression=max_regression))
    assert isinstance(verdict, RunVerdict)
    return verdict


def reason_of(base: Snapshot, head: Snapshot) -> str:
    verdict = judge(base, head, evaluate=EVALUATE, compare=COMPARE)
    assert isinstance(verdict, NoVerdict)
    return verdict.reason


def test_a_run_that_loses_many_photos_is_worse_and_a_regression() -> None:
    verdict = verdict_of(make_run("a", good(100, 0)), make_run("b", good(80, 20)))
    assert (verdict.word, verdict.regression) == ("worse", True)
    assert (verdict.base_accuracy, verdict.head_accuracy) == (1.0, 0.8)
    assert (verdict.mcnemar.only_first, verdict.mcnemar.only_second) == (20, 0)
    assert verdict.differences["accuracy"].value == pytest.approx(-0.2)
    assert (verdict.num_shared, verdict.num_base, verdict.num_head, verdict.same_split) == (100, 100, 100, True)


def test_a_run_that_wins_many_photos_is_better() -> None:
    verdict = verdict_of(make_run("a", good(80, 20)), make_run("b", good(100, 0)))
    assert (verdict.word, verdict.regression) == ("better", False)


def test_a_run_against_itself_shows_no_difference() -> None:
    verdict = verdict_of(make_run("a", good(80, 20)), make_run("a", good(80, 20)))
    assert (verdict.word, verdict.regression) == ("same", False)


def test_a_small_loss_is_worse_yet_tolerated() -> None:
    runs = make_run("a", good(1000, 0)), make_run("b", good(980, 20))
    assert (verdict_of(*runs).word, verdict_of(*runs).regression) == ("worse", False)  # exactly 0.02
    assert verdict_of(*runs, max_regression=0.019).regression
    assert not verdict_of(*runs, max_regression=1.0).regression


def test_few_lost_photos_are_no_evidence() -> None:
    """The bootstrap's interval lies below 0; McNemar's exact test, with p = 1/16, says that chance would do."""
    verdict = verdict_of(make_run("a", good(100, 0)), make_run("b", good(95, 5)))
    assert verdict.differences["accuracy"].high < 0  # type: ignore[operator]
    assert verdict.mcnemar.p_value == 0.0625
    assert (verdict.word, verdict.regression) == ("same", False)


def test_only_shared_photos_count() -> None:
    head = make_run("b", good(30, 0) + good(0, 70))
    base = make_run("a", good(30, 0))
    verdict = verdict_of(base, head)
    assert (verdict.num_shared, verdict.num_base, verdict.num_head) == (30, 30, 100)
    assert (verdict.word, verdict.head_accuracy, verdict.same_split) == ("same", 1.0, False)


def test_photos_are_told_by_content_wherever_they_lie() -> None:
    moved = make_answers(good(50, 50), prefix="elsewhere/")
    digests = [f"#p{index}.png" for index in range(100)]
    photos = make_photos(list(moved["path"]), list(moved["label"]), digests)
    verdict = verdict_of(make_run("a", good(100, 0)), make_run("b", good(50, 50), predictions=moved, photos=photos))
    assert (verdict.num_shared, verdict.word) == (100, "worse")


def test_other_content_at_the_same_path_is_another_photo() -> None:
    predictions = make_answers(good(40, 0))
    photos = make_photos(list(predictions["path"]), list(predictions["label"]), [f"new{index}" for index in range(40)])
    assert reason_of(make_run("a", good(40, 0)), make_run("b", good(40, 0), photos=photos)) == (
        "a and b share no test photo. Compare runs of the same data and the same `preprocess.seed`."
    )


def test_without_digests_the_path_tells_photos() -> None:
    assert verdict_of(make_run("a", good(40, 0)), make_run("b", good(40, 0), photos=None)).num_shared == 40


def test_equal_photos_count_once() -> None:
    predictions = make_answers(good(40, 0))
    photos = make_photos(list(predictions["path"]), list(predictions["label"]), ["cat", "dog"] * 20)
    run = make_run("a", good(40, 0), photos=photos)
    assert (verdict_of(run, run).num_shared, verdict_of(run, run).same_split) == (2, True)


def test_a_photo_with_another_label_is_not_shared() -> None:
    relabeled = make_answers(good(40, 0))
    relabeled.loc[0, "label"] = "dogs"
    assert verdict_of(make_run("a", good(40, 0)), make_run("b", good(40, 0), predictions=relabeled)).num_shared == 39


def test_the_order_of_photos_and_classes_does_not_matter() -> None:
    turned = make_answers(good(40, 10)).iloc[::-1]
    turned = turned[["path", "label", "predicted", "probability_dogs", "probability_cats"]]
    verdict = verdict_of(make_run("a", good(40, 10)), make_run("b", good(40, 10), predictions=turned))
    assert verdict.differences["log_loss"].value == 0.0
    assert (verdict.base_accuracy, verdict.head_accuracy) == (0.8, 0.8)


def test_other_classes_are_not_compared() -> None:
    others = make_answers(good(40, 0)).rename(columns={"probability_dogs": "probability_foxes"})
    assert reason_of(make_run("a", good(40, 0)), make_run("b", good(40, 0), predictions=others)) == (
        "a knows the classes cats, dogs, b knows cats, foxes."
    )


@pytest.mark.parametrize(
    ("commit", "told"), [("", "Bring them with `dvc pull`"), ("c" * 40, "Bring them with `dvc fetch --all-commits`")]
)
def test_absent_answers_leave_an_unpaired_comparison(commit: str, told: str) -> None:
    """By hand, Fisher's p is twice the chance that all 20 wrong predictions of 200 fall to one of two equal samples."""
    head = replace(make_run("b", good(80, 20)), predictions=None, commit=commit)
    verdict = verdict_of(make_run("a", good(100, 0)), head)
    assert (verdict.word, verdict.regression, verdict.paired, verdict.mcnemar) == ("worse", True, False, None)
    assert (verdict.num_shared, verdict.base_accuracy, verdict.head_accuracy) == (100, 1.0, 0.8)
    assert verdict.p_value == pytest.approx(2 * comb(100, 20) / comb(200, 20))
    assert verdict.note.startswith("The predictions of b for the single test photos are not in DVC's cache.")
    assert told in verdict.note


def test_an_unpaired_comparison_shows_less() -> None:
    base, head = make_run("a", good(100, 0)), make_run("b", good(94, 6))
    assert verdict_of(base, head).word == "worse"
    unpaired = verdict_of(base, replace(head, predictions=None))
    assert (unpaired.word, unpaired.regression) == ("worse", True)  # p = 0.029
    assert verdict_of(base, replace(make_run("c", good(95, 5)), predictions=None)).word == "same"  # p = 0.059


def test_unpaired_intervals_come_from_both_intervals() -> None:
    """Newcombe's way by hand: the ends are as far as the roots of the sums of squares."""
    base, head = make_run("a", good(80, 20)), make_run("b", good(80, 20))
    ends = {"macro_f1": 0.9, "macro_f1_low": 0.86, "macro_f1_high": 0.93}
    base = replace(base, metrics={**base.metrics, **ends}, predictions=None)
    head = replace(head, metrics={**head.metrics, **ends, "macro_f1": 0.91, "macro_f1_high": 0.94})
    found = verdict_of(base, head).differences
    assert (found["macro_f1"].low, found["macro_f1"].high) == pytest.approx((0.01 - 0.0583095, 0.01 + 0.05))
    assert found["log_loss"] == Interval(None, None, None)  # it had no interval
    assert found["accuracy"].low == pytest.approx(-found["accuracy"].high)


def test_absent_answers_to_other_photos_are_not_compared() -> None:
    base, head = make_run("a", good(4, 0)), replace(make_run("b", good(4, 0)), predictions=None)
    others = {**head.outputs, "data/prepared": Output("data/prepared", "other.dir", 9)}
    reason = reason_of(base, replace(head, outputs=others))
    assert reason.startswith("The predictions of b for the single test photos are not in DVC's cache.")
    assert reason.endswith("Whether the two have the same test photos is not known either.")
    assert reason_of(base, replace(head, outputs={})).endswith("is not known either.")
    other = reason_of(base, replace(head, metrics={**head.metrics, "num_photos": 5}))
    assert other.endswith("Their totals are about different photos, 4 and 5.")


def test_arrays_of_another_size_of_the_same_split_are_compared() -> None:
    facts = {"facts": Output("facts", "f", 1)}
    base = make_run("a", good(50, 0), params={"preprocess": {"seed": 1, "image_size": 64}})
    head = make_run("b", good(50, 0), params={"preprocess": {"seed": 1, "image_size": 96}}, predictions=None)
    runs = [replace(run, places={**run.places, "manifest": "facts"}, outputs=facts) for run in (base, head)]
    assert not verdict_of(*runs).paired
    moved = replace(runs[1], params={"preprocess": {"seed": 2, "image_size": 64}})
    assert reason_of(runs[0], moved).endswith("is not known either.")
