"""What goes wrong between us and the store, told in one line without secrets."""

import contextlib
from collections.abc import Iterator

from filelock import Timeout
from mlflow.exceptions import MlflowException
from requests import RequestException
from sqlalchemy.exc import SQLAlchemyError

from convlens.errors import ConvLensError
from convlens.tracking.secrets import hide_passwords, hide_secrets

__all__ = ["STORE_FAILURES", "describe_failure", "hide_passwords", "store_must_answer"]
STORE_FAILURES = (MlflowException, RequestException, SQLAlchemyError, OSError, Timeout)
MAX_SHOWN = 200


def describe_failure(error: BaseException) -> str:
    """The first line of an error's message, short, without secrets."""
    text = hide_secrets(str(error).strip().partition("\n")[0]) or type(error).__name__
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 1] + "…"


@contextlib.contextmanager
def store_must_answer(uri: str, advice: str) -> Iterator[None]:
    """Turn the many errors of a store into the one that users read.

    Args:
        uri: address of the store.
        advice: what to do about it.

    Raises:
        ConvLensError: whatever the store raised in the block.
    """
    try:
        yield
    except STORE_FAILURES as error:
        raise ConvLensError(
            f"Expected the MLflow store {hide_passwords(uri)} to answer. Received: {describe_failure(error)} {advice}"
        ) from error
