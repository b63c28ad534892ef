"""What stands behind and before an animal."""

import numpy as np

from convlens.data.synthetic.animals import Pose
from convlens.data.synthetic.canvas import (
    INK,
    WHITE,
    Canvas,
    Color,
    Dice,
    Points,
    almond,
    as_points,
    closed,
    draw_color,
    ellipse,
    mix,
    rectangle,
    rotate,
    shade,
    smooth_loop,
    smooth_path,
    vary,
)

Spot = tuple[float, float]

# --- backgrounds outdoors ---

_SKIES: tuple[tuple[Color, Color], ...] = (
    ((112, 176, 230), (206, 230, 244)),
    ((246, 176, 130), (252, 222, 176)),
    ((150, 164, 184), (214, 218, 222)),
    ((120, 130, 200), (242, 190, 190)),
)


def _paint_sky(canvas: Canvas, dice: Dice, *, horizon: float) -> None:
    """Paint a sky down to the horizon, with sun and clouds of three puffs."""
    high, low = dice.pick(_SKIES)
    canvas.gradient(high, low, span=(0, horizon))
    if dice.chance(0.5):
        canvas.glow((dice.uniform(0, 1), dice.uniform(0, horizon)), (0.25, 0.25), color=(255, 244, 200), strength=0.9)
    for _ in range(dice.integer(0, 3)):
        x, y, size = dice.uniform(0, 1), dice.uniform(0.05, 0.7 * horizon), dice.uniform(0.06, 0.12)
        for shift, scale in ((-0.9, 0.7), (0, 1.0), (0.9, 0.75)):
            canvas.glow((x + shift * size, y), (size * scale * 1.4, size * scale), color=WHITE, strength=0.85)


def _draw_ridge(dice: Dice, height: float, *, rough: float) -> Points:
    return smooth_path([(x, height + dice.uniform(-rough, rough)) for x in np.linspace(-0.1, 1.1, 6)], 5)


def _fill_below(canvas: Canvas, ridge: Points, color: Color) -> None:
    canvas.polygon(np.concatenate([ridge, as_points([(1.1, 1), (-0.1, 1)])]), color)


def _paint_hills(canvas: Canvas, dice: Dice) -> None:
    """Paint three rows of hills with firs or round trees, the nearer the darker, under a sky."""
    horizon = dice.uniform(0.35, 0.6)
    _paint_sky(canvas, dice, horizon=horizon + 0.15)
    green = vary(dice.pick(((110, 156, 84), (150, 166, 92), (86, 132, 110))), dice, amount=0.12)
    for row in range(3):
        ridge, is_fir = _draw_ridge(dice, horizon + 0.16 * row - 0.02, rough=0.07), dice.chance(0.5)
        _fill_below(canvas, ridge, mix(green, (200, 214, 220), 0.45 - 0.2 * row))
        for _ in range(dice.integer(0, 4)):
            (x, y), size = ridge[dice.integer(0, len(ridge) - 1)], dice.uniform(0.03, 0.07)
            fir = as_points([(x - size * 0.6, y + 0.02), (x, y - 2 * size), (x + size * 0.6, y + 0.02)])
            tree = fir if is_fir else ellipse((x, y - size * 0.6), (size * 0.7, size))
            canvas.polygon(tree, vary(shade(green, 0.7 + 0.08 * row), dice))


def _paint_meadow(canvas: Canvas, dice: Dice) -> None:
    """Paint a meadow with blades of grass and flowers; sometimes it fills the whole photo."""
    horizon = dice.pick((0.0, dice.uniform(0.25, 0.5)))
    if horizon > 0:
        _paint_sky(canvas, dice, horizon=horizon)
    green = vary((112, 162, 72), dice, amount=0.15)
    canvas.gradient(shade(green, 1.12), shade(green, 0.76), span=(horizon, 1))
    generator = dice.generator()
    root = generator.random((220, 2)) * np.array([1.0, 1.0 - horizon]) + np.array([0.0, horizon + 0.02])
    long = 0.02 + 0.07 * (root[:, 1:] - horizon)
    tip = root + np.concatenate([generator.normal(0, 0.4, (220, 1)), -np.ones((220, 1))], axis=1) * long
    tones = np.clip(np.array(green) * generator.uniform(0.65, 1.25, (220, 1)), 0, 255).astype(np.uint8)
    canvas.strokes(np.concatenate([root, tip], axis=1), tones, width=0.007)
    for _ in range(dice.integer(0, 14)):
        x, y = dice.uniform(0, 1), dice.uniform(horizon + 0.05, 1)
        size = 0.008 + 0.018 * (y - horizon)
        petal = dice.pick((WHITE, draw_color(dice, saturation=(0.4, 0.8), value=(0.8, 1.0))))
        for angle in np.arange(5) * 1.257:
            spot = x + size * np.cos(angle), y + size * np.sin(angle)
            canvas.polygon(ellipse(spot, (size * 0.7, size * 0.7), count=8), petal)
        canvas.polygon(ellipse((x, y), (size * 0.6, size * 0.6), count=8), (246, 206, 70))


def _paint_beach(canvas: Canvas, dice: Dice) -> None:
    horizon, shore = dice.uniform(0.25, 0.4), dice.uniform(0.5, 0.65)
    _paint_sky(canvas, dice, horizon=horizon)
    sea = vary((72, 146, 176), dice, amount=0.15)
    canvas.polygon(rectangle((0, horizon), (1, 1)), sea)
    for _ in range(10):
        x, y = dice.uniform(-0.1, 1), dice.uniform(horizon + 0.02, shore)
        canvas.line(as_points([(x, y), (x + dice.uniform(0.05, 0.2), y)]), mix(sea, WHITE, 0.5), width=0.006)
    edge = _draw_ridge(dice, shore, rough=0.03)
    _fill_below(canvas, edge, vary((228, 204, 160), dice, amount=0.08))
    canvas.line(edge, WHITE, width=0.014)


def _paint_night(canvas: Canvas, dice: Dice) -> None:
    high = vary((34, 38, 84), dice, amount=0.2)
    canvas.gradient(high, (110, 100, 150))
    for _ in range(30):
        size = dice.uniform(0.002, 0.007)
        canvas.polygon(ellipse((dice.uniform(0, 1), dice.uniform(0, 0.7)), (size, size), count=6), (250, 244, 210))
    moon = dice.uniform(0.1, 0.9), dice.uniform(0.08, 0.3)
    canvas.glow(moon, (0.2, 0.2), color=(246, 236, 190), strength=0.5)
    canvas.polygon(ellipse(moon, (0.07, 0.07)), (248, 240, 206))
    _fill_below(canvas, _draw_ridge(dice, 0.68, rough=0.08), shade(high, 1.3))


def _paint_autumn(canvas: Canvas, dice: Dice) -> None:
    """Paint a ground of fallen leaves, or of snow with flakes in the air."""
    is_snow = dice.chance(0.4)
    ground = (158, 168, 179) if is_snow else vary((138, 100, 66), dice, amount=0.15)
    canvas.polygon(rectangle((0, 0), (1, 1)), ground)
    if is_snow:
        canvas.glow((0.5, 1.0), (1.0, 0.5), color=WHITE, strength=0.9)
    for _ in range(70):
        size, spot = dice.uniform(0.012, 0.04), (dice.uniform(0, 1), dice.uniform(0, 1))
        leaf = vary(dice.pick(((206, 120, 44), (190, 70, 44), (220, 168, 60), (150, 110, 50))), dice, amount=0.12)
        radii = (size * 0.4, size * 0.4) if is_snow else (size, size * 0.45)
        canvas.polygon(ellipse(spot, radii, turn=dice.uniform(0, 3.1), count=10), WHITE if is_snow else leaf)


# --- backgrounds indoors, from plain walls to a room with a window ---

_WOODS: tuple[Color, ...] = ((176, 124, 78), (134, 90, 58), (206, 168, 124), (112, 84, 70), (190, 176, 160))
# sage, cream, dusty rose, sky, terracotta, mustard, teal, denim, lavender, gray, plum, olive
_WALLS: tuple[Color, ...] = ((178, 196, 168), (240, 226, 198), (222, 172, 164), (158, 196, 220), (206, 128, 96),
                             (230, 190, 96), (84, 150, 152), (92, 112, 156), (190, 174, 212), (206, 204, 200),
                             (150, 96, 110), (122, 152, 96))  # fmt: skip


def paint_background(canvas: Canvas, dice: Dice) -> None:
    """Paint one of many backgrounds over the whole canvas; some are out of focus."""
    dice.pick(_BACKGROUNDS)(canvas, dice)
    if dice.chance(0.35):
        canvas.soften(dice.uniform(0.006, 0.016))


def _draw_wall(dice: Dice) -> Color:
    """Draw the color of a wall, as a paint shop would offer it, in a light or a deep tone."""
    return vary(shade(dice.pick(_WALLS), dice.uniform(0.65, 1.05)), dice, amount=0.08)


def _paint_studio(canvas: Canvas, dice: Dice) -> None:
    color = _draw_wall(dice)
    canvas.gradient(color, shade(color, dice.uniform(0.55, 0.9)))
    spot = dice.uniform(0.2, 0.8), dice.uniform(0.1, 0.5)
    canvas.glow(spot, (0.7, 0.7), color=mix(color, WHITE, 0.7), strength=0.5)


def _paint_wallpaper(canvas: Canvas, dice: Dice) -> None:
    color, step, pattern = _draw_wall(dice), dice.uniform(0.07, 0.14), dice.integer(0, 2)
    second = mix(color, dice.pick((WHITE, shade(color, 0.6))), dice.uniform(0.3, 0.6))
    canvas.polygon(rectangle((0, 0), (1, 1)), color)
    for row, place in enumerate(np.arange(-1, 1 + step, step)):
        if pattern == 0:
            canvas.polygon(rectangle((place, 0), (place + step * 0.45, 1)), second)
        elif pattern == 1:
            for x in np.arange((row % 2) * step / 2, 1 + step, step):
                canvas.polygon(ellipse((x, place), (step * 0.22, step * 0.22), count=12), second)
        else:
            canvas.line(as_points([(place, 0), (place + 1, 1)]), second, width=step * 0.12)
            canvas.line(as_points([(place + 1, 0), (place, 1)]), second, width=step * 0.12)
    if dice.chance(0.6):
        _paint_floor(canvas, dice, top=dice.uniform(0.62, 0.85))


def _paint_floor(canvas: Canvas, dice: Dice, *, top: float) -> None:
    wood = vary(dice.pick(_WOODS), dice, amount=0.1)
    canvas.polygon(rectangle((0, top), (1, 1)), wood)
    for x in np.arange(-0.6, 1.6, 0.14):
        canvas.line(as_points([(x, top), (x + (x - 0.5) * 0.8, 1)]), shade(wood, 0.8), width=0.006)
    canvas.polygon(rectangle((0, top - 0.03), (1, top)), mix(wood, WHITE, 0.6))


def _paint_tiles(canvas: Canvas, dice: Dice) -> None:
    """Paint a wall of tiles or bricks: one row may be shifted against the next."""
    color, high, shift = _draw_wall(dice), dice.uniform(0.08, 0.2), dice.pick((0.0, 0.5))
    wide = high * dice.uniform(1, 2)
    canvas.polygon(rectangle((0, 0), (1, 1)), mix(color, (200, 196, 188), 0.6))
    for row, top in enumerate(np.arange(-dice.uniform(0, high), 1, high)):
        for left in np.arange(-wide * (1 + shift * (row % 2)), 1, wide):
            tile = rectangle((left, top), (left + wide - 0.01, top + high - 0.01))
            canvas.polygon(tile, vary(color, dice, amount=0.1))


def _paint_bokeh(canvas: Canvas, dice: Dice) -> None:
    color = draw_color(dice, saturation=(0.3, 0.7), value=(0.2, 0.5))
    canvas.gradient(color, shade(color, 0.6))
    for _ in range(dice.integer(14, 26)):
        size, light = dice.uniform(0.03, 0.09), draw_color(dice, saturation=(0.2, 0.6), value=(0.8, 1.0))
        disc = ellipse((dice.uniform(0, 1), dice.uniform(0, 1)), (size, size))
        canvas.blend(light, disc, strength=dice.uniform(0.2, 0.6))
    canvas.soften(0.008)


def _paint_room(canvas: Canvas, dice: Dice) -> None:
    """Paint a room with a floor and a window on a hill, and a curtain with folds."""
    wall = _draw_wall(dice)
    canvas.gradient(shade(wall, 1.05), shade(wall, 0.85))
    _paint_floor(canvas, dice, top=dice.uniform(0.62, 0.8))
    left, top = dice.uniform(0.02, 0.6), dice.uniform(0.02, 0.1)
    right, bottom = left + dice.uniform(0.3, 0.4), top + dice.uniform(0.3, 0.42)
    frame = dice.pick((WHITE, (120, 84, 58), (70, 66, 66)))
    canvas.polygon(rectangle((left - 0.02, top - 0.02), (right + 0.02, bottom + 0.02)), frame)
    sky = vary(dice.pick(((158, 206, 236), (250, 204, 160), (88, 104, 150))), dice)
    canvas.polygon(rectangle((left, top), (right, bottom)), sky)
    horizon, across, down = top + (bottom - top) * dice.uniform(0.5, 0.8), (left + right) / 2, (top + bottom) / 2
    hill = [(left, horizon), (across, horizon - 0.05), (right, horizon + 0.02), (right, bottom), (left, bottom)]
    canvas.polygon(as_points(hill), vary((116, 158, 92), dice, amount=0.15))
    canvas.polygon(rectangle((across - 0.008, top), (across + 0.008, bottom)), frame)
    canvas.polygon(rectangle((left, down - 0.008), (right, down + 0.008)), frame)
    curtain = draw_color(dice, saturation=(0.3, 0.7), value=(0.5, 0.9))
    for fold in range(4):
        x = left - 0.07 + 0.025 * fold
        canvas.polygon(rectangle((x, 0), (x + 0.025, bottom + 0.12)), shade(curtain, 1.0 if fold % 2 else 0.86))


_BACKGROUNDS = (_paint_studio, _paint_wallpaper, _paint_wallpaper, _paint_tiles, _paint_bokeh,
                _paint_room, _paint_room, _paint_meadow, _paint_hills, _paint_beach, _paint_night,
                _paint_autumn)  # fmt: skip


# --- things that lie around behind the animal ---


def paint_clutter(canvas: Canvas, dice: Dice, *, amount: float) -> None:
    """Paint up to four things, each with the chance `amount`."""
    for number in range(4):
        thing = dice.branch(f"thing {number}")
        if thing.chance(amount):
            spot, color = (thing.uniform(0.02, 0.98), thing.uniform(0.45, 0.97)), _draw_cloth(thing)
            thing.pick(_THINGS)(canvas, spot, color, thing)


def _draw_cloth(dice: Dice) -> Color:
    return draw_color(dice, saturation=(0.35, 0.8), value=(0.5, 0.95))


def _paint_shadow(canvas: Canvas, spot: Spot, *, wide: float) -> None:
    canvas.glow(spot, (wide * 1.3, wide * 0.35), color=INK, strength=0.45)


def _paint_toy(canvas: Canvas, spot: Spot, color: Color, dice: Dice) -> None:
    size = dice.uniform(0.05, 0.1)
    _paint_shadow(canvas, (spot[0], spot[1] + size * 0.9), wide=size)
    _paint_ball(canvas, spot, color, size=size, turn=dice.uniform(0, 3))


def _paint_ball(canvas: Canvas, spot: Spot, color: Color, *, size: float, turn: float) -> None:
    canvas.polygon(ellipse(spot, (size, size)), color)
    canvas.polygon(ellipse(spot, (size, size * 0.28), turn=turn), mix(color, WHITE, 0.7))
    shine = spot[0] - size * 0.35, spot[1] - size * 0.4
    canvas.glow(shine, (size * 0.55, size * 0.55), color=WHITE, strength=0.6)


def _paint_plant(canvas: Canvas, spot: Spot, color: Color, dice: Dice) -> None:
    (x, y), size = spot, dice.uniform(0.06, 0.1)
    green, slim = vary((84, 140, 76), dice, amount=0.2), dice.pick((0.16, 0.36))
    _paint_shadow(canvas, (x, y + size), wide=size)
    for angle in np.linspace(-2.5, -0.6, dice.integer(5, 8)):
        long = size * dice.uniform(1.4, 2.6)
        middle = x + 0.5 * long * np.cos(angle), y - size * 0.2 + 0.5 * long * np.sin(angle)
        canvas.polygon(ellipse(middle, (long * 0.5, size * slim), turn=angle, count=14), vary(green, dice, amount=0.15))
    pot, color = 0.7 * size, mix(color, (196, 106, 74), 0.6)
    foot = [(x + 0.7 * pot, y + size), (x - 0.7 * pot, y + size)]
    canvas.polygon(as_points([(x - pot, y - 0.2 * size), (x + pot, y - 0.2 * size), *foot]), color)
    canvas.polygon(rectangle((x - 1.12 * pot, y - 0.3 * size), (x + 1.12 * pot, y)), shade(color, 0.88))


def _paint_cushion(canvas: Canvas, spot: Spot, color: Color, dice: Dice) -> None:
    (x, y), size = spot, dice.uniform(0.1, 0.17)
    corners = [(-1, -0.62), (0, -0.5), (1, -0.62), (0.86, 0), (1, 0.62), (0, 0.5), (-1, 0.62), (-0.86, 0)]
    outline = rotate(smooth_loop(corners) * size, dice.uniform(-0.4, 0.4)) + np.array(spot)
    _paint_shadow(canvas, (x, y + size * 0.55), wide=size)
    canvas.polygon(outline, color)
    canvas.line(closed(outline), shade(color, 0.7), width=0.008)
    shine = mix(color, WHITE, 0.6)
    canvas.glow((x - size * 0.2, y - size * 0.2), (size * 0.6, size * 0.4), color=shine, strength=0.6)


def _paint_box(canvas: Canvas, spot: Spot, color: Color, dice: Dice) -> None:
    (x, y), size, color = spot, dice.uniform(0.07, 0.13), dice.pick(((196, 152, 104), color))
    top, bottom = y - size * 0.6, y + size * 0.8
    _paint_shadow(canvas, (x, bottom), wide=size)
    canvas.polygon(rectangle((x - size, top), (x + size, bottom)), color)
    lid = [(x - size, top), (x - 0.7 * size, y - size), (x + 0.8 * size, y - size), (x + size, top)]
    canvas.polygon(as_points(lid), shade(color, 1.15))
    canvas.polygon(rectangle((x - 0.14 * size, top), (x + 0.14 * size, bottom)), shade(color, 0.72))


def _paint_bunting(canvas: Canvas, spot: Spot, color: Color, dice: Dice) -> None:
    height, sag, step = spot[1] / 2 - 0.2, dice.uniform(0.04, 0.14), dice.uniform(0.09, 0.14)
    string = smooth_path([(0, height), (0.5, height + sag), (1, height - 0.02)], 10)
    canvas.line(string, (236, 230, 220), width=0.006)
    for left in np.arange(0.02, 1, step):
        top = float(np.interp(left + step * 0.4, string[:, 0], string[:, 1]))
        tip = left + step * 0.4, top + step * dice.uniform(0.9, 1.2)
        canvas.polygon(as_points([(left, top), (left + step * 0.8, top), tip]), color)
        color = _draw_cloth(dice)


def _paint_balloon(canvas: Canvas, spot: Spot, color: Color, dice: Dice) -> None:
    x, y, size = spot[0], spot[1] - 0.4, dice.uniform(0.06, 0.1)
    canvas.line(smooth_path([(x, y + size), (x + 0.03, y + 2.4 * size), (x - 0.02, y + 4 * size)]), WHITE, width=0.005)
    canvas.polygon(ellipse((x, y), (size * 0.85, size * 1.1)), color)
    canvas.glow((x - size * 0.3, y - size * 0.4), (size * 0.45, size * 0.5), color=WHITE, strength=0.55)


_THINGS = (_paint_toy, _paint_plant, _paint_plant, _paint_cushion, _paint_box, _paint_bunting,
           _paint_balloon)  # fmt: skip


# --- things in front of the head that hide a part of it ---


def paint_occluders(canvas: Canvas, pose: Pose, *, dice: Dice, probability: float) -> None:
    """Paint up to two things in front of a part of the head, each with the given probability."""
    for number in range(2):
        thing = dice.branch(f"thing {number}")
        if thing.chance(probability):
            thing.pick(_OCCLUDERS)(canvas, pose, thing)


def _draw_beside(pose: Pose, dice: Dice) -> Spot:
    """Draw a place on the outer part of the head or just beside it."""
    angle, away = dice.uniform(0, 2 * np.pi), pose.radius * dice.uniform(0.6, 1.1)
    return pose.x + away * float(np.cos(angle)), pose.y + away * float(np.sin(angle))


def _hide_by_grass(canvas: Canvas, pose: Pose, dice: Dice) -> None:
    """Draw tall blades that rise from below the photo to the face."""
    green = vary((96, 148, 64), dice, amount=0.2)
    for _ in range(dice.integer(8, 16)):
        x, lean = pose.x + pose.radius * dice.uniform(-1.5, 1.5), pose.radius * dice.uniform(-0.4, 0.4)
        top = pose.y + pose.radius * dice.uniform(-0.3, 0.9)
        waist, height = x + 0.4 * lean, 0.5 + top / 2
        near, far = [(x - 0.012, 1.02), (waist - 0.008, height)], [(waist + 0.01, height), (x + 0.014, 1.02)]
        canvas.polygon(smooth_path([*near, (x + lean, top), *far], 4), vary(green, dice, amount=0.15))


def _hide_by_fence(canvas: Canvas, pose: Pose, dice: Dice) -> None:
    wood = vary(dice.pick(((150, 112, 80), (238, 234, 226), (110, 90, 76))), dice)
    thick = pose.radius * dice.uniform(0.16, 0.24)
    post = pose.x + dice.sign() * pose.radius * dice.uniform(0.9, 1.3)
    canvas.polygon(rectangle((post - thick * 0.7, 0), (post + thick * 0.7, 1)), shade(wood, 0.88))
    for height in (0.85, 1.6):
        y = pose.y + pose.radius * (height + dice.uniform(-0.1, 0.1))
        canvas.polygon(rectangle((0, y - thick / 2), (1, y + thick / 2)), wood)
        canvas.line(as_points([(0, y + thick / 2), (1, y + thick / 2)]), shade(wood, 0.7), width=0.008)


def _hide_by_ball(canvas: Canvas, pose: Pose, dice: Dice) -> None:
    size = pose.radius * dice.uniform(0.3, 0.45)
    _paint_ball(canvas, _draw_beside(pose, dice), _draw_cloth(dice), size=size, turn=dice.uniform(0, 3))


def _hide_by_cup(canvas: Canvas, pose: Pose, dice: Dice) -> None:
    size, color = pose.radius * dice.uniform(0.4, 0.55), draw_color(dice, saturation=(0.2, 0.7), value=(0.6, 0.98))
    side = dice.sign()
    x, y = pose.x + side * pose.radius * dice.uniform(0.75, 1.1), pose.y + pose.radius * dice.uniform(0.7, 1.2)
    handle = ellipse((x + side * size * 0.7, y + size * 0.5), (size * 0.35, size * 0.35))
    canvas.line(handle, shade(color, 0.8), width=0.015)
    foot = [(x + size * 0.58, y + size * 1.3), (x - size * 0.58, y + size * 1.3)]
    canvas.polygon(as_points([(x - size * 0.7, y), (x + size * 0.7, y), *foot]), color)
    canvas.polygon(ellipse((x, y), (size * 0.7, size * 0.18)), shade(color, 0.55))


def _hide_by_leaves(canvas: Canvas, pose: Pose, dice: Dice) -> None:
    green = vary(dice.pick(((90, 140, 70), (190, 110, 50), (70, 116, 90))), dice, amount=0.15)
    spot = np.array(_draw_beside(pose, dice))
    for _ in range(dice.integer(2, 4)):
        size = pose.radius * dice.uniform(0.28, 0.42)
        shift = spot + size * np.array([dice.uniform(-0.6, 0.6), dice.uniform(-0.6, 0.6)])
        leaf = almond((size, size * 0.5), turn=dice.uniform(0, 6.3), sharpness=0.6) + shift
        canvas.polygon(leaf, vary(green, dice, amount=0.12))
        canvas.line(np.stack([leaf[0], leaf[14]]), shade(green, 0.75), width=0.006)


_OCCLUDERS = (_hide_by_grass, _hide_by_fence, _hide_by_ball, _hide_by_cup, _hide_by_leaves)
