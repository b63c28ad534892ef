"""Which parameters differ between runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from convlens.tracking.values import flatten_params

ABSENT = "–"


@dataclass(frozen=True)
class ParameterRow:
    """A parameter that is not the same everywhere.

    Attributes:
        name: dotted, as `dvc exp run -S` takes it.
        values: as text, one per set of parameters; `–` where it does not exist.
    """

    name: str
    values: tuple[str, ...]


def list_differences(sets: Sequence[Mapping[str, Any]]) -> tuple[ParameterRow, ...]:
    """The parameters that differ between nested sets of them, in the order of the last set."""
    flat = [flatten_params(values) for values in sets]
    names = dict.fromkeys(name for values in reversed(flat) for name in values)
    rows = [ParameterRow(name, tuple(values.get(name, ABSENT) for values in flat)) for name in names]
    return tuple(row for row in rows if len(set(row.values)) > 1)
