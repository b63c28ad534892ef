"""What goes wrong between us and the store, told in one line without secrets."""

import contextlib
import re
from collections.abc import Iterator

from filelock import Timeout
from mlflow.exceptions import MlflowException
from requests import RequestException
from sqlalchemy.exc import SQLAlchemyError

from convlens.errors import ConvLensError

STORE_FAILURES = (MlflowException, RequestException, SQLAlchemyError, OSError, Timeout)
MAX_SHOWN = 200


def describe_failure(error: BaseException) -> str:
    """The first line of an error's message, short, without passwords in addresses."""
    text = hide_passwords(str(error).strip().partition("\n")[0]) or type(error).__name__
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 1] + "…"


def hide_passwords(text: str) -> str:
    """`https://user:secret@host` becomes `https://…@host`."""
    return re.sub(r"(\w+://)[^/@\s]+@", r"\1…@", text)


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
