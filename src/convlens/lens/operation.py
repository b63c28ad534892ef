"""Something worked out from a tensor of an opened network, as a layer of a name that no other layer has.

Keras names operations by their kind (`cast`, `max`), and a graph whose names are not unique is refused. Layers of the
user's network may have such names already: given by hand, or by the process that saved it.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import keras


class LensOperation(keras.layers.Layer):
    """A function of tensors as a layer; Keras numbers the names of these, so that each is the only one."""

    def __init__(self, function: Callable[..., Any], name: str | None = None) -> None:
        """Take what `call` shall do."""
        super().__init__(name=name, autocast=False)
        self._function = function

    def call(self, tensor: Any) -> Any:
        """What the function gives."""
        return self._function(tensor)


class Cast(LensOperation):
    """Values as numbers of another type."""

    def __init__(self, dtype: str, name: str) -> None:
        """Take the type, and a name that nothing in the graph has."""
        super().__init__(partial(keras.ops.cast, dtype=dtype), name)


def operate(function: Callable[..., Any], tensor: Any) -> Any:
    """What a function gives of a tensor of a graph, as a tensor of it, or several."""
    return LensOperation(function)(tensor)
