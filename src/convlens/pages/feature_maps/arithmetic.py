"""Kernels and the program of a network, encoded."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from convlens.pages.feature_maps.encode import Block, as_base64, is_stored

# --- Kernels, and how each value is made, as the page reads them ---

MAX_KERNEL_VALUES = 1_300_000  # about 3.5 MB of base64 for all kernels of the page
MAX_WORKED = 64_000_000  # multiplications for the maps of one convolution: about a tenth of a second in a browser
LARGEST = 32_767
MAX_FINE_VALUES = 600_000  # per photo: map values stored twice as finely
NO_ROOM = "Its kernels would make this page too large."


def plan_arithmetic(
    blocks: Sequence[Block], recipes: Mapping[str, Any], chosen: Mapping[str, np.ndarray]
) -> tuple[dict[str, Any], dict[str, str]]:
    """The blocks whose values can be worked out on the page, in network order while there is room, and why not others.

    Args:
        blocks: convolutions and what follows them.
        recipes: by name of the block: a recipe (`convlens.lens.arithmetic.ConvolutionRecipe`), or why there is none.
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


def worked_convolutions(
    blocks: Sequence[Block], planned: Mapping[str, Any], fine: frozenset[str], chosen: Mapping[str, np.ndarray]
) -> frozenset[str]:
    """Convolutions whose maps the page works out instead of storing them.

    Those that something is compared with, or read from, stay; so do those that a browser would be slow at.
    """
    costs: dict[str, int] = {}
    for block in blocks:
        if block.name in planned:
            rows, columns, _ = block.steps[0].shape
            costs[block.name] = rows * columns * planned[block.name].kernel[chosen[block.name]].size
    return frozenset(name for name, cost in costs.items() if cost <= MAX_WORKED and name not in fine)


def round_kernels(planned: Mapping[str, Any]) -> dict[str, Any]:
    """The recipes with their kernels as the page holds them: 16 bits a weight, one step per filter."""
    return {
        name: replace(recipe, kernel=_decode(*_round(recipe.kernel), recipe.kernel.shape))
        for name, recipe in planned.items()
    }


def encode_arithmetic(
    recipe: Any, shown: np.ndarray, *, block: str, error: tuple[float, float], map_error: float | None = None
) -> dict[str, Any]:
    """One block's arithmetic; its kernels are stored apart.

    Args:
        recipe: of the block.
        shown: filters shown.
        block: its name.
        error: largest difference of values worked out to the network's own, absolute and as a share of the largest.
        map_error: the same of the convolution's own map, where the page works it out; else None.
    """
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
        "mapError": None if map_error is None else float(f"{map_error:.2g}"),
    }


def encode_kernels(planned: Mapping[str, Any], chosen: Mapping[str, np.ndarray]) -> dict[str, dict[str, str]]:
    """Kernels of the filters shown by name of the block: whole numbers of 16 bits, and a step per filter."""
    found = {}
    for name, recipe in planned.items():
        whole, step = _round(recipe.kernel[chosen[name]])
        found[name] = {"step": as_base64(step), "values": as_base64(whole)}
    return found


def _round(kernel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Whole numbers (filters, weights) and their steps."""
    flat = kernel.reshape(len(kernel), -1).astype(np.float64)
    step = (np.abs(flat).max(axis=1) / LARGEST).astype(np.float32)
    places = flat / np.where(step > 0, step, 1).astype(np.float64)[:, np.newaxis]
    return np.clip(np.round(places), -LARGEST, LARGEST).astype("<i2"), step


def _decode(whole: np.ndarray, step: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """As a browser reads it: the product in double precision, kept as float32."""
    return (whole * step.astype(np.float64)[:, np.newaxis]).astype(np.float32).reshape(shape)


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


# --- The network as operations that the page can run ---


def encode_program(program: Any) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """The program (`convlens.lens.arithmetic.Program`) for the page's data, and its dense weights for the kernels."""
    if program is None:
        return None, {}
    dense = {
        operation.name: {"weights": as_base64(operation.weights),
                         "bias": None if operation.bias is None else as_base64(operation.bias)}
        for operation in program.operations
        if operation.kind == "dense"
    }  # fmt: skip
    return {
        "operations": [_encode(operation) for operation in program.operations],
        "logOdds": len(program.operations) - 1,
        "units": program.units,
        "multiplications": program.multiplications,
    }, dense


def _encode(operation: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"kind": operation.kind, "inputs": list(operation.inputs), "name": operation.name}
    if operation.shape is not None:
        found["shape"] = list(operation.shape)
    if operation.windows is not None:
        found["windows"] = [
            {"size": window.size, "stride": window.stride, "before": window.before} for window in operation.windows
        ]
    if operation.scale is not None:
        found |= {"scale": as_base64(operation.scale), "offset": as_base64(operation.offset)}
    return found
