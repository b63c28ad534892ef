"""Cats and dogs: pose, anatomy, body, head and features.

The shape of the head is the one thing that tells a cat from a dog. All its points are in radii of the head around its
center, x to the viewer's right and y downwards; depths stand out towards the viewer. The right half is given, the left
half is its mirror image.
"""

from dataclasses import dataclass

import numpy as np

from convlens.data.synthetic.canvas import (
    INK,
    WHITE,
    Canvas,
    Color,
    Dice,
    Points,
    almond,
    as_points,
    ellipse,
    mirror,
    mix,
    rotate,
    shade,
    shrink,
    smooth_halves,
    smooth_loop,
    smooth_path,
)
from convlens.data.synthetic.coats import Coat, draw_marks, fur_edge, fur_inside

Regions = dict[str, Points]

# --- what has a shape in a head ---


@dataclass(frozen=True)
class Ear:
    """The right ear: its outline, what is seen of its inside, and whether it hangs in front of the head."""

    outer: Points
    inner: Points | None
    in_front: bool


@dataclass(frozen=True)
class Eye:
    """The right eye: center, half its width and height, slant in radians, how pointed its corners are, its pupil."""

    center: tuple[float, float]
    radii: tuple[float, float]
    slant: float
    sharpness: float
    pupil: tuple[float, float]


@dataclass(frozen=True)
class Muzzle:
    """The muzzle: the loops it is made of (the first lies lowest), how far it stands out, the lines of the mouth."""

    loops: tuple[Points, ...]
    depth: float
    mouth: tuple[Points, ...]
    tongue_root: tuple[float, float]


@dataclass(frozen=True)
class Nose:
    """The nose: its outline, its nostrils' distance from the middle, and how far it stands out."""

    outline: Points
    nostril: tuple[float, float]
    depth: float


@dataclass(frozen=True)
class Anatomy:
    """A head: its skull, ears (the viewer's left and right one, both given as right ones) and the rest.

    Whiskers are those of the right side, each a line of three points.
    """

    skull: Points
    ears: tuple[Ear, Ear]
    eye: Eye
    muzzle: Muzzle
    nose: Nose
    whiskers: tuple[Points, ...]


# --- where the head is and which way it looks; drawn without knowing the class, so that neither tells it ---

ROOM = 1.42  # radii kept free around the center of a head, so that at most the tip of an ear leaves the photo


@dataclass(frozen=True)
class Pose:
    """Places points of the head, given in radii around its center, in the photo.

    `x`, `y` and `radius` are shares of the photo's side; `yaw`, `pitch` and `tilt` are radians.
    """

    x: float
    y: float
    radius: float
    yaw: float
    pitch: float
    tilt: float

    def place(self, points: Points, depth: float | np.ndarray = 0.0) -> Points:
        """Return points in shares of the photo's side; `depth` is how far they stand out towards the viewer."""
        across = points[:, 0] * np.cos(self.yaw) + depth * np.sin(self.yaw)
        down = points[:, 1] * np.cos(self.pitch) + depth * np.sin(self.pitch)
        turned = rotate(np.stack([across, down], axis=1), self.tilt)
        placed: Points = turned * self.radius + np.array([self.x, self.y])
        return placed

    def wrap(self, points: Points) -> Points:
        """Return points that lie on the round of the head, so that a turn of the head moves the middle most."""
        height = np.sqrt(np.clip(1 - np.sum(points**2, axis=1), 0, 1))
        return self.place(points, 0.6 * height)


def draw_pose(dice: Dice, *, head_size: tuple[float, float], across: tuple[float, float]) -> Pose:
    """Draw a pose; `across` is the range of the center's place across the free room, 0 left to 1 right."""
    low, high = head_size[0] / 2, head_size[1] / 2
    radius = low * (high / low) ** dice.uniform(0, 1)
    margin = min(ROOM * radius, 0.5)
    x = margin + (1 - 2 * margin) * dice.uniform(*across)
    y = margin + (1 - 2 * margin) * dice.uniform(0, 1)
    yaw, pitch, tilt = (most * (dice.uniform(-1, 1) + dice.uniform(-1, 1)) / 2 for most in (0.5, 0.22, 0.55))
    return Pose(x, y, radius, yaw, pitch, tilt)  # small angles are drawn more often


# --- the shape of a cat: pointed ears, a wide face, almond eyes with slit pupils, a small muzzle, long whiskers ---


def draw_cat(dice: Dice) -> Anatomy:
    """Draw the shape of one cat."""
    stretch = dice.uniform(0.96, 1.08)

    cheek = dice.uniform(0.94, 1.04) * stretch  # a face that is wider than high
    upper = [(0.0, -0.8), (0.48 * stretch, -0.74), (0.86 * stretch, -0.36), (cheek, 0.14)]
    skull = smooth_halves([*upper, (0.84 * cheek, 0.54), (0.46, 0.8), (0.0, 0.88)])

    height, spread = dice.uniform(1.24, 1.6), dice.uniform(0.56, 0.9)  # the ears may point in different directions
    first, second = (
        _pointed_ear(spread + dice.uniform(-0.06, 0.06), height + dice.uniform(-0.08, 0.04), stretch) for _ in range(2)
    )

    size = dice.uniform(0.92, 1.1)
    pupil = 0.04 + 0.1 * dice.uniform(0, 1) ** 2, 0.18 * size
    center = dice.uniform(0.4, 0.46), dice.uniform(-0.1, -0.02)
    eye = Eye(center, (0.27 * size, 0.2 * size), dice.uniform(-0.35, -0.1), dice.uniform(0.2, 0.65), pupil)

    wide = dice.uniform(0.9, 1.1)  # two whisker pads over a small chin
    pad = ellipse((0.16 * wide, 0.42), (0.23 * wide, 0.17))
    chin = ellipse((0, 0.6), (0.16 * wide, 0.12))
    corner = smooth_path([(0.0, 0.43), (0.1 * wide, 0.53), (0.25 * wide, 0.5), (0.31 * wide, 0.43)], 4)
    philtrum = as_points([(0.0, 0.28), (0.0, 0.43)])
    muzzle = Muzzle((chin, pad, mirror(pad)), 0.7, (philtrum, corner, mirror(corner)), (0.0, 0.5))

    wide, high = dice.uniform(0.12, 0.15), dice.uniform(0.12, 0.15)  # a small triangle that stands on its tip
    half = [(0.0, 0.18), (wide, 0.17), (wide * 0.8, 0.18 + high * 0.5), (0.0, 0.19 + high)]
    nose = Nose(smooth_halves(half, 4), (0.05, 0.245), 0.8)

    reach, droop = dice.uniform(0.65, 1.1), dice.uniform(-0.05, 0.15)
    whiskers = []
    for row in range(dice.integer(3, 4)):
        rise = -0.22 + 0.2 * row + dice.uniform(-0.04, 0.04)
        root = (0.24 + dice.uniform(0, 0.06), 0.36 + 0.05 * row)
        middle = root[0] + 0.5 * reach, root[1] + 0.6 * rise - 0.03
        whiskers.append(smooth_path([root, middle, (root[0] + reach, root[1] + rise + droop)], 4))
    return Anatomy(skull, (first, second), eye, muzzle, nose, tuple(whiskers))


def _pointed_ear(spread: float, height: float, stretch: float) -> Ear:
    """Return an upright triangle with its tip at (spread, -height)."""
    inner_base, outer_base = (0.16 * stretch, -0.74), (0.95 * stretch, -0.18)
    left_bulge = (0.5 * (inner_base[0] + spread) - 0.05, 0.5 * (-0.74 - height) - 0.02)
    right_bulge = (0.5 * (outer_base[0] + spread) + 0.07, 0.5 * (-0.18 - height) - 0.02)
    left = smooth_path([inner_base, left_bulge, (spread, -height)], 5)
    right = smooth_path([(spread, -height), right_bulge, outer_base], 5)
    outer = as_points([*map(tuple, left), *map(tuple, right[1:]), (0.4, -0.3)])
    return Ear(outer, shrink(outer, (0.56 * stretch, -0.62), factor=0.66), in_front=False)


# --- the shape of a dog: hanging or rounded ears, round pupils, a long muzzle with a big oval nose, short whiskers ---


def draw_dog(dice: Dice) -> Anatomy:
    """Draw the shape of one dog."""
    jaw, brow = dice.uniform(0.5, 0.62), dice.uniform(0.82, 0.92)  # a face that is higher than wide
    upper = [(0.0, -0.86), (0.48, -0.82), (brow, -0.42), (0.9, 0.04)]
    skull = smooth_halves([*upper, (jaw + 0.2, 0.5), (jaw * 0.85, 0.86), (0.0, 0.98)])

    shape, size = dice.pick(_DOG_EARS), dice.uniform(0.88, 1.1)  # the second ear differs a little from the first
    first, second = (shape(size * dice.uniform(0.96, 1.04), dice.uniform(-0.08, 0.08)) for _ in range(2))

    size = dice.uniform(0.92, 1.1)
    pupil = 0.115 * size * dice.uniform(0.9, 1.1)
    center = dice.uniform(0.36, 0.42), dice.uniform(-0.22, -0.12)
    slant, sharpness = dice.uniform(-0.2, 0.25), dice.uniform(0.0, 0.25)
    eye = Eye(center, (0.2 * size, 0.195 * size), slant, sharpness, (pupil, pupil))

    wide, end = dice.uniform(0.4, 0.48), dice.uniform(0.74, 0.84)  # a long muzzle with jowls over a chin
    chin = ellipse((0, end + 0.04), (wide * 0.6, 0.15))
    upper = [(0.0, -0.05), (0.2, 0.02), (wide * 0.8, 0.3)]
    bridge = smooth_halves([*upper, (wide, 0.6), (wide * 0.72, end), (0.0, end - 0.06)])
    corner = smooth_path([(0, 0.62), (0.14, 0.74), (wide * 0.7, 0.74), (wide * 0.95, 0.6)], 4)
    philtrum = as_points([(0, 0.4), (0, 0.62)])
    muzzle = Muzzle((chin, bridge), 0.75, (philtrum, corner, mirror(corner)), (0.0, 0.69))

    wide, high = dice.uniform(0.2, 0.25), dice.uniform(0.14, 0.18)  # a big oval, flatter above than below
    upper = [(0.0, 0.3 - high), (wide * 0.8, 0.31 - high * 0.8), (wide, 0.31)]
    outline = smooth_halves([*upper, (wide * 0.5, 0.31 + high * 0.8), (0.0, 0.31 + high)], 4)
    nose = Nose(outline, (0.09, 0.33), 0.9)

    reach = dice.uniform(0.28, 0.55)
    whiskers = []
    for row in range(dice.integer(2, 3)):
        root = (0.24 + dice.uniform(0, 0.06), 0.48 + 0.09 * row)
        middle = root[0] + 0.5 * reach, root[1] - 0.02 + 0.04 * row
        whiskers.append(smooth_path([root, middle, (root[0] + reach, root[1] + 0.02 + 0.1 * row)], 4))
    return Anatomy(skull, (first, second), eye, muzzle, nose, tuple(whiskers))


def _hanging_ear(size: float, swing: float) -> Ear:
    """Return an ear that hangs down beside the cheek."""
    outside = [(0.4, -0.8), (0.82, -0.88), (1.14, -0.52), (1.26 + swing, -0.5 + 0.55 * size)]
    tip = [(1.16 + swing, -0.5 + 0.98 * size), (0.94 + swing, -0.52 + 0.9 * size)]
    outer = smooth_loop([*outside, *tip, (0.8, -0.5 + 0.45 * size), (0.66, -0.46)], 5)
    return Ear(outer, None, in_front=True)


def _folded_ear(size: float, swing: float) -> Ear:
    """Return an ear that stands at its root and folds over, with a soft tip."""
    fold = [(0.3, -0.8), (0.56, -1.06 * size), (0.94, -1.08 * size), (1.16 * size, -0.84)]
    tip = [(1.2 * size + swing, -0.42), (1.02 + swing, -0.28)]
    outer = smooth_loop([*fold, *tip, (0.82, -0.5), (0.6, -0.62)], 5)
    return Ear(outer, None, in_front=True)


def _round_ear(size: float, swing: float) -> Ear:
    """Return a round ear that stands off to the side."""
    outer = ellipse((0.84 + swing / 2, -0.68), (0.36 * size, 0.46 * size), turn=0.8 + swing)
    return Ear(outer, shrink(outer, (0.78, -0.6), factor=0.62), in_front=False)


_DOG_EARS = (_hanging_ear,) * 5 + (_folded_ear,) * 4 + (_round_ear,)


# --- the body below the head: sitting, with paws, tail and perhaps a collar; the same for cats and dogs ---


def paint_body(canvas: Canvas, coat: Coat, *, pose: Pose, dice: Dice) -> None:
    """Paint a sitting body under the head; in a close-up most of it is outside the photo."""
    spot = np.array([pose.x, pose.y])
    long, wide = dice.uniform(2.3, 2.7), dice.uniform(0.86, 1.05)

    def place(points: Points) -> Points:
        """Return points in radii below the middle of the head in the photo."""
        placed: Points = points * pose.radius + spot
        return placed

    foot = place(np.array([[0.0, long]]))[0]
    canvas.glow((foot[0], foot[1]), (1.7 * pose.radius, 0.34 * pose.radius), color=INK, strength=0.55)
    tip = dice.uniform(0.1, 0.7)
    rise = [(1.62, long - 0.4), (1.56, long - 0.7 - tip), (1.3 + 0.5 * tip, long - 0.9 - tip)]
    tail = smooth_path([(0.6, long - 0.3), (1.2, long - 0.1), *rise], 8)
    _paint_tail(canvas, coat, tail=place(tail if dice.chance(0.5) else mirror(tail)), width=0.26 * pose.radius)

    neck = [(0.0, 0.2), (0.5, 0.5), (0.58, 1.0), (0.74 * wide, 1.5)]
    trunk = smooth_halves([*neck, (1.06 * wide, long - 0.45), (0.86 * wide, long), (0.0, long)])
    _paint_trunk(canvas, coat, trunk=place(trunk), pose=pose, dice=dice)

    outside = [(0.2, 1.35), (0.44, 1.6), (0.4, long - 0.3), (0.52, long - 0.02), (0.3, long + 0.1)]
    leg = smooth_loop([*outside, (0.06, long - 0.02), (0.1, long - 0.3), (0.06, 1.7)], 5)
    for outline in (place(leg), place(mirror(leg))):
        canvas.blend(shade(coat.fur, 0.98), outline, strength=0.75)
        canvas.line(outline[8:-8], mix(coat.fur, coat.line, 0.45), width=0.004)
        fur_inside(canvas, outline, length=0.03, count=20, dice=dice)
    paws = [place(ellipse((side * 0.29, long - 0.04), (0.25, 0.17))) for side in (-1, 1)]
    _paint_paws(canvas, coat, paws=paws, dice=dice)

    if coat.collar is not None:
        band = smooth_path([(-0.56, 0.98), (0.0, 1.2), (0.56, 0.98)], 6)
        canvas.line(place(band), coat.collar, width=0.16 * pose.radius)
        canvas.polygon(place(ellipse((0.0, 1.34), (0.12, 0.13), count=16)), (226, 186, 84))
        canvas.polygon(place(ellipse((-0.03, 1.3), (0.04, 0.04), count=10)), (250, 232, 170))


def _paint_tail(canvas: Canvas, coat: Coat, *, tail: Points, width: float) -> None:
    """Paint a tail as a thick line with a round end in the second color."""
    canvas.line(tail, shade(coat.fur, 0.86), width=width)
    tip = tail[-7:]
    canvas.line(tip, shade(coat.second, 0.95), width=width)
    canvas.polygon(ellipse((tip[-1, 0], tip[-1, 1]), (width / 2, width / 2)), shade(coat.second, 0.95))


def _paint_trunk(canvas: Canvas, coat: Coat, *, trunk: Points, pose: Pose, dice: Dice) -> None:
    """Paint the trunk with a light chest, the shadow of the head and fur."""
    radius = pose.radius
    layer = canvas.layer(shade(coat.fur, 0.94))
    layer.glow((pose.x, pose.y + 1.6 * radius), (0.55 * radius, 0.8 * radius), color=coat.light, strength=0.8)
    shadow = shade(coat.fur, 0.35)
    layer.glow((pose.x, pose.y + 0.8 * radius), (1.1 * radius, 0.7 * radius), color=shadow, strength=0.6)
    canvas.lay(layer, trunk)
    fur_inside(canvas, trunk, length=0.16 * radius, count=90, dice=dice)
    fur_edge(canvas, trunk, length=0.11 * radius * coat.fluff, count=80, dice=dice)


def _paint_paws(canvas: Canvas, coat: Coat, *, paws: list[Points], dice: Dice) -> None:
    """Paint the paws with their toes; some animals wear socks."""
    color = dice.pick((coat.fur, coat.fur, mix(coat.light, WHITE, 0.5), coat.second))
    line = mix(color, coat.line, 0.5)
    for paw in paws:
        canvas.polygon(paw, color)
        canvas.line(np.concatenate([paw, paw[:1]]), line, width=0.004)
        middle, half = paw.mean(axis=0), (paw.max(axis=0) - paw.min(axis=0)) / 2
        for shift in (-0.3, 0.3):
            toe = np.array([[shift, 0.25], [shift * 1.1, 0.85]]) * half + middle
            canvas.line(toe, line, width=0.005)


# --- the head and what is on it, from back to front; each part tells where it went ---

_SIDES = ("left", "right")
_EYE_DEPTH = 0.55


def paint_head(canvas: Canvas, anatomy: Anatomy, *, coat: Coat, pose: Pose, dice: Dice) -> Regions:
    """Paint ears and skull with their fur; return the points of the regions "face", "outline" and of the ears."""
    brush = _Brush(canvas=canvas, coat=coat, pose=pose, dice=dice)
    regions = brush.paint_ears(anatomy, in_front=False)
    regions |= brush.paint_skull(anatomy.skull)
    regions |= brush.paint_ears(anatomy, in_front=True)
    rim = regions.pop("rim")
    regions["outline"] = np.concatenate([regions["face"], rim, regions["left_ear"], regions["right_ear"]])
    return regions


def paint_features(canvas: Canvas, anatomy: Anatomy, *, coat: Coat, pose: Pose, tongue: bool, dice: Dice) -> Regions:
    """Paint eyes, muzzle, mouth, tongue, nose and whiskers; return the points of each by its name."""
    brush = _Brush(canvas=canvas, coat=coat, pose=pose, dice=dice)
    regions = brush.paint_eyes(anatomy.eye) | brush.paint_muzzle(anatomy.muzzle)
    if tongue:
        regions |= brush.paint_tongue(anatomy.muzzle)
    for line in anatomy.muzzle.mouth:
        canvas.line(pose.place(line, anatomy.muzzle.depth), coat.line, width=0.042 * pose.radius)
    return regions | brush.paint_nose(anatomy.nose) | brush.paint_whiskers(anatomy.whiskers)


@dataclass(frozen=True)
class _Brush:
    """Paints one part after the other: where to paint, in which coat and pose, with which chance."""

    canvas: Canvas
    coat: Coat
    pose: Pose
    dice: Dice

    def paint_skull(self, skull: Points) -> Regions:
        """Paint the face with markings, light and fur; return the regions "face" and "rim" (tips of the fur)."""
        coat, pose = self.coat, self.pose
        outline = pose.place(skull)
        layer = self.canvas.layer(coat.fur)
        for mark, color in draw_marks(coat, self.dice.branch("marks")):
            layer.polygon(pose.wrap(mark), color)
        self._light(layer)
        self.canvas.lay(layer, outline)
        fur = 0.13 * pose.radius * (0.6 + 0.4 * coat.fluff)
        fur_inside(self.canvas, outline, length=fur, count=self._hairs(260), dice=self.dice.branch("fur"))
        edge = 0.13 * pose.radius * coat.fluff
        tips = fur_edge(self.canvas, outline, length=edge, count=self._hairs(190), dice=self.dice.branch("edge"))
        return {"face": outline, "rim": tips}

    def _light(self, layer: Canvas) -> None:
        """Make the face look round: light from above, shadow towards the chin."""
        pose, radius = self.pose, self.pose.radius
        side = self.dice.branch("light").uniform(-0.5, 0.5)
        layer.glow(
            (pose.x + side * radius, pose.y - 0.5 * radius),
            (1.1 * radius, 0.9 * radius),
            color=mix(self.coat.fur, (255, 250, 235), 0.55),
            strength=0.4,
        )
        layer.glow(
            (pose.x - side * radius, pose.y + 1.25 * radius),
            (1.5 * radius, 0.9 * radius),
            color=shade(self.coat.fur, 0.45),
            strength=0.5,
        )

    def paint_ears(self, anatomy: Anatomy, *, in_front: bool) -> Regions:
        """Paint those ears that stand behind the skull or hang in front of it; return their regions."""
        regions = {}
        for number, (side, ear) in enumerate(zip(_SIDES, anatomy.ears, strict=True)):
            if ear.in_front == in_front:
                regions[f"{side}_ear"] = self._paint_ear(ear, side, color=self.coat.ears[number])
        return regions

    def _paint_ear(self, ear: Ear, side: str, *, color: Color) -> Points:
        """Paint one ear with contour, inside and fur; return all its points."""
        outline, dice = self._place(ear.outer, side), self.dice.branch(f"{side} ear")
        self.canvas.polygon(outline, color)
        if ear.in_front:
            contour = np.concatenate([outline, outline[:1]])
            self.canvas.line(contour, mix(color, self.coat.line, 0.4), width=0.03 * self.pose.radius)
        length = 0.12 * self.pose.radius * (0.6 + 0.4 * self.coat.fluff)
        fur_inside(self.canvas, outline, length=length, count=self._hairs(60), dice=dice)
        tips = fur_edge(self.canvas, outline, length=0.55 * length, count=self._hairs(64), dice=dice)
        if ear.inner is not None:
            inner = self._place(ear.inner, side)
            self.canvas.polygon(inner, self.coat.inner_ear)
            fur_inside(self.canvas, inner, length=length, count=self._hairs(24), dice=dice)
        return np.concatenate([outline, tips])

    def _place(self, points: Points, side: str) -> Points:
        """Return points of the right half in the photo, mirrored if they belong to the left."""
        return self.pose.place(mirror(points) if side == "left" else points, -0.1)

    def _hairs(self, number: int) -> int:
        """Return how many hairs to draw: fewer on a small head, so that it does not clog."""
        return max(8, round(number * min(1.0, self.pose.radius / 0.22)))

    def paint_eyes(self, eye: Eye) -> Regions:
        """Paint both eyes, which look the same way; now and then one is shut."""
        dice = self.dice.branch("eyes")
        gaze = np.array([dice.uniform(-0.05, 0.05), dice.uniform(-0.03, 0.03)])
        shut = dice.pick(("left", "right", "both")) if dice.chance(0.08) else ""
        return {
            f"{side}_eye": self._paint_eye(eye, side, gaze=gaze, is_open=shut not in (side, "both"))
            for side in ("left", "right")
        }

    def _paint_eye(self, eye: Eye, side: str, *, gaze: Points, is_open: bool) -> Points:
        """Paint one eye and return its rim."""
        rim = almond((eye.radii[0] * 1.17, eye.radii[1] * 1.2), turn=eye.slant, sharpness=eye.sharpness)
        placed = self._on_eye(rim, eye, side)
        if not is_open:
            lid = ellipse((0, 0), eye.radii, turn=0)[:14] * np.array([1.0, 0.5])
            self.canvas.line(self._on_eye(lid, eye, side), INK, width=0.06 * self.pose.radius)
            return placed
        self.canvas.polygon(placed, mix(INK, self.coat.line, 0.25))
        iris = almond(eye.radii, turn=eye.slant, sharpness=eye.sharpness)
        self.canvas.polygon(self._on_eye(iris, eye, side), shade(self.coat.iris, 0.72))
        glow = iris * 0.78 + np.array([0, 0.1 * eye.radii[1]])
        self.canvas.polygon(self._on_eye(glow, eye, side), self.coat.iris)
        self._paint_pupil(eye, side, gaze=gaze)
        return placed

    def _paint_pupil(self, eye: Eye, side: str, *, gaze: Points) -> None:
        """Paint the pupil and the light that shines in it, on the same side of both eyes."""
        looking = gaze * np.array([-1.0 if side == "left" else 1.0, 1.0])
        self.canvas.polygon(self._on_eye(ellipse((0, 0), eye.pupil) + looking, eye, side), (18, 14, 18))
        flip = 1.0 if side == "left" else -1.0
        for spot, size in (((0.07 * flip, -0.075), 0.052), ((-0.06 * flip, 0.07), 0.026)):
            self.canvas.polygon(self._on_eye(ellipse(spot, (size, size), count=12), eye, side), WHITE)

    def _on_eye(self, points: Points, eye: Eye, side: str) -> Points:
        """Return points around the eye's center in the photo."""
        right = points + np.array(eye.center)
        return self.pose.place(mirror(right) if side == "left" else right, _EYE_DEPTH)

    def paint_muzzle(self, muzzle: Muzzle) -> Regions:
        """Paint the muzzle with the shadow below it and its fur."""
        radius, color = self.pose.radius, self.coat.muzzle
        placed = [self.pose.place(loop, muzzle.depth) for loop in muzzle.loops]
        middle = np.concatenate(placed).mean(axis=0)
        shadow = self.pose.place(muzzle.loops[-1] * 1.05, muzzle.depth - 0.08)
        self.canvas.blend(shade(self.coat.fur, 0.5), shadow, strength=0.3)
        for number, loop in enumerate(placed):
            self.canvas.polygon(loop, color if number else shade(color, 0.86))
            self.canvas.line(np.concatenate([loop, loop[:1]]), mix(color, self.coat.line, 0.3), width=0.03 * radius)
        shine = mix(color, WHITE, 0.5)
        self.canvas.glow((middle[0], middle[1]), (0.5 * radius, 0.4 * radius), color=shine, strength=0.35)
        for number, loop in enumerate(placed):
            fur_inside(self.canvas, loop, length=0.1 * radius, count=40, dice=self.dice.branch(f"muzzle {number}"))
        return {"muzzle": np.concatenate(placed)}

    def paint_tongue(self, muzzle: Muzzle) -> Regions:
        """Paint an open mouth and a tongue, of one size for all."""
        dice = self.dice.branch("tongue")
        root = np.array(muzzle.tongue_root)
        long, swing = dice.uniform(0.36, 0.46), dice.uniform(-0.06, 0.06)
        lean = np.array([[1.0, 0.0], [swing / long, 1.0]])
        half = [(0.0, -0.01), (0.13, 0.0), (0.15, 0.6 * long), (0.08, 0.96 * long), (0.0, long)]
        mouth, tongue, groove = (
            self.pose.place(points @ lean + root, muzzle.depth)
            for points in (
                ellipse((0, 0.07), (0.21, 0.13)),
                smooth_halves(half, 4),
                np.array([[0, 0.05], [0, 0.75 * long]]),
            )
        )
        self.canvas.polygon(mouth, (82, 30, 38))
        self.canvas.polygon(tongue, self.coat.tongue)
        self.canvas.line(groove, shade(self.coat.tongue, 0.8), width=0.035 * self.pose.radius)
        return {"tongue": tongue}

    def paint_nose(self, nose: Nose) -> Regions:
        """Paint the nose with nostrils and a light on it."""
        place = self.pose.place
        outline = place(nose.outline, nose.depth)
        self.canvas.polygon(outline, self.coat.nose)
        across, down = nose.nostril
        for side in (-1, 1):
            nostril = ellipse((side * across, down), (0.38 * across, 0.026), turn=side * 0.4, count=10)
            self.canvas.polygon(place(nostril, nose.depth), shade(self.coat.nose, 0.4))
        top = nose.outline[:, 1].min()
        shine = ellipse((-0.02, top + 0.045), (0.07, 0.022), count=12)
        self.canvas.polygon(place(shine, nose.depth), mix(self.coat.nose, WHITE, 0.55))
        return {"nose": outline}

    def paint_whiskers(self, whiskers: tuple[Points, ...]) -> Regions:
        """Draw the whiskers of both sides, light on dark fur and dark on light fur."""
        bright = sum(self.coat.fur) < 560
        color = mix(WHITE, self.coat.fur, 0.1) if bright else shade(self.coat.line, 0.9)
        placed = [self.pose.place(side(hair), 0.5) for hair in whiskers for side in (np.asarray, mirror)]
        for hair in placed:
            self.canvas.line(hair, color, width=0.003 + 0.006 * self.pose.radius)
        return {"whiskers": np.concatenate(placed)}
