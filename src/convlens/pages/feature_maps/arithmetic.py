"""Kernels and the program of a network, as the feature-map page reads them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from convlens.files import round_number
from convlens.lens.arithmetic import ConvolutionRecipe, Program
from convlens.lens.lens import Block
from convlens.pages.feature_maps.encode import as_base64, encode_windows, is_stored

# --- Which convolutions the page can work out by itself ---

MAX_KERNEL_VALUES = 1_300_000  # about 3.5 MB of base64 for all kernels of the page
MAX_WORKED = 64_000_000  # multiplications for the maps of one convolution: about a tenth of a second in a browser
MAX_FINE_VALUES = 600_000  # per photo: map values stored twice as finely
NO_ROOM = "Its kernels would make this page too large."


def plan_arithmetic(
    blocks: Sequence[Block], recipes: Mapping[str, ConvolutionRecipe | str], chosen: Mapping[str, np.ndarray]
) -> tuple[dict[str, ConvolutionRecipe], dict[str, str]]:
    """Choose the blocks whose values can be worked out on the page, in network order while there is room.

    Args:
        blocks: convolutions and what follows them.
        recipes: by name of the block: how its values are made, or why that cannot be told.
        chosen: filters shown, by name of the block.

    Returns:
        Recipes of these blocks, and the reasons why the others are not among them.
    """
    owners = {step.name: block for block in blocks for step in block.steps}
    planned: dict[str, ConvolutionRecipe] = {}
    reasons: dict[str, str] = {}
    room, fine_room = MAX_KERNEL_VALUES, MAX_FINE_VALUES
    fine: set[str] = set()
    for block in blocks:
        recipe = recipes.get(block.name, "It is no convolution.")
        if isinstance(recipe, str):
            reasons[block.name] = recipe
            continue
        needed = {_stored_step(owners, name) for name in (*recipe.source.steps, recipe.up_to or block.name)} - fine
        size = recipe.kernel[chosen[block.name]].size
        cost = 0
        for name in needed:
            owner = owners[name]
            shape = next(step.shape for step in owner.steps if step.name == name)
            cost += shape[0] * shape[1] * len(chosen[owner.name])
        hidden = [name for name in recipe.source.steps if len(chosen[owners[name].name]) < owners[name].num_filters]
        if hidden:
            reasons[block.name] = f"It reads {hidden[0]}, of which not all filters are on the page."
        elif size > room or cost > fine_room:
            reasons[block.name] = NO_ROOM
        else:
            planned[block.name] = recipe
            room, fine_room, fine = room - size, fine_room - cost, fine | needed
    return planned, reasons


def fine_steps(blocks: Sequence[Block], planned: Mapping[str, ConvolutionRecipe]) -> frozenset[str]:
    """Stored steps that are kept finely: what is read, and what the result is compared with."""
    owners = {step.name: block for block in blocks for step in block.steps}
    names = {name for block, recipe in planned.items() for name in (*recipe.source.steps, recipe.up_to or block)}
    return frozenset(_stored_step(owners, name) for name in names)


def worked_convolutions(
    blocks: Sequence[Block],
    planned: Mapping[str, ConvolutionRecipe],
    fine: frozenset[str],
    chosen: Mapping[str, np.ndarray],
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


def _stored_step(owners: Mapping[str, Block], name: str) -> str:
    """The stored step that a step is, or is derived from."""
    steps = owners[name].steps
    place = [step.name for step in steps].index(name)
    while not is_stored(steps[place], place):
        place -= 1
    return steps[place].name


# --- Kernels in 16 bits a weight, with one step per filter ---

INT16_MAX = 32_767


def quantize_kernels(kernel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Kernels (filters, …) as whole numbers int16 (filters, weights), and what one is worth, float32 (filters,)."""
    flat = kernel.reshape(len(kernel), -1).astype(np.float64)
    step = (np.abs(flat).max(axis=1) / INT16_MAX).astype(np.float32)
    places = flat / np.where(step > 0, step, 1).astype(np.float64)[:, np.newaxis]
    return np.clip(np.round(places), -INT16_MAX, INT16_MAX).astype("<i2"), step


def round_kernels(planned: Mapping[str, ConvolutionRecipe]) -> dict[str, ConvolutionRecipe]:
    """The recipes with their kernels as a browser reads them: the product in double precision, kept as float32."""
    found = {}
    for name, recipe in planned.items():
        whole, step = quantize_kernels(recipe.kernel)
        kernel = (whole * step.astype(np.float64)[:, np.newaxis]).astype(np.float32)
        found[name] = replace(recipe, kernel=kernel.reshape(recipe.kernel.shape))
    return found


def encode_kernels(
    planned: Mapping[str, ConvolutionRecipe], chosen: Mapping[str, np.ndarray]
) -> dict[str, dict[str, str]]:
    """Encode the kernels of the filters shown, by name of the block."""
    found = {}
    for name, recipe in planned.items():
        whole, step = quantize_kernels(recipe.kernel[chosen[name]])
        found[name] = {"step": as_base64(step), "values": as_base64(whole)}
    return found


def encode_arithmetic(
    recipe: ConvolutionRecipe,
    shown: np.ndarray,
    *,
    block: str,
    error: tuple[float, float],
    map_error: float | None = None,
) -> dict[str, Any]:
    """Encode how a block's values are made; its kernels are stored apart.

    Args:
        recipe: of the block.
        shown: filters shown.
        block: its name.
        error: largest difference of values worked out to the network's own, absolute and as a share of the largest.
        map_error: the same of the convolution's own map, where the page works it out; else None.
    """
    source = recipe.source
    return {
        "kind": recipe.kind,
        "windows": [
            encoded | {"dilation": window.dilation}
            for encoded, window in zip(encode_windows(recipe.windows), recipe.windows, strict=True)
        ],
        "kernel": list(recipe.kernel.shape[2:]),
        "numChannels": recipe.num_channels,
        "channelsPerFilter": recipe.kernel.shape[1],
        "upTo": recipe.up_to or block,
        "firstChannel": recipe.first_channel[shown].tolist(),
        "bias": None if recipe.bias is None else as_base64(recipe.bias[shown]),
        "input": {"kind": "steps", "names": list(source.steps)}
        if source.steps
        else {"kind": "picture", "scale": list(source.scale), "offset": list(source.offset),
              "order": list(source.order)},
        "error": round_number(error[0], 2),
        "errorShare": round_number(error[1], 2),
        "mapError": None if map_error is None else round_number(map_error, 2),
    }  # fmt: skip


# --- The network as operations that the page can run ---


def encode_program(program: Program | None) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """Encode a program for the page's data, and its dense weights for the kernels."""
    if program is None:
        return None, {}
    dense: dict[str, Any] = {}
    operations: list[dict[str, Any]] = []
    for operation in program.operations:
        found: dict[str, Any] = {"kind": operation.kind, "inputs": list(operation.inputs), "name": operation.name}
        if operation.shape is not None:
            found["shape"] = list(operation.shape)
        if operation.windows is not None:
            found["windows"] = encode_windows(operation.windows)
        if operation.scale is not None and operation.offset is not None:
            found |= {"scale": as_base64(operation.scale), "offset": as_base64(operation.offset)}
        if operation.weights is not None:
            bias = None if operation.bias is None else as_base64(operation.bias)
            dense[operation.name] = {"weights": as_base64(operation.weights), "bias": bias}
        operations.append(found)
    last = len(program.operations) - 1
    return {"operations": operations, "logOdds": last, "units": program.units,
            "multiplications": program.multiplications}, dense  # fmt: skip
