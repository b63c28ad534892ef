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

# --- Backgrounds outdoors: meadow, hills, beach, night and autumn ---

_SKIES: tuple[tuple[Color, Color], ...] = (
    ((112, 176, 230), (206, 230, 244)),
    ((246, 176, 130), (252, 222, 176)),
    ((150, 164, 184), (214, 218, 222)),
    ((120, 130, 200), (242, 190, 190)),
)


def _paint_sky(canvas: Canvas, dice: Dice, *, horizon: float) -> None:
    """Paint a sky down to the horizon, with sun and clouds."""
    high, low = dice.pick(_SKIES)
    canvas.gradient(high, low, span=(0, horizon))
    if dice.chance(0.5):
        canvas.glow((dice.uniform(0, 1), dice.uniform(0, horizon)), (0.25, 0.25), color=(255, 244, 200), strength=0.9)
    for _ in range(dice.integer(0, 3)):
        _paint_cloud(canvas, dice, horizon=horizon)


def _paint_cloud(canvas: Canvas, dice: Dice, *, horizon: float) -> None:
    """Paint a cloud of three round puffs."""
    x, y, size = dice.uniform(0, 1), dice.uniform(0.05, 0.7 * horizon), dice.uniform(0.06, 0.12)
    for shift, scale in ((-0.9, 0.7), (0, 1.0), (0.9, 0.75)):
        canvas.glow((x + shift * size, y), (size * scale * 1.4, size * scale), color=WHITE, strength=0.85)


def paint_hills(canvas: Canvas, dice: Dice) -> None:
    """Paint three rows of hills, the nearer the darker, under a sky."""
    horizon = dice.uniform(0.35, 0.6)
    _paint_sky(canvas, dice, horizon=horizon + 0.15)
    green = vary(dice.pick(((110, 156, 84), (150, 166, 92), (86, 132, 110))), dice, amount=0.12)
    for row in range(3):
        base = horizon + 0.16 * row
        ridge = smooth_path([(x, base + dice.uniform(-0.09, 0.05)) for x in np.linspace(-0.1, 1.1, 6)], 5)
        hill = np.concatenate([ridge, as_points([(1.1, 1), (-0.1, 1)])])
        canvas.polygon(hill, mix(green, (200, 214, 220), 0.45 - 0.2 * row))
        _paint_trees(canvas, dice, ridge=ridge, color=shade(green, 0.7 + 0.08 * row))


def _paint_trees(canvas: Canvas, dice: Dice, *, ridge: np.ndarray, color: Color) -> None:
    """Paint some trees on a ridge: firs are triangles, the others round."""
    fir = dice.chance(0.5)
    for _ in range(dice.integer(0, 4)):
        x, y = ridge[dice.integer(0, len(ridge) - 1)]
        size = dice.uniform(0.03, 0.07)
        pointed = as_points([(x - size * 0.6, y + 0.02), (x, y - 2 * size), (x + size * 0.6, y + 0.02)])
        canvas.polygon(pointed if fir else ellipse((x, y - size * 0.6), (size * 0.7, size)), vary(color, dice))


def paint_meadow(canvas: Canvas, dice: Dice) -> None:
    """Paint a meadow with blades of grass and flowers; sometimes it fills the whole photo."""
    horizon = dice.pick((0.0, dice.uniform(0.25, 0.5)))
    if horizon > 0:
        _paint_sky(canvas, dice, horizon=horizon)
    green = vary((112, 162, 72), dice, amount=0.15)
    canvas.gradient(shade(green, 1.12), shade(green, 0.76), span=(horizon, 1))
    _paint_blades(canvas, dice, top=horizon, color=green)
    for _ in range(dice.integer(0, 14)):
        _paint_flower(canvas, dice, top=horizon)


def _paint_blades(canvas: Canvas, dice: Dice, *, top: float, color: Color) -> None:
    """Draw many blades of grass, longer the nearer they are."""
    generator = dice.generator()
    root = generator.random((220, 2)) * np.array([1.0, 1.0 - top]) + np.array([0.0, top + 0.02])
    long = 0.02 + 0.07 * (root[:, 1:] - top)
    tip = root + np.concatenate([generator.normal(0, 0.4, (220, 1)), -np.ones((220, 1))], axis=1) * long
    tones = np.clip(np.array(color) * generator.uniform(0.65, 1.25, (220, 1)), 0, 255).astype(np.uint8)
    canvas.strokes(np.concatenate([root, tip], axis=1), tones, width=0.007)


def _paint_flower(canvas: Canvas, dice: Dice, *, top: float) -> None:
    """Paint a flower of five petals."""
    x, y = dice.uniform(0, 1), dice.uniform(top + 0.05, 1)
    size = 0.008 + 0.018 * (y - top)
    petal = dice.pick((WHITE, draw_color(dice, saturation=(0.4, 0.8), value=(0.8, 1.0))))
    for angle in np.arange(5) * 1.257:
        spot = x + size * np.cos(angle), y + size * np.sin(angle)
        canvas.polygon(ellipse(spot, (size * 0.7, size * 0.7), count=8), petal)
    canvas.polygon(ellipse((x, y), (size * 0.6, size * 0.6), count=8), (246, 206, 70))


def paint_beach(canvas: Canvas, dice: Dice) -> None:
    """Paint sand, sea and sky."""
    horizon, shore = dice.uniform(0.25, 0.4), dice.uniform(0.5, 0.65)
    _paint_sky(canvas, dice, horizon=horizon)
    sea = vary((72, 146, 176), dice, amount=0.15)
    canvas.polygon(rectangle((0, horizon), (1, 1)), sea)
    for _ in range(10):
        x, y = dice.uniform(-0.1, 1), dice.uniform(horizon + 0.02, shore)
        canvas.line(as_points([(x, y), (x + dice.uniform(0.05, 0.2), y)]), mix(sea, WHITE, 0.5), width=0.006)
    edge = smooth_path([(x, shore + dice.uniform(-0.03, 0.03)) for x in np.linspace(-0.1, 1.1, 6)], 5)
    sand = vary((228, 204, 160), dice, amount=0.08)
    canvas.polygon(np.concatenate([edge, as_points([(1.1, 1), (-0.1, 1)])]), sand)
    canvas.line(edge, WHITE, width=0.014)


def paint_night(canvas: Canvas, dice: Dice) -> None:
    """Paint a night with moon and stars over dark hills."""
    high = vary((34, 38, 84), dice, amount=0.2)
    canvas.gradient(high, (110, 100, 150))
    for _ in range(30):
        size = dice.uniform(0.002, 0.007)
        canvas.polygon(ellipse((dice.uniform(0, 1), dice.uniform(0, 0.7)), (size, size), count=6), (250, 244, 210))
    moon = dice.uniform(0.1, 0.9), dice.uniform(0.08, 0.3)
    canvas.glow(moon, (0.2, 0.2), color=(246, 236, 190), strength=0.5)
    canvas.polygon(ellipse(moon, (0.07, 0.07)), (248, 240, 206))
    ridge = smooth_path([(x, 0.68 + dice.uniform(-0.08, 0.08)) for x in np.linspace(-0.1, 1.1, 6)], 5)
    canvas.polygon(np.concatenate([ridge, as_points([(1.1, 1), (-0.1, 1)])]), shade(high, 1.3))


def paint_autumn(canvas: Canvas, dice: Dice) -> None:
    """Paint a ground of fallen leaves, or of snow with flakes in the air."""
    snowing = dice.chance(0.4)
    ground: Color = (198, 210, 224) if snowing else vary((138, 100, 66), dice, amount=0.15)
    canvas.polygon(rectangle((0, 0), (1, 1)), shade(ground, 0.8) if snowing else ground)
    if snowing:
        canvas.glow((0.5, 1.0), (1.0, 0.5), color=WHITE, strength=0.9)
    for _ in range(70):
        turn, size = dice.uniform(0, 3.1), dice.uniform(0.012, 0.04)
        leaf = vary(dice.pick(((206, 120, 44), (190, 70, 44), (220, 168, 60), (150, 110, 50))), dice, amount=0.12)
        radii = (size * 0.4, size * 0.4) if snowing else (size, size * 0.45)
        spot = dice.uniform(0, 1), dice.uniform(0, 1)
        canvas.polygon(ellipse(spot, radii, turn=turn, count=10), WHITE if snowing else leaf)


# --- Backgrounds: indoors and outdoors, from plain walls to a room with a window ---

_WOODS: tuple[Color, ...] = ((176, 124, 78), (134, 90, 58), (206, 168, 124), (112, 84, 70), (190, 176, 160))
_WALLS: tuple[Color, ...] = (
    (178, 196, 168),  # sage
    (240, 226, 198),  # cream
    (222, 172, 164),  # dusty rose
    (158, 196, 220),  # sky
    (206, 128, 96),  # terracotta
    (230, 190, 96),  # mustard
    (84, 150, 152),  # teal
    (92, 112, 156),  # denim
    (190, 174, 212),  # lavender
    (206, 204, 200),  # gray
    (150, 96, 110),  # plum
    (122, 152, 96),  # olive
)


def paint_background(canvas: Canvas, dice: Dice) -> None:
    """Paint one of many backgrounds over the whole canvas; some are out of focus."""
    dice.pick(_BACKGROUNDS)(canvas, dice)
    if dice.chance(0.35):
        canvas.soften(dice.uniform(0.006, 0.016))


def _draw_wall(dice: Dice) -> Color:
    """Draw the color of a wall, as a paint shop would offer it, in a light or a deep tone."""
    return vary(shade(dice.pick(_WALLS), dice.uniform(0.65, 1.05)), dice, amount=0.08)


def _paint_studio(canvas: Canvas, dice: Dice) -> None:
    """Paint a plain wall with a soft light on it."""
    color = _draw_wall(dice)
    canvas.gradient(color, shade(color, dice.uniform(0.55, 0.9)))
    spot = dice.uniform(0.2, 0.8), dice.uniform(0.1, 0.5)
    canvas.glow(spot, (0.7, 0.7), color=mix(color, WHITE, 0.7), strength=0.5)


def _paint_wallpaper(canvas: Canvas, dice: Dice) -> None:
    """Paint a wall with stripes, dots or diamonds above a floor."""
    color = _draw_wall(dice)
    second = mix(color, dice.pick((WHITE, shade(color, 0.6))), dice.uniform(0.3, 0.6))
    canvas.polygon(rectangle((0, 0), (1, 1)), color)
    dice.pick((_paint_stripes, _paint_dots, _paint_diamonds))(canvas, second, step=dice.uniform(0.07, 0.14))
    if dice.chance(0.6):
        _paint_floor(canvas, dice, top=dice.uniform(0.62, 0.85))


def _paint_stripes(canvas: Canvas, color: Color, *, step: float) -> None:
    """Paint upright stripes."""
    for left in np.arange(0, 1, step):
        canvas.polygon(rectangle((left, 0), (left + step * 0.45, 1)), color)


def _paint_dots(canvas: Canvas, color: Color, *, step: float) -> None:
    """Paint dots in shifted rows."""
    for row, y in enumerate(np.arange(0, 1 + step, step)):
        for x in np.arange((row % 2) * step / 2, 1 + step, step):
            canvas.polygon(ellipse((x, y), (step * 0.22, step * 0.22), count=12), color)


def _paint_diamonds(canvas: Canvas, color: Color, *, step: float) -> None:
    """Paint a net of slanting lines."""
    for start in np.arange(-1, 1, step):
        canvas.line(as_points([(start, 0), (start + 1, 1)]), color, width=step * 0.12)
        canvas.line(as_points([(start + 1, 0), (start, 1)]), color, width=step * 0.12)


def _paint_floor(canvas: Canvas, dice: Dice, *, top: float) -> None:
    """Paint a wooden floor with a skirting board."""
    wood = vary(dice.pick(_WOODS), dice, amount=0.1)
    canvas.polygon(rectangle((0, top), (1, 1)), wood)
    for x in np.arange(-0.6, 1.6, 0.14):
        canvas.line(as_points([(x, top), (x + (x - 0.5) * 0.8, 1)]), shade(wood, 0.8), width=0.006)
    canvas.polygon(rectangle((0, top - 0.03), (1, top)), mix(wood, WHITE, 0.6))


def _paint_planks(canvas: Canvas, dice: Dice) -> None:
    """Paint wooden planks, upright or level, with their grain."""
    wood, step, upright = dice.pick(_WOODS), dice.uniform(0.1, 0.2), dice.chance(0.5)
    for near in np.arange(-dice.uniform(0, step), 1, step):
        plank = vary(wood, dice, amount=0.12)
        board = rectangle((0, near), (1, near + step - 0.008))
        canvas.polygon(rectangle((0, near), (1, near + step))[:, :: -1 if upright else 1], shade(wood, 0.5))
        canvas.polygon(board[:, :: -1 if upright else 1], plank)
        for _ in range(3):
            y = near + step * dice.uniform(0.15, 0.85)
            grain = as_points([(0, y), (0.5, y + dice.uniform(-0.01, 0.01)), (1, y)])
            canvas.line(grain[:, :: -1 if upright else 1], shade(plank, 0.86), width=0.005)


def _paint_tiles(canvas: Canvas, dice: Dice) -> None:
    """Paint a wall of tiles or bricks: one row may be shifted against the next."""
    color = _draw_wall(dice)
    canvas.polygon(rectangle((0, 0), (1, 1)), mix(color, (200, 196, 188), 0.6))
    high, shifted = dice.uniform(0.08, 0.2), dice.chance(0.5)
    wide = high * dice.uniform(1, 2)
    for row, top in enumerate(np.arange(-dice.uniform(0, high), 1, high)):
        for left in np.arange(-wide * (1 + 0.5 * shifted * (row % 2)), 1, wide):
            canvas.polygon(
                rectangle((left, top), (left + wide - 0.01, top + high - 0.01)), vary(color, dice, amount=0.1)
            )


def _paint_bokeh(canvas: Canvas, dice: Dice) -> None:
    """Paint lights far out of focus."""
    color = draw_color(dice, saturation=(0.3, 0.7), value=(0.2, 0.5))
    canvas.gradient(color, shade(color, 0.6))
    for _ in range(dice.integer(14, 26)):
        size = dice.uniform(0.03, 0.09)
        light = draw_color(dice, saturation=(0.2, 0.6), value=(0.8, 1.0))
        disc = ellipse((dice.uniform(0, 1), dice.uniform(0, 1)), (size, size))
        canvas.blend(light, disc, strength=dice.uniform(0.2, 0.6))
    canvas.soften(0.008)


def _paint_room(canvas: Canvas, dice: Dice) -> None:
    """Paint a room with a window or a framed picture, and a floor."""
    wall = _draw_wall(dice)
    canvas.gradient(shade(wall, 1.05), shade(wall, 0.85))
    _paint_floor(canvas, dice, top=dice.uniform(0.62, 0.8))
    left, top = dice.uniform(0.02, 0.6), dice.uniform(0.02, 0.1)
    wide, high = dice.uniform(0.3, 0.4), dice.uniform(0.3, 0.42)
    frame = dice.pick((WHITE, (120, 84, 58), (70, 66, 66)))
    canvas.polygon(rectangle((left - 0.02, top - 0.02), (left + wide + 0.02, top + high + 0.02)), frame)
    _paint_view(canvas, dice, pane=rectangle((left, top), (left + wide, top + high)))
    if dice.chance(0.7):
        canvas.polygon(rectangle((left + wide / 2 - 0.008, top), (left + wide / 2 + 0.008, top + high)), frame)
        canvas.polygon(rectangle((left, top + high / 2 - 0.008), (left + wide, top + high / 2 + 0.008)), frame)
    _paint_curtain(canvas, dice, left=left - 0.07, bottom=top + high + 0.12)


def _paint_view(canvas: Canvas, dice: Dice, *, pane: Points) -> None:
    """Paint what is seen through a window: sky over a hill."""
    (left, top), (right, bottom) = pane[0], pane[2]
    canvas.polygon(pane, vary(dice.pick(((158, 206, 236), (250, 204, 160), (88, 104, 150))), dice))
    horizon = top + (bottom - top) * dice.uniform(0.5, 0.8)
    ridge = [(left, horizon), ((left + right) / 2, horizon - 0.05), (right, horizon + 0.02)]
    canvas.polygon(as_points([*ridge, (right, bottom), (left, bottom)]), vary((116, 158, 92), dice, amount=0.15))


def _paint_curtain(canvas: Canvas, dice: Dice, *, left: float, bottom: float) -> None:
    """Paint a curtain with folds on the left of a window."""
    color = draw_color(dice, saturation=(0.3, 0.7), value=(0.5, 0.9))
    for fold in range(4):
        x = left + 0.025 * fold
        canvas.polygon(rectangle((x, 0), (x + 0.025, bottom)), shade(color, 1.0 if fold % 2 else 0.86))


_BACKGROUNDS = (
    _paint_studio,
    _paint_wallpaper,
    _paint_wallpaper,
    _paint_planks,
    _paint_tiles,
    _paint_bokeh,
    _paint_room,
    _paint_room,
    paint_meadow,
    paint_hills,
    paint_beach,
    paint_night,
    paint_autumn,
)


# --- Things that lie around behind the animal: balls, plants, cushions, boxes, books, bunting, balloons ---

_MOST_THINGS = 4


def paint_clutter(canvas: Canvas, dice: Dice, *, amount: float) -> None:
    """Paint up to four things, each with the chance `amount`."""
    for number in range(_MOST_THINGS):
        thing = dice.branch(f"thing {number}")
        if thing.chance(amount):
            thing.pick(_THINGS)(canvas, thing)


def _place(dice: Dice, *, top: float = 0.45) -> tuple[float, float]:
    """Draw a place on the ground."""
    return dice.uniform(0.02, 0.98), dice.uniform(top, 0.97)


def _bright(dice: Dice) -> Color:
    """Draw the color of a toy or a cloth."""
    return draw_color(dice, saturation=(0.35, 0.8), value=(0.5, 0.95))


def _paint_shadow(canvas: Canvas, spot: tuple[float, float], *, wide: float) -> None:
    """Paint the soft shadow of a thing that stands at a spot."""
    canvas.glow(spot, (wide * 1.3, wide * 0.35), color=INK, strength=0.45)


def paint_ball(canvas: Canvas, dice: Dice) -> None:
    """Paint a ball with a band or a ball of yarn."""
    (x, y), size, color = _place(dice), dice.uniform(0.05, 0.1), _bright(dice)
    _paint_shadow(canvas, (x, y + size * 0.9), wide=size)
    canvas.polygon(ellipse((x, y), (size, size)), color)
    if dice.chance(0.5):
        for turn in np.arange(6) * 0.5 + dice.uniform(0, 1):
            thread = ellipse((x, y), (size * 0.9, size * 0.4), turn=turn)
            canvas.line(thread[:14], shade(color, 0.78), width=0.006)
    else:
        band = rotate(np.array([[-1, -0.25], [1, -0.25], [1, 0.25], [-1, 0.25]]) * size * 0.95, dice.uniform(0, 3))
        canvas.polygon(band + np.array([x, y]), mix(color, WHITE, 0.7))
    canvas.glow((x - size * 0.35, y - size * 0.4), (size * 0.5, size * 0.5), color=WHITE, strength=0.6)


def _paint_plant(canvas: Canvas, dice: Dice) -> None:
    """Paint a potted plant with long or round leaves."""
    (x, y), size = _place(dice), dice.uniform(0.06, 0.1)
    green, slim = vary((84, 140, 76), dice, amount=0.2), dice.chance(0.5)
    _paint_shadow(canvas, (x, y + size), wide=size)
    for angle in np.linspace(-2.5, -0.6, dice.integer(5, 8)):
        long = size * dice.uniform(1.4, 2.6)
        middle = x + 0.5 * long * np.cos(angle), y - size * 0.2 + 0.5 * long * np.sin(angle)
        leaf = ellipse(middle, (long * 0.5, size * (0.16 if slim else 0.36)), turn=angle, count=14)
        canvas.polygon(leaf, vary(green, dice, amount=0.15))
    pot, color = size * 0.7, vary(dice.pick(((196, 106, 74), (230, 226, 220), (92, 116, 150))), dice)
    foot = [(x + 0.7 * pot, y + size), (x - 0.7 * pot, y + size)]
    canvas.polygon(as_points([(x - pot, y - 0.2 * size), (x + pot, y - 0.2 * size), *foot]), color)
    canvas.polygon(rectangle((x - 1.12 * pot, y - 0.3 * size), (x + 1.12 * pot, y)), shade(color, 0.88))


def _paint_cushion(canvas: Canvas, dice: Dice) -> None:
    """Paint a cushion with piping and a pattern of stripes."""
    (x, y), size, color = _place(dice), dice.uniform(0.1, 0.17), _bright(dice)
    corners = [(-1, -0.62), (0, -0.5), (1, -0.62), (0.86, 0), (1, 0.62), (0, 0.5), (-1, 0.62), (-0.86, 0)]
    outline = rotate(smooth_loop(corners) * size, dice.uniform(-0.4, 0.4)) + np.array([x, y])
    _paint_shadow(canvas, (x, y + size * 0.55), wide=size)
    canvas.polygon(outline, color)
    canvas.line(np.concatenate([outline, outline[:1]]), shade(color, 0.7), width=0.008)
    shine = mix(color, WHITE, 0.6)
    canvas.glow((x - size * 0.2, y - size * 0.2), (size * 0.6, size * 0.4), color=shine, strength=0.6)


def _paint_box(canvas: Canvas, dice: Dice) -> None:
    """Paint a parcel with a ribbon or a cardboard box."""
    (x, y), size = _place(dice), dice.uniform(0.07, 0.13)
    color = dice.pick((vary((196, 152, 104), dice, amount=0.1), _bright(dice)))
    _paint_shadow(canvas, (x, y + size * 0.8), wide=size)
    canvas.polygon(rectangle((x - size, y - size * 0.6), (x + size, y + size * 0.8)), color)
    lid = [
        (x - size, y - size * 0.6),
        (x - 0.7 * size, y - size),
        (x + 0.8 * size, y - size),
        (x + size, y - size * 0.6),
    ]
    canvas.polygon(as_points(lid), shade(color, 1.15))
    canvas.polygon(rectangle((x - 0.14 * size, y - size * 0.6), (x + 0.14 * size, y + size * 0.8)), shade(color, 0.72))


def _paint_books(canvas: Canvas, dice: Dice) -> None:
    """Paint a pile of books."""
    (x, y), size = _place(dice), dice.uniform(0.09, 0.14)
    _paint_shadow(canvas, (x, y), wide=size)
    for number in range(dice.integer(2, 4)):
        shift, top = dice.uniform(-0.02, 0.02), y - 0.04 * (number + 1)
        canvas.polygon(rectangle((x - size + shift, top), (x + size + shift, top + 0.038)), _bright(dice))
        canvas.polygon(
            rectangle((x + size * 0.8 + shift, top + 0.007), (x + size + shift, top + 0.031)), (238, 230, 210)
        )


def _paint_bunting(canvas: Canvas, dice: Dice) -> None:
    """Paint a string of pointed flags across the upper part."""
    height, sag, step = dice.uniform(0.03, 0.3), dice.uniform(0.04, 0.14), dice.uniform(0.09, 0.14)
    string = smooth_path([(0, height), (0.5, height + sag), (1, height - 0.02)], 10)
    canvas.line(string, (236, 230, 220), width=0.006)
    for left in np.arange(0.02, 1, step):
        top = float(np.interp(left + step * 0.4, string[:, 0], string[:, 1]))
        tip = left + step * 0.4, top + step * dice.uniform(0.9, 1.2)
        canvas.polygon(as_points([(left, top), (left + step * 0.8, top), tip]), _bright(dice))


def _paint_balloon(canvas: Canvas, dice: Dice) -> None:
    """Paint a balloon on a string."""
    x, y, size, color = dice.uniform(0, 1), dice.uniform(0.05, 0.5), dice.uniform(0.06, 0.1), _bright(dice)
    canvas.line(smooth_path([(x, y + size), (x + 0.03, y + 2.4 * size), (x - 0.02, y + 4 * size)]), WHITE, width=0.005)
    canvas.polygon(ellipse((x, y), (size * 0.85, size * 1.1)), color)
    canvas.glow((x - size * 0.3, y - size * 0.4), (size * 0.45, size * 0.5), color=WHITE, strength=0.55)


def _paint_bowl(canvas: Canvas, dice: Dice) -> None:
    """Paint a bowl of food."""
    (x, y), size, color = _place(dice, top=0.6), dice.uniform(0.07, 0.11), _bright(dice)
    _paint_shadow(canvas, (x, y + size * 0.5), wide=size)
    canvas.polygon(ellipse((x, y - 0.1 * size), (size * 0.8, size * 0.4)), vary((140, 92, 60), dice))
    foot = [(x + size, y + size * 0.5), (x - size, y + size * 0.5)]
    canvas.polygon(as_points([(x - size * 0.9, y), (x + size * 0.9, y), *foot]), color)


_THINGS = (
    paint_ball,
    _paint_plant,
    _paint_plant,
    _paint_cushion,
    _paint_box,
    _paint_books,
    _paint_bunting,
    _paint_balloon,
    _paint_bowl,
)


# --- Things in front of the head that hide a part of it: grass, a fence, a toy, a cup, a leaf ---


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
    color = draw_color(dice, saturation=(0.4, 0.8), value=(0.6, 0.95))
    canvas.polygon(ellipse((x, y), (size, size)), color)
    canvas.polygon(ellipse((x, y), (size, size * 0.28), turn=dice.uniform(0, 3)), mix(color, WHITE, 0.7))
    canvas.glow((x - size * 0.35, y - size * 0.4), (size * 0.55, size * 0.55), color=WHITE, strength=0.6)


def _paint_cup(canvas: Canvas, pose: Pose, dice: Dice) -> None:
    """Paint a cup in front of one cheek."""
    size, color = pose.radius * dice.uniform(0.4, 0.55), draw_color(dice, saturation=(0.2, 0.7), value=(0.6, 0.98))
    side = dice.sign()
    x, y = pose.x + side * pose.radius * dice.uniform(0.75, 1.1), pose.y + pose.radius * dice.uniform(0.7, 1.2)
    handle = ellipse((x + side * size * 0.7, y + size * 0.5), (size * 0.35, size * 0.35))
    canvas.line(handle, shade(color, 0.8), width=0.015)
    foot = [(x + size * 0.58, y + size * 1.3), (x - size * 0.58, y + size * 1.3)]
    canvas.polygon(as_points([(x - size * 0.7, y), (x + size * 0.7, y), *foot]), color)
    canvas.polygon(ellipse((x, y), (size * 0.7, size * 0.18)), shade(color, 0.55))
    band = rectangle((x - size * 0.64, y + size * 0.5), (x + size * 0.64, y + size * 0.72))
    canvas.polygon(band, mix(color, WHITE, 0.6))


def _paint_leaf(canvas: Canvas, pose: Pose, dice: Dice) -> None:
    """Paint a few leaves of a branch near the lens."""
    green: Color = vary(dice.pick(((90, 140, 70), (190, 110, 50), (70, 116, 90))), dice, amount=0.15)
    x, y = _beside(pose, dice)
    for _ in range(dice.integer(2, 4)):
        size, turn = pose.radius * dice.uniform(0.28, 0.42), dice.uniform(0, 6.3)
        shift = np.array([x + size * dice.uniform(-0.6, 0.6), y + size * dice.uniform(-0.6, 0.6)])
        leaf = almond((size, size * 0.5), turn=turn, sharpness=0.6) + shift
        canvas.polygon(leaf, vary(green, dice, amount=0.12))
        canvas.line(np.stack([leaf[0], leaf[14]]), shade(green, 0.75), width=0.006)


_OCCLUDERS = (_paint_grass, _paint_fence, _paint_toy, _paint_cup, _paint_leaf)
