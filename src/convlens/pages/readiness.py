"""Ready to use? Five rows that conclude: data, training, accuracy, weakest spots, and the champion."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from convlens.params import Bounds, ChampionParams, CriteriaParams, TrainParams
from convlens.tracking.gate import Criterion, format_criterion, judge_metrics, judge_slices
from convlens.wording import show_count, show_share, show_share_of

PASS, LOOK, FAIL = "pass", "look", "fail"
VERDICTS = {
    PASS: "Nothing speaks against it.",
    LOOK: "Nothing failed, but look at this first.",
    FAIL: "Not as it is.",
}


@dataclass(frozen=True)
class Readiness:
    """One question about a trained network.

    Attributes:
        title: what it is about.
        word: `pass`, `look` or `fail`.
        sentence: why, in one sentence.
    """

    title: str
    word: str
    sentence: str


def conclude(rows: Sequence[Readiness]) -> tuple[str, str]:
    """Sum up all rows: the worst word and a sentence. A champion that is not compared yet does not count."""
    words = [row.word for row in rows if row.title != CHAMPION]
    word = next((word for word in (FAIL, LOOK) if word in words), PASS)
    return word, VERDICTS[word]


# --- Data ---


def judge_data(checks: Mapping[str, Any], label_errors: Mapping[str, Any], demanded: Mapping[str, Bounds]) -> Readiness:
    """Judge the photos by the data checks and by what is demanded of their labels."""
    missed = [row for row in checks["expectations"] if not row["success"]]
    judged = judge_metrics("label_errors", label_errors, demanded) if label_errors else []
    failed = [f"{row['expectation']}: {row['observed']}" for row in missed]
    failed += [format_criterion(criterion) for criterion in judged if not criterion.passed]
    left_out = checks["num_photos"] - checks["num_usable"]
    if not failed:
        rest = f"; {show_count(left_out, 'photo')} left out" if left_out else ""
        return Readiness("Data", PASS, f"All {show_count(len(checks['expectations']), 'expectation')} are met{rest}.")
    word = LOOK if checks["success"] and all(criterion.passed for criterion in judged) else FAIL
    return Readiness("Data", word, f"Missed: {'; '.join(failed)}.")


# --- Training ---

WORSE = 1.1  # times the lowest validation loss: beyond the noise of a few hundred photos
FALLING = 0.05  # of the validation loss, over the last tenth of the epochs


def judge_training(history: pd.DataFrame, card: Mapping[str, Any], train: TrainParams) -> Readiness:
    """Judge the course of the losses: no better than guessing, overfitting, still falling, or converged.

    Args:
        history: a row per epoch: epoch, train_loss, validation_loss.
        card: of the network: classes, best_epoch, validation_loss of the weights kept.
        train: the group `train`.
    """
    losses = history["validation_loss"].to_numpy(float)
    lowest, last, kept = int(losses.argmin()), len(losses) - 1, float(card["validation_loss"])
    epoch = int(history["epoch"].iloc[lowest])
    which = "the last weights were kept"
    if int(card["best_epoch"]) != last + 1:
        which = f"the weights of epoch {int(card['best_epoch']):,} were kept"
    guessing = math.log(len(card["classes"]))
    learned = float(history["train_loss"].iloc[last]) < float(history["train_loss"].iloc[lowest])
    if losses[last] > WORSE * losses[lowest] and learned:
        return Readiness(
            "Training",
            FAIL if kept >= guessing else LOOK,
            f"Overfits: the validation loss rose from {losses[lowest]:.2f} at epoch {epoch:,} to {losses[last]:.2f}; "
            f"{which} (train.keep: {train.keep}).",
        )
    if kept >= guessing:
        return Readiness("Training", FAIL, f"No better than guessing: a validation loss of {kept:.2f} "
                                           f"where equal probabilities have {guessing:.2f}.")  # fmt: skip
    tenth = max(1, len(losses) // 10)
    before, after = losses[-2 * tenth : -tenth], losses[-tenth:]
    if len(before) and after.mean() < (1 - FALLING) * before.mean():
        fell, when = show_share(1 - float(after.mean() / before.mean()), 0), f"{tenth} epochs" if tenth > 1 else "epoch"
        words = f"Still falling: the validation loss fell by {fell} over the last {when}; more may help (train.epochs)."
        return Readiness("Training", LOOK, words)
    ended = f"the validation loss ended at {losses[last]:.2f}, its lowest was {losses[lowest]:.2f}"
    return Readiness("Training", PASS, f"Converged: {ended} at epoch {epoch:,} of {last + 1:,}; {which}.")


# --- Accuracy, and where it is lowest ---


def judge_accuracy(metrics: Mapping[str, Any], class_scores: pd.DataFrame, demanded: Sequence[Criterion]) -> Readiness:
    """Judge the accuracy on test photos against what is demanded, and against always naming the largest class."""
    shown, low = show_share_of(metrics, "accuracy"), metrics.get("accuracy_low")
    counts = class_scores.set_index("class")["num_photos"]
    share = float(counts.max() / counts.sum())
    start = f"{shown} of {show_count(int(counts.sum()), 'test photo')}"
    missed = [criterion for criterion in demanded if not criterion.passed]
    if missed:
        reasons = "; ".join(
            f"at least {show_share(one.minimum)} are demanded" if one.name.startswith("evaluation.accuracy")
            and one.minimum is not None else format_criterion(one) for one in missed
        )  # fmt: skip
        return Readiness("Accuracy", FAIL, f"{start}; {reasons}.")
    if low is not None and low <= share:
        return Readiness("Accuracy", FAIL, f"{start}: always naming “{counts.idxmax()}” has {show_share(share)}, which "
                                           "the interval does not exclude.")  # fmt: skip
    least = next((c.minimum for c in demanded if c.name == "evaluation.accuracy" and c.minimum is not None), None)
    if least is not None and low is not None and low < least:
        return Readiness("Accuracy", LOOK, f"{start}; demanded are {show_share(least)}, but by the interval it may be "
                                           "less: more test photos would tell.")  # fmt: skip
    rest = f"; demanded are {show_share(least)}" if least is not None else "; nothing is demanded of it"
    return Readiness("Accuracy", PASS if demanded else LOOK, f"{start}{rest} (register.criteria.evaluation).")


MUCH_WORSE = 0.1  # of accuracy, lost on perturbed photos


def judge_weakest(
    slices: pd.DataFrame,
    robustness: Mapping[str, Any],
    curves: pd.DataFrame,
    criteria: CriteriaParams,
    *,
    titles: Mapping[str, str],
) -> Readiness:
    """Judge the slice and the perturbation with the lowest accuracy.

    Args:
        slices: of the test photos, with accuracy, num_photos and whether each is worse than the rest.
        robustness: metrics; empty if nobody measured.
        curves: accuracy by network, perturbation and strength; empty likewise.
        criteria: what is demanded of both.
        titles: of perturbations with a strength.
    """
    judged = judge_slices(slices, criteria.slices) if len(slices) else []
    if robustness and criteria.robustness:
        judged += judge_metrics("robustness", robustness, criteria.robustness)
    parts, word = [], PASS
    if len(slices):
        worst = slices.iloc[int(slices["accuracy"].to_numpy(float).argmin())]
        beyond = bool(worst["worse"])
        parts.append(f"{worst['feature']} {worst['slice']} has {show_share(float(worst['accuracy']))} of "
                     f"{show_count(int(worst['num_photos']), 'photo')}"
                     + (", less than the rest beyond chance" if beyond else ", within chance of the rest"))  # fmt: skip
        word = LOOK if bool(slices["worse"].astype(bool).any()) else word
    perturbed = pd.DataFrame()
    if len(curves):
        perturbed = curves[(curves["network"] == "model") & curves["perturbation"].isin(list(titles))]
    if len(perturbed):
        worst = perturbed.iloc[int(perturbed["accuracy"].to_numpy(float).argmin())]
        plain = float(robustness["model_accuracy"])
        parts.append(f"with {titles[str(worst['perturbation'])].lower()} {worst['strength']:g} the accuracy is "
                     f"{show_share(float(worst['accuracy']))}, without {show_share(plain)}")  # fmt: skip
        word = LOOK if float(worst["accuracy_high"]) < plain - MUCH_WORSE else word
    missed = [format_criterion(criterion) for criterion in judged if not criterion.passed]
    if missed:
        return Readiness("Weakest", FAIL, "; ".join([f"missed: {', '.join(missed)}", *parts]).capitalize() + ".")
    text = "; ".join(parts) or "not measured, neither by groups of photos nor on changed ones"
    return Readiness("Weakest", word if parts else LOOK, f"{text[:1].upper()}{text[1:]}.")


CHAMPION = "Champion"


def announce_comparison(rule: ChampionParams) -> Readiness:
    """Say what is demanded beside the champion: the registry knows it, so `register` compares after the report."""
    demanded = {"no_worse": "it must be no worse", "better": "it must be better", "any": "any result will do"}
    return Readiness(CHAMPION, LOOK, f"Registration compares it, and asks it as served ({demanded[rule.verdict]}); "
                                     "see reports/registration.json.")  # fmt: skip
