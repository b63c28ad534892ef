"""How ConvLens's numbers and parameters are called in MLflow: one naming for live and replayed records.

The MLflow UI makes a section of what stands before the first `/`, and sorts the sections: first `curves/` (one step
per epoch), then `invariance/`, `mistakes/` and `test/` (the evaluation).
"""

import json
from collections.abc import Mapping
from typing import Any

from convlens.tracking.secrets import hide_passwords

MAX_PARAM_LENGTH = 6000  # what MLflow stores


def epoch_metrics(values: Mapping[str, float]) -> dict[str, float]:
    """Metrics of one epoch by their MLflow names: `train_loss` becomes `curves/train_loss`.

    Args:
        values: columns of history.csv or timing.csv for one epoch, with or without `epoch`.
    """
    return {f"curves/{name}": float(value) for name, value in values.items() if name != "epoch"}


def evaluation_metrics(values: Mapping[str, Any], *, section: str = "test") -> dict[str, float]:
    """The numbers of a metrics.json by their MLflow names, `test/accuracy`; what is undefined is left out."""
    return {
        f"{section}/{name}": float(value)
        for name, value in values.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def flatten_params(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested parameters as MLflow takes them: dotted names, texts without passwords, everything else as JSON."""
    flat: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= flatten_params(value, f"{prefix}{name}.")
        else:
            text = value if isinstance(value, str) else json.dumps(value)
            flat[f"{prefix}{name}"] = hide_passwords(text)[:MAX_PARAM_LENGTH]
    return flat
