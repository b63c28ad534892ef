import numpy as np
import pandas as pd
import pytest

from convlens.errors import ConvLensError
from convlens.files import round_array
from convlens.metrics.calibration import fit_temperature
from convlens.metrics.evaluation import Evaluation, Predictions, list_features
from convlens.metrics.operating_point import choose_operating_point
from convlens.models.inference import OperatingPoint, apply_temperature
from convlens.params import EvaluateParams, InferenceParams, PrecisionTarget
from convlens.tracking.champion_comparison import compare_correct

SETTINGS = EvaluateParams(num_resamples=200, confidence=0.95, seed=0)
INFERENCE = InferenceParams(mirror=True, center_crop=0.9, threshold=0.5, max_error=0.05)
LABELS = np.arange(200) % 2
SCORES = np.clip(0.25 + 0.4 * LABELS + np.random.default_rng(0).normal(0, 0.2, 200), 0.01, 0.99)
LOGITS = np.log(np.column_stack([1 - SCORES, SCORES]))


def choose(logits=LOGITS, labels=LABELS, classes=("a", "b"), **changes):
    """The operating point, and the probabilities that it gives."""
    found = choose_operating_point(logits, labels, classes, INFERENCE.model_copy(update=changes), key="k")
    return found, round_array(apply_temperature(logits, found.temperature))


def test_the_default_is_the_most_probable_class() -> None:
    found, probabilities = choose()
    assert (found.threshold, found.threshold_rule, found.threshold_reached) == (0.5, "0.5", True)
    assert (found.key, found.mirror, found.center_crop, found.num_validation) == ("k", True, 0.9, 200)
    fitted = fit_temperature(LOGITS, LABELS)
    assert (found.temperature, found.calibration["loss_after"]) == (fitted.value, fitted.loss_after)
    assert found.predict(probabilities).tolist() == probabilities.argmax(axis=1).tolist()
    unsure = found.is_unsure(probabilities)
    assert 0 < unsure.sum() < 200
    assert (found.predict(probabilities) != LABELS)[~unsure].mean() <= 0.05


@pytest.mark.parametrize(("rule", "shown"), [("max_f1", "max_f1"), (PrecisionTarget(precision=0.95), "precision 0.95")])
def test_a_rule_moves_the_line_and_with_it_every_number(rule: str | PrecisionTarget, shown: str) -> None:
    found, probabilities = choose(threshold=rule)
    assert (found.threshold_rule, found.threshold_reached) == (shown, True)
    assert found.threshold != 0.5
    given = Predictions([str(i) for i in range(200)], ("a", "b"), LABELS, probabilities)
    measured = Evaluation.measure(given, SETTINGS, found)
    expected = (found.threshold < probabilities[:, 1]).astype(int)
    assert measured.metrics["accuracy"] == pytest.approx((expected == LABELS).mean())
    assert measured.predictions["predicted"].tolist() == [("a", "b")[index] for index in expected]
    assert measured.metrics["num_unsure"] == found.is_unsure(probabilities).sum()
    if shown != "max_f1":
        assert measured.metrics["precision_b"] >= 0.95


@pytest.mark.parametrize("rule", ["max_f1", 0.7, PrecisionTarget(precision=0.9)])
def test_more_classes_have_no_line_between_them(rule: object) -> None:
    with pytest.raises(
        ConvLensError, match=r"inference\.threshold to be 0\.5 for 3 classes.*Set inference\.threshold: 0\.5"
    ):
        choose(np.eye(3), np.array([0, 1, 2]), ("a", "b", "c"), threshold=rule)
    assert choose(np.eye(3), np.array([0, 1, 2]), ("a", "b", "c"), max_error=1.0)[0].min_confidence == 0


def test_what_is_undefined_says_why() -> None:
    one = Predictions(["p"], ("a", "b"), np.array([0]), np.array([[0.9, 0.1]]))
    metrics = Evaluation.measure(one, SETTINGS, OperatingPoint(min_confidence=1.0)).metrics
    assert metrics["roc_auc"] is None
    reasons = {name: value for name, value in metrics.items() if name.endswith("_undefined")}
    assert reasons["roc_auc_undefined"] == "all photos are of one class"
    assert reasons["recall_b_undefined"] == "no photo is of the class"
    assert reasons["precision_b_undefined"] == "the class was never predicted"
    assert reasons["error_when_sure_undefined"] == "the network abstains on every photo"
    assert {name.removesuffix("_undefined") for name in reasons} >= {
        name for name, value in metrics.items() if value is None and not name.endswith(("_low", "_high"))
    }
    assert not any(isinstance(value, float) and np.isnan(value) for value in metrics.values())


def test_features_come_from_facts_and_columns_of_the_data() -> None:
    paths = [f"{i}.jpg" for i in range(40)]
    width = np.where(np.arange(40) < 20, 100, 300)
    facts = {"width": width, "height": 200, "aspect": width / 200, "brightness": np.linspace(0, 1, 40)}
    manifest = pd.DataFrame({"path": paths[::-1], **facts, "sharpness": 9.0, "format": "PNG"})
    photos = pd.DataFrame({"path": paths, "extra_age": [str(i) for i in range(40)], "extra_breed": ["", "x"] * 20})
    found = list_features(paths, manifest, photos)
    assert list(found) == ["brightness", "sharpness", "size", "aspect", "format", "age", "breed"]
    assert found["aspect"].names == ("portrait", "square", "landscape")
    assert found["aspect"].codes.tolist() == [2] * 20 + [0] * 20
    assert found["size"].names == ("100 px", "200 px")
    assert found["age"].names == ("0 to 9", "10 to 19", "20 to 29", "30 to 39")
    assert (found["breed"].names, found["breed"].codes.tolist()) == (("x",), [-1, 0] * 20)


def test_the_gate_is_told_what_convlens_compare_would_say() -> None:
    champion = pd.Series(np.ones(180, bool))
    test = pd.DataFrame({"label": np.arange(180) % 2, "correct": np.arange(180) >= 4})
    told = compare_correct(test, champion, SETTINGS, "stored")
    assert told.word == "same"
    assert told.note.startswith("no difference that these photos can show: -2.2 points (")
    assert told.note.endswith("95% paired interval; McNemar's exact test, p = 0.125)")
    told = compare_correct(test.assign(correct=np.arange(180) >= 40), champion, SETTINGS, "stored")
    assert told.word == "worse"
    assert told.note.startswith("worse: -22.2 points")
