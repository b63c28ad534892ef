"""The paired comparison with the champion, made as the run of a version was told to."""

from collections.abc import Mapping
from functools import partial

from convlens.params import EvaluateParams
from convlens.stages.register_decision import describe_difference
from convlens.tracking.contest import Comparer

DEFAULTS = {"num_resamples": "2000", "confidence": "0.95", "seed": "0"}


def comparer_of(params: Mapping[str, str]) -> Comparer:
    """Compares right answers with the settings among a run's parameters, `evaluate.seed` and its like."""
    told = {name: params.get(f"evaluate.{name}", value) for name, value in DEFAULTS.items()}
    settings = EvaluateParams(
        num_resamples=int(told["num_resamples"]),
        confidence=float(told["confidence"]),
        seed=int(told["seed"]),
        threshold=0.5,  # answers are given, none are made here
        max_error=1.0,
    )
    return partial(describe_difference, settings)
