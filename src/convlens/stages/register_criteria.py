"""What the stage `register` asks of a training before its model may become the champion, read from its results."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from convlens.errors import ConvLensError
from convlens.params import EvaluateParams, RegisterParams
from convlens.photos.prepared import Prepared
from convlens.stages.register_decision import describe_difference
from convlens.stages.register_record import Results, read_json
from convlens.tracking.contest import digest_answers
from convlens.tracking.decision import Candidate
from convlens.tracking.gate import Criterion, judge_metrics, judge_slices

TEST = "test"


def gather_candidate(
    results: Results, photos: Prepared, *, register: RegisterParams, evaluate: EvaluateParams
) -> Candidate:
    """What the gate looks at.

    Args:
        results: where the files are.
        photos: the prepared photos.
        register: the group `register`.
        evaluate: the group `evaluate`: how the comparison with the champion is made.

    Raises:
        ConvLensError: a result is missing, or a criterion names a metric that there is not.
    """
    predictions = results.evaluation / "predictions.csv"
    card = results.model_card
    return Candidate(
        name=register.model_name,
        demands=register.criteria.model_dump(mode="json"),
        judged=judge_results(results, register),
        rule=register.criteria.champion,
        test=_test_verdicts(photos, predictions),
        answers=digest_answers(predictions),
        load_images=lambda rows: photos.images(TEST)[np.asarray(rows)],
        compare=partial(describe_difference, evaluate),
        card=card.read_text(encoding="utf-8") if card.is_file() else "",
    )


def judge_results(results: Results, register: RegisterParams) -> list[Criterion]:
    """The criteria that need nothing but files: bounds of metrics, and the floor of all slices."""
    demanded = register.criteria
    sections = {
        results.evaluation: ("evaluation", demanded.evaluation),
        results.invariance: ("invariance", demanded.invariance),
        results.mistakes: ("mistakes", demanded.mistakes),
    }
    judged = [
        criterion
        for folder, (section, bounds) in sections.items()
        if bounds
        for criterion in judge_metrics(section, read_json(folder / "metrics.json"), bounds)
    ]
    return [*judged, *judge_slices(_read_slices(results.evaluation / "slices.csv"), demanded.slices)]


def _read_slices(path: Path) -> list[dict[str, Any]]:
    """Rows of slices.csv; features and slices are names, whatever they look like."""
    if not path.is_file():
        raise ConvLensError(f"Expected the accuracy by slice in {path}. Received: nothing there. Run `dvc repro`.")
    names = {"feature": str, "slice": str}
    table = pd.read_csv(path, dtype=names, keep_default_na=False, na_values={"low": [""], "high": [""]})
    return [{str(name): value for name, value in row.items()} for row in table.to_dict(orient="records")]


def _test_verdicts(photos: Prepared, predictions: Path) -> pd.DataFrame:
    """The test photos with what identifies them, this network's probabilities, and whether it answers them right."""
    if not predictions.is_file():
        raise ConvLensError(f"Expected the answers to the test photos in {predictions}. Received: nothing there.")
    answers = pd.read_csv(predictions, keep_default_na=False).drop(columns=["label", "predicted"])
    table = photos.photos(TEST)[["path", "label", "sha256", "row"]].merge(answers, on="path", how="left")
    if table["correct"].isna().any() or len(answers) != len(table):
        raise ConvLensError(
            f"Expected an answer for each of {len(table):,} test photos. Received: {len(answers):,} in {predictions}. "
            "Run `dvc repro`."
        )
    return table.astype({"correct": bool})
