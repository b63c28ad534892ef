"""One dot per test photo: what both runs answer right, what one of them does, and what neither does."""

import math
from dataclasses import dataclass

from convlens.comparison.paired import Pair

MAX_DOTS = 400
MEANINGS = {"lost": "now wrong", "gained": "now right", "neither": "both wrong", "both": "both right"}


@dataclass(frozen=True)
class Dots:
    """Dots in rows, the changed ones first.

    Attributes:
        places: column and row of each dot, by what it stands for.
        counts: photos, by the same.
        num_columns: in a row.
        num_rows: of dots.
        one_per_photo: false: a dot is half a percent of the photos.
    """

    places: dict[str, list[tuple[int, int]]]
    counts: dict[str, int]
    num_columns: int
    num_rows: int
    one_per_photo: bool


def place_dots(pair: Pair) -> Dots:
    """A dot per photo; beyond 400 photos about 200, and never none for photos that there are."""
    before, after = pair.right("base"), pair.right("head")
    counts = {
        "lost": int((before & ~after).sum()),
        "gained": int((~before & after).sum()),
        "neither": int((~before & ~after).sum()),
        "both": int((before & after).sum()),
    }
    total = len(before)
    scale = 1.0 if total <= MAX_DOTS else MAX_DOTS / 2 / total
    numbers = {kind: max(round(count * scale), int(count > 0)) for kind, count in counts.items()}
    num_dots = sum(numbers.values())
    num_columns = math.ceil(math.sqrt(1.7 * num_dots))
    order = iter([(index % num_columns, index // num_columns) for index in range(num_dots)])
    places = {kind: [next(order) for _ in range(number)] for kind, number in numbers.items()}
    return Dots(places, counts, num_columns, math.ceil(num_dots / num_columns), scale == 1.0)
