"""Names of classes as parts of metric names."""

import re
from collections.abc import Sequence


def class_keys(classes: Sequence[str]) -> tuple[str, ...]:
    """Each class's name as a part of metric names: letters, digits and underscores, each once.

    `maine coon` becomes `maine_coon`; a name that is taken, or has no letters, gets the number of its class.
    """
    keys: list[str] = []
    for number, name in enumerate(classes, start=1):
        key = re.sub(r"\W+", "_", name).strip("_") or "class"
        while key in keys or key == "class":
            key = f"{key}_{number}"
        keys.append(key)
    return tuple(keys)
