"""Things in front of the head that hide a part of it: grass, a fence, a toy, a cup, a leaf."""

import numpy as np

from convlens.photos.painting.canvas import Canvas
from convlens.photos.painting.colour import WHITE, Colour, draw_colour, mix, shade, vary
from convlens.photos.painting.dice import Dice
from convlens.photos.painting.geometry import almond, as_points, ellipse, rectangle, smooth_path
from convlens.photos.painting.pose import Pose


def paint_occluder(canvas: Canvas, pose: Pose, *, dice: Dice, probability: float) -> None:
    """Paint, with the given probability, one thing in front of a part of the head."""
    if dice.chance(probability):
        dice.pick(_OCCLUDERS)(canvas, pose, dice)


def _beside(pose: Pose, dice: Dice) -> tuple[float, float]:
    """Draw a place near the rim of the head, at any side."""
    angle, away = dice.uniform(0, 2 * np.pi), pose.radius * dice.uniform(0.85, 1.15)
    return pose.x + away * float(np.cos(angle)), pose.y + away * float(np.sin(angle))


def _paint_grass(canvas: Canvas, pose: Pose, dice: Dice) -> None:
    """Draw tall blades that rise from below the photo to the chin."""
    green = vary((96, 148, 64), dice, amount=0.2)
    for _ in range(dice.integer(8, 16)):
        x = pose.x + pose.radius * dice.uniform(-1.5, 1.5)
        top = pose.y + pose.radius * dice.uniform(-0.3, 0.9)
        lean = pose.radius * dice.uniform(-0.4, 0.4)
        waist, height = x + 0.4 * lean, 0.5 + top / 2
        near, far = [(x - 0.012, 1.02), (waist - 0.008, height)], [(waist + 0.01, height), (x + 0.014, 1.02)]
        canvas.polygon(smooth_path([*near, (x + lean, top), *far], 4), vary(green, dice, amount=0.15))


def _paint_fence(canvas: Canvas, pose: Pose, dice: Dice) -> None:
    """Paint two rails of a fence with a post."""
    wood = vary(dice.pick(((150, 112, 80), (238, 234, 226), (110, 90, 76))), dice)
    thick = pose.radius * dice.uniform(0.16, 0.24)
    post = pose.x + dice.sign() * pose.radius * dice.uniform(0.9, 1.3)
    canvas.polygon(rectangle((post - thick * 0.7, 0), (post + thick * 0.7, 1)), shade(wood, 0.88))
    for height in (0.85, 1.6):
        y = pose.y + pose.radius * height + pose.radius * dice.uniform(-0.1, 0.1)
        canvas.polygon(rectangle((0, y - thick / 2), (1, y + thick / 2)), wood)
        canvas.line(as_points([(0, y + thick / 2), (1, y + thick / 2)]), shade(wood, 0.7), width=0.008)


def _paint_toy(canvas: Canvas, pose: Pose, dice: Dice) -> None:
    """Paint a ball in front of the rim of the head."""
    (x, y), size = _beside(pose, dice), pose.radius * dice.uniform(0.3, 0.45)
    colour = draw_colour(dice, saturation=(0.4, 0.8), value=(0.6, 0.95))
    canvas.polygon(ellipse((x, y), (size, size)), colour)
    canvas.polygon(ellipse((x, y), (size, size * 0.28), turn=dice.uniform(0, 3)), mix(colour, WHITE, 0.7))
    canvas.glow((x - size * 0.35, y - size * 0.4), (size * 0.55, size * 0.55), colour=WHITE, strength=0.6)


def _paint_cup(canvas: Canvas, pose: Pose, dice: Dice) -> None:
    """Paint a cup in front of one cheek."""
    size, colour = pose.radius * dice.uniform(0.4, 0.55), draw_colour(dice, saturation=(0.2, 0.7), value=(0.6, 0.98))
    side = dice.sign()
    x, y = pose.x + side * pose.radius * dice.uniform(0.75, 1.1), pose.y + pose.radius * dice.uniform(0.7, 1.2)
    handle = ellipse((x + side * size * 0.7, y + size * 0.5), (size * 0.35, size * 0.35))
    canvas.line(handle, shade(colour, 0.8), width=0.015)
    foot = [(x + size * 0.58, y + size * 1.3), (x - size * 0.58, y + size * 1.3)]
    canvas.polygon(as_points([(x - size * 0.7, y), (x + size * 0.7, y), *foot]), colour)
    canvas.polygon(ellipse((x, y), (size * 0.7, size * 0.18)), shade(colour, 0.55))
    band = rectangle((x - size * 0.64, y + size * 0.5), (x + size * 0.64, y + size * 0.72))
    canvas.polygon(band, mix(colour, WHITE, 0.6))


def _paint_leaf(canvas: Canvas, pose: Pose, dice: Dice) -> None:
    """Paint a few leaves of a branch near the lens."""
    green: Colour = vary(dice.pick(((90, 140, 70), (190, 110, 50), (70, 116, 90))), dice, amount=0.15)
    x, y = _beside(pose, dice)
    for _ in range(dice.integer(2, 4)):
        size, turn = pose.radius * dice.uniform(0.28, 0.42), dice.uniform(0, 6.3)
        shift = np.array([x + size * dice.uniform(-0.6, 0.6), y + size * dice.uniform(-0.6, 0.6)])
        leaf = almond((size, size * 0.5), turn=turn, sharpness=0.6) + shift
        canvas.polygon(leaf, vary(green, dice, amount=0.12))
        canvas.line(np.stack([leaf[0], leaf[14]]), shade(green, 0.75), width=0.006)


_OCCLUDERS = (_paint_grass, _paint_fence, _paint_toy, _paint_cup, _paint_leaf)
