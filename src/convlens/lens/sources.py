"""What a convolution reads: steps whose maps are held, or the picture through a few factors and addends."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from convlens.lens.blocks import SILENT
from convlens.lens.walk import Call


@dataclass(frozen=True)
class Source:
    """What a convolution reads: steps whose maps are added up, or the picture, channel by channel.

    Attributes:
        steps: names of steps; empty for the picture.
        scale: of the picture: channel c is scale[c] * pixel[order[c]] + offset[c], pixels 0..255.
        offset: see `scale`.
        order: channels of the photo in the order they are read.
        top: rows of zeros added ahead of it by a layer of padding.
        left: columns added.
    """

    steps: tuple[str, ...] = ()
    scale: tuple[float, ...] = ()
    offset: tuple[float, ...] = ()
    order: tuple[int, ...] = ()
    top: int = 0
    left: int = 0


def read_source(source: Source, maps: Mapping[str, np.ndarray], picture: np.ndarray) -> np.ndarray:
    """What a convolution reads, float64 (rows, columns, channels), from maps of steps or from the picture."""
    if source.steps:
        return np.asarray(sum(maps[name].astype(np.float64) for name in source.steps))
    return picture[..., list(source.order)].astype(np.float64) * source.scale + source.offset


def trace_source(tensor: Any, makers: Mapping[int, Call], steps: Mapping[int, str], picture: Any) -> Source | str:
    """What a tensor is made of, in terms of steps or of the picture."""
    if id(tensor) in steps:
        return Source((steps[id(tensor)],))
    if tensor is picture:
        count = int(tensor.shape[-1])
        return Source((), (1.0,) * count, (0.0,) * count, tuple(range(count)))
    call = makers.get(id(tensor))
    if call is None:
        return "It reads the photo before it is resized."
    before = [trace_source(value, makers, steps, picture) for value in call.inputs]
    known = [source for source in before if isinstance(source, Source)]
    if len(known) < len(before) or not known:
        return next((source for source in before if isinstance(source, str)), _unknown(call))
    return _follow(call, known)


def is_widening(call: Call) -> bool:
    """Whether a layer only gives its values as real numbers; as whole numbers they would be cut off."""
    return call.kind == "Cast" and "float" in str(call.output.dtype)


def _follow(call: Call, known: Sequence[Source]) -> Source | str:
    source = known[0]
    padded = any(part.top or part.left for part in known)
    if call.kind in SILENT or is_widening(call):
        return source
    if call.kind == "ZeroPadding2D" and not padded:
        (top, _), (left, _) = call.layer.padding
        return replace(source, top=int(top), left=int(left))
    if call.kind == "Add" and not padded and all(part.steps for part in known):
        return Source(tuple(name for part in known for name in part.steps))
    if not source.steps and not padded:
        return _follow_picture(call, source)
    return _unknown(call)


def _follow_picture(call: Call, source: Source) -> Source | str:
    count = len(source.scale)
    if call.kind == "Rescaling":
        return _affine(source, np.resize(call.layer.scale, count), np.resize(call.layer.offset, count))
    if call.kind == "Normalization":
        mean, deviation = np.ravel(call.layer.mean), np.sqrt(np.ravel(call.layer.variance))
        if mean.size in (1, count):
            scale = np.resize(1 / np.maximum(deviation, 1e-7), count)
            return _affine(source, scale, -np.resize(mean, count) * scale)
    if call.kind == "Flip" and call.layer.axis in (-1, 3):
        return Source((), source.scale[::-1], source.offset[::-1], source.order[::-1])
    return _unknown(call)


def _affine(source: Source, scale: np.ndarray, offset: np.ndarray) -> Source:
    factors, addends = np.array(source.scale) * scale, np.array(source.offset) * scale + offset
    return replace(source, scale=tuple(factors.tolist()), offset=tuple(addends.tolist()))


def _unknown(call: Call) -> str:
    return f"It reads what {call.name} ({call.kind}) gives, which is not held on the page."
