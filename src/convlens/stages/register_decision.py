"""What the registered model knows beyond its network: how it decides, and how it compares with the champion."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from convlens.metrics.compare import compare_accuracies
from convlens.params import EvaluateParams
from convlens.tracking.gate import Difference

DECIDING = ("threshold", "threshold_rule", "min_probability", "max_error")
WORDS = {"better": "better", "worse": "worse", "same": "no difference that these photos can show"}


def read_decision(path: Path, key: str) -> dict[str, Any]:
    """What goes into the card of the packed model; nothing if there is no decision, or one of another training."""
    if not path.is_file():
        return {}
    values = json.loads(path.read_text(encoding="utf-8"))
    return {name: values[name] for name in DECIDING} if values.get("key") == key else {}


def name_decision(decision: Mapping[str, Any]) -> str:
    """A short name for a decision; empty where the most probable class is the answer and every answer is given."""
    deciding = {name: decision.get(name) for name in ("threshold", "min_probability")}
    if deciding["threshold"] in (None, 0.5) and deciding["min_probability"] in (None, 0.0):
        return ""
    return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()[:12]


def describe_difference(
    settings: EvaluateParams, labels: np.ndarray, champion_right: np.ndarray, new_right: np.ndarray
) -> Difference:
    """The paired comparison as `convlens compare` judges it, its word and its numbers."""
    found = compare_accuracies(
        labels,
        champion_right,
        new_right,
        num_resamples=settings.num_resamples,
        confidence=settings.confidence,
        seed=settings.seed,
    )
    value, low, high = (100 * (x or 0.0) for x in (found.difference.value, found.difference.low, found.difference.high))
    chance = "p < 0.001" if found.mcnemar.p_value < 0.001 else f"p = {found.mcnemar.p_value:.3f}"
    interval = f"{low:+.1f} to {high:+.1f}, {settings.confidence:.0%} paired interval"
    note = f"{WORDS[found.word]}: {value:+.1f} points ({interval}; McNemar's exact test, {chance})"
    return Difference(found.word, note)
