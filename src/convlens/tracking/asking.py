"""Asks a packaged model, of whatever version of ConvLens packed it."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from mlflow.exceptions import MlflowException

from convlens.errors import ConvLensError
from convlens.tracking.quiet import no_warnings


def ask_packaged(model: Any, photos: Sequence[Any], params: Mapping[str, Any]) -> pd.DataFrame:
    """Answers of a model that `load_model` gave.

    Args:
        model: as MLflow opened it.
        photos: paths, bytes, base64 texts or arrays.
        params: `threshold` and `top_k`, those that were given.

    Raises:
        ConvLensError: the model does not take these parameters, or not these values.
    """
    schema = model.metadata.get_params_schema()
    known = {spec.name for spec in schema.params} if schema else set()
    unknown = ", ".join(sorted(set(params) - known))
    if unknown:  # MLflow would go on without them
        raise ConvLensError(f"Expected a model that takes {unknown}. Received: one packed without. Register it anew.")
    try:
        with no_warnings():
            answers: pd.DataFrame = model.predict(list(photos), params=dict(params) or None)
    except MlflowException as error:
        raise ConvLensError(error.message) from error
    return answers
