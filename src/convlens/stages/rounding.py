"""The digits that files keep: what float32 holds. More would turn one machine's rounding into a difference of runs."""

import numpy as np
import pandas as pd

DIGITS = 7


def round_array(values: np.ndarray) -> np.ndarray:
    """Numbers with the digits that files keep."""
    return np.array([round_number(float(value)) for value in values.ravel()]).reshape(values.shape)


def round_number(value: float) -> float:
    """A number with the digits that files keep."""
    return float(f"{value:.{DIGITS}g}")


def round_table(table: pd.DataFrame) -> pd.DataFrame:
    """Rounded floats; what is undefined becomes an empty cell."""
    numbers = table.select_dtypes("number").columns.difference(table.select_dtypes("integer").columns)
    return table.assign(**{str(name): round_array(table[name].to_numpy(dtype=float)) for name in numbers})
