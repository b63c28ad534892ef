"""Whether a network is ready to be used: five rows, each with a word and a sentence that gives the numbers."""

from types import SimpleNamespace

import pandas as pd
import pytest
from report_inputs import PARAMS, make_inputs
from robustness_inputs import make_results

from convlens.pages.model_card import render_summary
from convlens.pages.readiness import (
    FAIL,
    LOOK,
    PASS,
    Readiness,
    announce_comparison,
    conclude,
    judge_accuracy,
    judge_data,
    judge_training,
    judge_weakest,
)
from convlens.pages.report import judge_readiness, render_report
from convlens.params import Bounds
from convlens.tracking.gate import judge_metrics

CRITERIA = PARAMS.register_.criteria


def training(validation: list[float], train: list[float], best: int | None = None) -> Readiness:
    history = pd.DataFrame({"epoch": range(1, len(train) + 1), "train_loss": train, "validation_loss": validation})
    best = best or len(train)
    card = {"classes": ["cats", "dogs"], "best_epoch": best, "validation_loss": validation[best - 1]}
    return judge_training(history, card, PARAMS.train)


def test_training_converged_falls_still_overfits_or_learned_nothing() -> None:
    assert training([0.6, 0.3, 0.21, 0.2, 0.2], [0.6, 0.4, 0.3, 0.25, 0.24]).word == PASS
    falling = training([0.69, 0.6, 0.5, 0.4], [0.7, 0.6, 0.5, 0.4])
    assert (falling.word, falling.sentence.startswith("Still falling: the validation loss fell by 20")) == (LOOK, True)
    overfits = training([0.69, 0.45, 0.5, 0.6], [0.7, 0.5, 0.2, 0.1])
    assert overfits.word == LOOK
    assert overfits.sentence == (
        "Overfits: the validation loss rose from 0.45 at epoch 2 to 0.60; the last weights were kept "
        "(train.keep: last)."
    )
    assert "the weights of epoch 2 were kept" in training([0.69, 0.45, 0.5, 0.6], [0.7, 0.5, 0.2, 0.1], best=2).sentence
    assert training([0.7, 0.67, 0.72, 1.79], [0.7, 0.5, 0.2, 0.1]).word == FAIL
    assert "No better than guessing" in training([0.7, 0.7, 0.7], [0.7, 0.7, 0.7]).sentence
    assert training([0.69, 0.3, 0.35, 0.34], [0.7, 0.3, 0.5, 0.4]).word == PASS  # noise


def accuracy(value: float, low: float, high: float, minimum: float | None = 0.8) -> Readiness:
    metrics = {"accuracy": value, "accuracy_low": low, "accuracy_high": high, "num_photos": 100}
    scores = pd.DataFrame({"class": ["cats", "dogs"], "num_photos": [60, 40]})
    demanded = {} if minimum is None else {"accuracy": Bounds(min=minimum)}
    return judge_accuracy(metrics, scores, judge_metrics("evaluation", metrics, demanded))


@pytest.mark.parametrize(
    ("numbers", "word", "words"),
    [
        ((0.93, 0.9, 0.95), PASS, "demanded are 80.0 %"),
        ((0.82, 0.74, 0.88), LOOK, "by the interval it may be less"),
        ((0.7, 0.65, 0.75), FAIL, "at least 80.0 % are demanded"),
        ((0.65, 0.58, 0.71, None), FAIL, "always naming “cats” has 60.0 %"),
        ((0.93, 0.9, 0.95, None), LOOK, "nothing is demanded"),
    ],
)
def test_accuracy_stands_beside_what_is_demanded_and_guessing(numbers, word: str, words: str) -> None:
    found = accuracy(*numbers)
    assert found.word == word
    assert words in found.sentence.replace("\N{NO-BREAK SPACE}", " ")


def test_data_that_miss_an_expectation_say_which() -> None:
    inputs = make_inputs()
    found = judge_data(inputs.validation.result, {}, {})
    assert (found.word, found.sentence) == (LOOK, "Missed: no photo twice: 2 photos do not.")
    assert judge_data({**inputs.validation.result, "success": False}, {}, {}).word == FAIL
    metrics = {"num_photos": 40, "suspicious_share": 0.1}
    limits = {"suspicious_share": Bounds(max=0.02)}
    assert "label_errors.suspicious_share missed" in judge_data(inputs.validation.result, metrics, limits).sentence


def test_the_weakest_slice_and_perturbation_are_named() -> None:
    robustness = make_results()
    slices = pd.DataFrame({
        "feature": ["brightness", "size"], "slice": ["dark", "small"], "num_photos": [30, 40],
        "accuracy": [0.6, 0.9], "low": [0.4, 0.8], "high": [0.8, 0.95], "worse": [True, False],
    })  # fmt: skip
    titles = {"shift": "Shift", "blur": "Blur"}
    found = judge_weakest(slices, robustness.metrics, robustness.curves, CRITERIA, titles=titles)
    assert "dark has 60.0 % of 30 photos, less than the rest beyond chance" in found.sentence.replace("\xa0", " ")
    assert "the accuracy is" in found.sentence
    assert found.word == LOOK
    floor = CRITERIA.model_copy(update={"slices": SimpleNamespace(min_accuracy=0.7, min_photos=20, end=None)})
    assert judge_weakest(slices, {}, pd.DataFrame(), floor, titles=titles).word == FAIL


def test_the_worst_row_concludes_and_the_champion_waits_for_the_registry() -> None:
    champion = announce_comparison(CRITERIA.champion)
    assert "no worse" in champion.sentence
    assert conclude([Readiness("Data", PASS, ""), champion])[0] == PASS
    assert conclude([Readiness("Data", LOOK, ""), Readiness("Accuracy", FAIL, ""), champion])[0] == FAIL


def test_report_and_summary_conclude_with_the_same_rows() -> None:
    inputs = make_inputs()
    rows = judge_readiness(inputs)
    assert [row.title for row in rows] == ["Data", "Training", "Accuracy", "Weakest", "Champion"]
    for text in (render_report(inputs), render_summary(inputs)):
        text = text.replace("\N{NO-BREAK SPACE}", " ")
        assert "Ready to use?" in text
        assert conclude(rows)[1] in text
        assert all(row.sentence.replace("\N{NO-BREAK SPACE}", " ").split(":")[0] in text for row in rows)
