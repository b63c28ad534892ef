"""Curves and outlines as arrays of points, shape (num_points, 2), x to the right and y downwards."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]

_CATMULL_ROM = 0.5 * np.array([[0, 2, 0, 0], [-1, 0, 1, 0], [2, -5, 4, -1], [-1, 3, -3, 1]], dtype=np.float64)


def as_points(points: Sequence[tuple[float, float]]) -> Points:
    """Return a list of (x, y) pairs as an array."""
    return np.array(points, dtype=np.float64)


def smooth_loop(corners: Sequence[tuple[float, float]] | Points, steps: int = 6) -> Points:
    """Return a closed Catmull-Rom curve through the corners, `steps` points for each."""
    knots = np.asarray(corners, dtype=np.float64)
    neighbours = np.stack([np.roll(knots, shift, axis=0) for shift in (1, 0, -1, -2)], axis=1)
    return _interpolate(neighbours, steps)


def smooth_halves(right: Sequence[tuple[float, float]], steps: int = 6) -> Points:
    """Return a closed curve whose left half mirrors the given right one, which runs from the top to the bottom."""
    return smooth_loop([*right, *((-x, y) for x, y in right[-2:0:-1])], steps)


def smooth_path(corners: Sequence[tuple[float, float]] | Points, steps: int = 6) -> Points:
    """Return an open Catmull-Rom curve from the first corner to the last."""
    knots = np.asarray(corners, dtype=np.float64)
    padded = np.concatenate([knots[:1], knots, knots[-1:]])
    neighbours = np.stack([padded[i : len(padded) - 3 + i] for i in range(4)], axis=1)
    return np.concatenate([_interpolate(neighbours, steps), knots[-1:]])


def _interpolate(neighbours: Points, steps: int) -> Points:
    """Return the points between each second and third of four neighbouring knots."""
    time = np.arange(steps) / steps
    powers = time[:, None] ** np.arange(4)
    points: Points = np.einsum("sk,nkd->nsd", powers @ _CATMULL_ROM, neighbours).reshape(-1, 2)
    return points


def ellipse(centre: tuple[float, float], radii: tuple[float, float], *, turn: float = 0.0, count: int = 26) -> Points:
    """Return the outline of an ellipse, turned by `turn` radians."""
    angle = np.arange(count) * (2 * np.pi / count)
    upright = np.stack([radii[0] * np.cos(angle), radii[1] * np.sin(angle)], axis=1)
    outline: Points = rotate(upright, turn) + np.array(centre)
    return outline


def almond(radii: tuple[float, float], *, turn: float = 0.0, sharpness: float = 1.0, count: int = 28) -> Points:
    """Return an outline with two corners around the origin; `sharpness` 0 is an ellipse, 1 an almond."""
    angle = np.arange(count) * (2 * np.pi / count)
    height = np.sin(angle) * np.abs(np.sin(angle)) ** sharpness
    return rotate(np.stack([radii[0] * np.cos(angle), radii[1] * height], axis=1), turn)


def rectangle(left_top: tuple[float, float], right_bottom: tuple[float, float]) -> Points:
    """Return the four corners of an upright rectangle."""
    (left, top), (right, bottom) = left_top, right_bottom
    return as_points([(left, top), (right, top), (right, bottom), (left, bottom)])


def rotate(points: Points, turn: float) -> Points:
    """Return the points turned by `turn` radians around the origin, clockwise on the screen."""
    cosine, sine = np.cos(turn), np.sin(turn)
    turned: Points = points @ np.array([[cosine, sine], [-sine, cosine]])
    return turned


def mirror(points: Points) -> Points:
    """Return the points with left and right exchanged."""
    mirrored: Points = points * np.array([-1.0, 1.0])
    return mirrored


def shrink(points: Points, towards: tuple[float, float], *, factor: float) -> Points:
    """Return the points moved towards one point, to `factor` of their distance."""
    centre = np.array(towards)
    shrunk: Points = centre + (points - centre) * factor
    return shrunk


def outward(points: Points) -> Points:
    """Return the unit normals of a loop that point away from its middle."""
    tangent = np.roll(points, -1, axis=0) - np.roll(points, 1, axis=0)
    normal = np.stack([tangent[:, 1], -tangent[:, 0]], axis=1)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    away = np.sum(normal * (points - points.mean(axis=0)), axis=1, keepdims=True)
    return np.where(away < 0, -normal, normal)
