"""Kernels, and how each value is made, as the page reads them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from convlens.report.feature_maps_blocks import Block
from convlens.report.feature_maps_encode import is_stored
from convlens.report.feature_maps_sprites import as_base64

MAX_KERNEL_VALUES = 786_432  # about 4 MB of base64 for all kernels of the page
MAX_FINE_VALUES = 600_000  # per photo: map values stored twice as finely
NO_ROOM = "Its kernels would make this page too large."


def plan_arithmetic(
    blocks: Sequence[Block], recipes: Mapping[str, Any], chosen: Mapping[str, np.ndarray]
) -> tuple[dict[str, Any], dict[str, str]]:
    """The blocks whose values can be worked out on the page, in network order while there is room, and why not others.

    Args:
        blocks: convolutions and what follows them.
        recipes: by name of the block: a recipe (`convlens.lens.kernels.Recipe`), or why there is none.
        chosen: filters shown, by name of the block.
    """
    owners = {step.name: block for block in blocks for step in block.steps}
    planned: dict[str, Any] = {}
    reasons: dict[str, str] = {}
    room, fine_room = MAX_KERNEL_VALUES, MAX_FINE_VALUES
    fine: set[str] = set()
    for block in blocks:
        recipe = recipes.get(block.name, "It is no convolution.")
        if isinstance(recipe, str):
            reasons[block.name] = recipe
            continue
        needed = {_stored(owners, name) for name in (*recipe.source.steps, recipe.up_to or block.name)} - fine
        size = recipe.kernel[chosen[block.name]].size
        cost = sum(_num_values(owners, name, chosen) for name in needed)
        hidden = [name for name in recipe.source.steps if len(chosen[owners[name].name]) < owners[name].num_filters]
        if hidden:
            reasons[block.name] = f"It reads {hidden[0]}, of which not all filters are on the page."
        elif size > room or cost > fine_room:
            reasons[block.name] = NO_ROOM
        else:
            planned[block.name] = recipe
            room, fine_room, fine = room - size, fine_room - cost, fine | needed
    return planned, reasons


def fine_steps(blocks: Sequence[Block], planned: Mapping[str, Any]) -> frozenset[str]:
    """Stored steps that are kept finely: what is read, and what the result is compared with."""
    owners = {step.name: block for block in blocks for step in block.steps}
    names = {name for block, recipe in planned.items() for name in (*recipe.source.steps, recipe.up_to or block)}
    return frozenset(_stored(owners, name) for name in names)


def encode_arithmetic(recipe: Any, shown: np.ndarray, *, block: str, error: tuple[float, float]) -> dict[str, Any]:
    """One block's arithmetic; its kernels are stored apart."""
    return {
        "kind": recipe.kind,
        "windows": [
            {"size": window.size, "stride": window.stride, "before": window.before, "dilation": window.dilation}
            for window in recipe.windows
        ],
        "kernel": list(recipe.kernel.shape[2:]),
        "numChannels": recipe.num_channels,
        "channelsPerFilter": recipe.kernel.shape[1],
        "upTo": recipe.up_to or block,
        "firstChannel": recipe.first_channel[shown].tolist(),
        "bias": None if recipe.bias is None else as_base64(recipe.bias[shown]),
        "input": _encode_source(recipe.source),
        "error": float(f"{error[0]:.2g}"),
        "errorShare": float(f"{error[1]:.2g}"),
    }


def encode_kernels(planned: Mapping[str, Any], chosen: Mapping[str, np.ndarray]) -> dict[str, str]:
    """Kernels of the filters shown, float32, by name of the block."""
    return {name: as_base64(recipe.kernel[chosen[name]]) for name, recipe in planned.items()}


def _encode_source(source: Any) -> dict[str, Any]:
    if source.steps:
        return {"kind": "steps", "names": list(source.steps)}
    return {"kind": "picture", "scale": list(source.scale), "offset": list(source.offset), "order": list(source.order)}


def _stored(owners: Mapping[str, Block], name: str) -> str:
    """The stored step that a step is, or is derived from."""
    steps = owners[name].steps
    place = [step.name for step in steps].index(name)
    while not is_stored(steps[place], place):
        place -= 1
    return steps[place].name


def _num_values(owners: Mapping[str, Block], name: str, chosen: Mapping[str, np.ndarray]) -> int:
    block = owners[name]
    shape = next(step.shape for step in block.steps if step.name == name)
    return shape[0] * shape[1] * len(chosen[block.name])
