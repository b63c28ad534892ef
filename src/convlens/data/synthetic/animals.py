"""Cats and dogs: pose, breeds, the shape of a head, and how body and head are painted.

The shape of the head is the one thing that tells a cat from a dog. Its points are in radii of the head around its
center, x to the viewer's right and y downwards; depths stand out towards the viewer. The right half is given, the left
half is its mirror image.
"""

from collections.abc import Callable, Sequence
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
    closed,
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
from convlens.data.synthetic.coats import Coat, fur_edge, fur_inside

Regions = dict[str, Points]

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


# --- ears: the right one, as seen from the front ---


@dataclass(frozen=True)
class Ear:
    """An ear: its outline, what is seen of its inside, and whether it hangs in front of the head."""

    outer: Points
    inner: Points | None
    in_front: bool


def _pointed_ear(size: float, swing: float) -> Ear:
    """Return an upright triangle, its tip up to 1.6 radii above the center."""
    tip, inside, outside = (0.72 + 2 * swing, -1.42 * size), (0.16, -0.74), (0.97, -0.18)
    left = smooth_path([inside, (inside[0] / 2 + tip[0] / 2 - 0.05, -0.39 + tip[1] / 2), tip], 5)
    right = smooth_path([tip, (outside[0] / 2 + tip[0] / 2 + 0.07, -0.11 + tip[1] / 2), outside], 5)
    outer = np.concatenate([left, right[1:], as_points([(0.4, -0.3)])])
    return Ear(outer, shrink(outer, (0.57, -0.62), factor=0.66), in_front=False)


def _hanging_ear(size: float, swing: float) -> Ear:
    """Return an ear that hangs down beside the cheek."""
    outside = [(0.4, -0.8), (0.82, -0.88), (1.14, -0.52), (1.26 + swing, -0.5 + 0.55 * size)]
    tip = [(1.16 + swing, -0.5 + 0.98 * size), (0.94 + swing, -0.52 + 0.9 * size)]
    return Ear(smooth_loop([*outside, *tip, (0.8, -0.5 + 0.45 * size), (0.66, -0.46)], 5), None, in_front=True)


def _folded_ear(size: float, swing: float) -> Ear:
    """Return an ear that stands at its root and folds over, with a soft tip."""
    fold = [(0.3, -0.8), (0.56, -1.06 * size), (0.94, -1.08 * size), (1.16 * size, -0.84)]
    tip = [(1.2 * size + swing, -0.42), (1.02 + swing, -0.28)]
    return Ear(smooth_loop([*fold, *tip, (0.82, -0.5), (0.6, -0.62)], 5), None, in_front=True)


def _round_ear(size: float, swing: float) -> Ear:
    """Return a round ear that stands off to the side."""
    outer = ellipse((0.84 + swing / 2, -0.68), (0.36 * size, 0.46 * size), turn=0.8 + swing)
    return Ear(outer, shrink(outer, (0.78, -0.6), factor=0.62), in_front=False)


# --- breeds: what a cat and a dog have in common but for the measures, and those that lie between ---

EarShape = Callable[[float, float], Ear]


@dataclass(frozen=True)
class Breed:
    """The shapes its ears may have, and how far each other part is on the way from a cat's (0) to a dog's (1)."""

    ears: tuple[EarShape, ...]
    skull: float
    eyes: float
    muzzle: float
    nose: float
    whiskers: float


TYPICAL = {
    "cats": Breed((_pointed_ear,), 0, 0, 0, 0, 0),
    "dogs": Breed((_hanging_ear,) * 5 + (_folded_ear,) * 4 + (_round_ear,), 1, 1, 1, 1, 1),
}
BETWEEN = {  # each keeps the muzzle or the nose of its kind, so that a person can tell
    "cats": (
        Breed((_folded_ear,), skull=0.2, eyes=0.5, muzzle=0, nose=0, whiskers=0),  # as a Scottish Fold
        Breed((_round_ear,), skull=0.1, eyes=0.9, muzzle=0, nose=0.2, whiskers=0.5),  # flat-faced, as a Persian
        Breed((_pointed_ear,), skull=0.7, eyes=0.5, muzzle=0.5, nose=0.2, whiskers=0.3),  # long-muzzled, as a Siamese
    ),
    "dogs": (
        Breed((_pointed_ear,), skull=0.6, eyes=0.5, muzzle=0.85, nose=0.9, whiskers=0.9),  # pointed-eared, as a Spitz
        Breed((_pointed_ear,), skull=0.4, eyes=0.9, muzzle=0.8, nose=0.75, whiskers=0.7),  # as a Chihuahua
        Breed((_folded_ear,), skull=0.3, eyes=0.9, muzzle=0.6, nose=0.8, whiskers=0.8),  # flat-faced, as a Pug
    ),
}


def draw_breed(kind: str, dice: Dice, *, between: float) -> tuple[Breed, bool]:
    """Draw a breed of a kind, and whether it is one of those between the kinds, with this probability."""
    is_between, breed = dice.chance(between), dice.pick(BETWEEN[kind])
    return (breed, True) if is_between else (TYPICAL[kind], False)


@dataclass(frozen=True)
class Eye:
    """The right eye: center, half its width and height, pupil, slant in radians, how pointed its corners are."""

    center: Points
    radii: Points
    pupil: Points
    slant: float
    sharpness: float


@dataclass(frozen=True)
class Anatomy:
    """A head: its skull, ears (the viewer's left and right one, both given as right ones) and the rest.

    Of the loops of the muzzle the first lies lowest. Whiskers are those of the right side, a line of points each.
    """

    skull: Points
    ears: tuple[Ear, Ear]
    eye: Eye
    muzzle: tuple[Points, ...]
    mouth: tuple[Points, ...]
    tongue_root: Points
    nose: Points
    whiskers: tuple[Points, ...]


Corners = Sequence[tuple[float, float]]


def draw_anatomy(dice: Dice, breed: Breed) -> Anatomy:
    """Draw the head of one animal of a breed.

    A cat has a wide face, almond eyes with slit pupils, a small muzzle with a pink triangle of a nose, and long
    whiskers; a dog a high face, round eyes, a long muzzle with a big oval nose, and short whiskers.
    """
    skull = _blend(
        [(0, -0.8), (0.49, -0.74), (0.88, -0.36), (1.01, 0.14), (0.85, 0.54), (0.46, 0.8), (0, 0.88)],
        [(0, -0.86), (0.48, -0.82), (0.87, -0.42), (0.9, 0.04), (0.76, 0.5), (0.48, 0.86), (0, 0.98)],
        breed.skull + dice.uniform(-0.2, 0.2),
    )
    skull[:, 0] *= dice.uniform(0.95, 1.05)
    shape, size, swing = dice.pick(breed.ears), dice.uniform(0.88, 1.1), dice.uniform(-0.05, 0.05)
    first, second = (shape(size * dice.uniform(0.96, 1.04), swing + dice.uniform(-0.04, 0.04)) for _ in range(2))
    muzzle, mouth, root = _draw_muzzle(breed.muzzle + dice.uniform(-0.08, 0.08), wide=dice.uniform(0.9, 1.1))
    return Anatomy(
        skull=smooth_halves(skull),
        ears=(first, second),
        eye=_draw_eye(dice, breed.eyes + dice.uniform(-0.1, 0.1)),
        muzzle=muzzle,
        mouth=mouth,
        tongue_root=root,
        nose=_draw_nose(dice, breed.nose + dice.uniform(-0.08, 0.08), muzzle=breed.muzzle),
        whiskers=_draw_whiskers(dice, breed.whiskers),
    )


def _blend(cat: Corners, dog: Corners, share: float) -> Points:
    points: Points = as_points(cat) + (as_points(dog) - as_points(cat)) * share
    return points


def _draw_eye(dice: Dice, share: float) -> Eye:
    slit, disc = 0.04 + 0.1 * dice.uniform(0, 1) ** 2, 0.115 * dice.uniform(0.9, 1.1)
    cat, dog = [(0.43, -0.06), (0.27, 0.2), (slit, 0.18)], [(0.39, -0.17), (0.2, 0.195), (disc, disc)]
    center, radii, pupil = _blend(cat, dog, share)
    center += np.array([dice.uniform(-0.03, 0.03), dice.uniform(-0.04, 0.04)])
    size, slant = dice.uniform(0.92, 1.1), -0.22 + 0.24 * share + dice.uniform(-0.15, 0.15)
    sharpness = max(0.0, 0.42 - 0.3 * share + dice.uniform(-0.15, 0.15))
    return Eye(center, radii * size, pupil * size, slant, sharpness)


def _draw_muzzle(share: float, *, wide: float) -> tuple[tuple[Points, ...], tuple[Points, ...], Points]:
    """Return loops, lines of the mouth and root of the tongue: whisker pads over a chin, or jowls on a long bridge."""
    place, pad_radii, chin_radii, root = _blend(
        [(0.16, 0.42), (0.23, 0.17), (0.16, 0.12), (0, 0.5)],
        [(0.2, 0.58), (0.25, 0.22), (0.27, 0.15), (0, 0.69)],
        share,
    )
    bridge = _blend(
        [(0, 0.16), (0.1, 0.18), (0.22, 0.32), (0.3, 0.44), (0.22, 0.54), (0, 0.52)],
        [(0, -0.05), (0.2, 0.02), (0.35, 0.3), (0.44, 0.6), (0.32, 0.79), (0, 0.73)],
        share,
    )
    lip, jowl = (
        [(0, 0.43), (0.1, 0.53), (0.25, 0.5), (0.31, 0.43)],
        [(0, 0.62), (0.14, 0.74), (0.31, 0.74), (0.42, 0.6)],
    )
    corner, philtrum = _blend(lip, jowl, share), _blend([(0, 0.28), (0, 0.43)], [(0, 0.4), (0, 0.62)], share)
    chin, pad = ellipse((0, 0.6 + 0.23 * share), chin_radii), ellipse(place, pad_radii)
    loops = (chin, smooth_halves(bridge), *((pad, mirror(pad)) if share < 0.45 else ()))
    mouth = (philtrum, smooth_path(corner, 4), smooth_path(mirror(corner), 4))
    across = np.array([wide, 1.0])
    return tuple(loop * across for loop in loops), tuple(line * across for line in mouth), root


def _draw_nose(dice: Dice, share: float, *, muzzle: float) -> Points:
    """Draw a small triangle that stands on its tip, or a big oval, where the muzzle has it."""
    size = np.array([dice.uniform(0.9, 1.1), dice.uniform(0.9, 1.1)])
    half = _blend(
        [(0, 0.0), (0.1, -0.01), (0.135, 0.02), (0.1, 0.07), (0, 0.14)],
        [(0, 0.0), (0.18, 0.04), (0.225, 0.17), (0.12, 0.28), (0, 0.33)],
        share,
    )
    outline: Points = smooth_halves(half, 4) * size + np.array([0, 0.18 - 0.04 * muzzle])
    return outline


def _draw_whiskers(dice: Dice, share: float) -> tuple[Points, ...]:
    """Draw three or four long whiskers that spread, or two or three short ones."""
    reach, droop = dice.uniform(0.65, 1.1) * (1 - 0.53 * share), dice.uniform(-0.05, 0.12)
    whiskers = []
    for row in range(dice.integer(3, 4) - round(share)):
        rise = (-0.22 + 0.2 * row) * (1 - 0.6 * share) + dice.uniform(-0.04, 0.04)
        x, y = 0.24 + dice.uniform(0, 0.06), 0.36 + 0.05 * row + 0.14 * share
        middle = x + 0.5 * reach, y + 0.6 * rise - 0.03
        whiskers.append(smooth_path([(x, y), middle, (x + reach, y + rise + droop)], 4))
    return tuple(whiskers)


# --- the body below the head: sitting, with paws, tail and perhaps a collar; the same for cats and dogs ---


def paint_body(canvas: Canvas, coat: Coat, *, pose: Pose, dice: Dice) -> None:
    """Paint a sitting body under the head; in a close-up most of it is outside the photo."""
    spot, radius = np.array([pose.x, pose.y]), pose.radius
    long, wide = dice.uniform(2.3, 2.7), dice.uniform(0.86, 1.05)

    def place(points: Points) -> Points:
        placed: Points = points * radius + spot
        return placed

    canvas.glow((pose.x, pose.y + long * radius), (1.7 * radius, 0.34 * radius), color=INK, strength=0.55)
    tip = dice.uniform(0.1, 0.7)
    rise = [(1.62, long - 0.4), (1.56, long - 0.7 - tip), (1.3 + 0.5 * tip, long - 0.9 - tip)]
    tail = smooth_path([(0.6, long - 0.3), (1.2, long - 0.1), *rise], 8)
    tail = place(tail if dice.chance(0.5) else mirror(tail))
    canvas.line(tail, shade(coat.fur, 0.86), width=0.26 * radius)
    canvas.line(tail[-7:], shade(coat.second, 0.95), width=0.26 * radius)
    canvas.polygon(ellipse((tail[-1, 0], tail[-1, 1]), (0.13 * radius, 0.13 * radius)), shade(coat.second, 0.95))

    neck = [(0.0, 0.2), (0.5, 0.5), (0.58, 1.0), (0.74 * wide, 1.5)]
    trunk = place(smooth_halves([*neck, (1.06 * wide, long - 0.45), (0.86 * wide, long), (0.0, long)]))
    layer = canvas.layer(shade(coat.fur, 0.94))
    layer.glow((pose.x, pose.y + 1.6 * radius), (0.55 * radius, 0.8 * radius), color=coat.light, strength=0.8)
    shadow = shade(coat.fur, 0.35)
    layer.glow((pose.x, pose.y + 0.8 * radius), (1.1 * radius, 0.7 * radius), color=shadow, strength=0.6)
    canvas.lay(layer, trunk)
    fur_inside(canvas, trunk, length=0.16 * radius, count=90, dice=dice)
    fur_edge(canvas, trunk, length=0.11 * radius * coat.fluff, count=80, dice=dice)

    outside = [(0.2, 1.35), (0.44, 1.6), (0.4, long - 0.3), (0.52, long - 0.02), (0.3, long + 0.1)]
    leg = smooth_loop([*outside, (0.06, long - 0.02), (0.1, long - 0.3), (0.06, 1.7)], 5)
    for outline in (place(leg), place(mirror(leg))):
        canvas.blend(shade(coat.fur, 0.98), outline, strength=0.75)
        canvas.line(outline[8:-8], mix(coat.fur, coat.line, 0.45), width=0.004)
        fur_inside(canvas, outline, length=0.03, count=20, dice=dice)
    color = dice.pick((coat.fur, coat.fur, mix(coat.light, WHITE, 0.5), coat.second))  # some wear socks
    for side in (-0.29, 0.29):
        paw = place(ellipse((side, long - 0.04), (0.25, 0.17)))
        canvas.polygon(paw, color)
        canvas.line(closed(paw), mix(color, coat.line, 0.5), width=0.004)
        for toe in (-0.075, 0.075):
            line = place(as_points([(side + toe, long), (side + toe * 1.1, long + 0.1)]))
            canvas.line(line, mix(color, coat.line, 0.5), width=0.005)
    if coat.collar is not None:
        canvas.line(place(smooth_path([(-0.56, 0.98), (0.0, 1.2), (0.56, 0.98)], 6)), coat.collar, width=0.16 * radius)
        canvas.polygon(place(ellipse((0.0, 1.34), (0.12, 0.13), count=16)), (226, 186, 84))
        canvas.polygon(place(ellipse((-0.03, 1.3), (0.04, 0.04), count=10)), (250, 232, 170))


# --- the head and what is on it, from back to front; each part tells where it went ---

_SIDES: dict[str, Callable[[Points], Points]] = {"left": mirror, "right": np.asarray}
_EYE_DEPTH, _MUZZLE_DEPTH, _NOSE_DEPTH = 0.55, 0.72, 0.85


@dataclass(frozen=True)
class HeadPainter:
    """Paints a head part by part: where to paint, in which shape, coat and pose, with which chance."""

    canvas: Canvas
    anatomy: Anatomy
    coat: Coat
    pose: Pose
    dice: Dice

    def paint(self, *, tongue: bool) -> Regions:
        """Paint the whole head; return the points of each part by its name."""
        regions = self._paint_ears(in_front=False)
        regions["face"], rim = self._paint_skull()
        regions |= self._paint_ears(in_front=True)
        regions["outline"] = np.concatenate([regions["face"], rim, regions["left_ear"], regions["right_ear"]])
        regions |= self._paint_eyes()
        regions["muzzle"] = self._paint_muzzle()
        if tongue:
            regions["tongue"] = self._paint_tongue()
        for line in self.anatomy.mouth:
            self.canvas.line(self.pose.place(line, _MUZZLE_DEPTH), self.coat.line, width=0.042 * self.pose.radius)
        regions["nose"] = self._paint_nose()
        regions["whiskers"] = self._paint_whiskers()
        return regions

    def _hairs(self, number: int) -> int:
        """Return how many hairs to draw: fewer on a small head, so that it does not clog."""
        return max(8, round(number * min(1.0, self.pose.radius / 0.22)))

    def _paint_skull(self) -> tuple[Points, Points]:
        """Paint the face with markings, light and fur; return its outline and the tips of the fur."""
        coat, pose, radius = self.coat, self.pose, self.pose.radius
        outline = pose.place(self.anatomy.skull)
        layer = self.canvas.layer(coat.fur)
        for mark, color in coat.draw_marks(coat, self.dice.branch("marks")):
            layer.polygon(pose.wrap(mark), color)
        side = self.dice.branch("light").uniform(-0.5, 0.5) * radius  # the face looks round: light above, shadow below
        lit, dim = mix(coat.fur, (255, 250, 235), 0.55), shade(coat.fur, 0.45)
        layer.glow((pose.x + side, pose.y - 0.5 * radius), (1.1 * radius, 0.9 * radius), color=lit, strength=0.4)
        layer.glow((pose.x - side, pose.y + 1.25 * radius), (1.5 * radius, 0.9 * radius), color=dim, strength=0.5)
        self.canvas.lay(layer, outline)
        fur = 0.13 * radius * (0.6 + 0.4 * coat.fluff)
        fur_inside(self.canvas, outline, length=fur, count=self._hairs(260), dice=self.dice.branch("fur"))
        edge, dice = 0.13 * radius * coat.fluff, self.dice.branch("edge")
        return outline, fur_edge(self.canvas, outline, length=edge, count=self._hairs(190), dice=dice)

    def _paint_ears(self, *, in_front: bool) -> Regions:
        """Paint those ears that stand behind the skull or hang in front of it; return their regions."""
        ears = zip(_SIDES.items(), self.anatomy.ears, self.coat.ears, strict=True)
        return {
            f"{name}_ear": self._paint_ear(ear, name, color=color)
            for (name, _), ear, color in ears
            if ear.in_front == in_front
        }

    def _paint_ear(self, ear: Ear, name: str, *, color: Color) -> Points:
        """Paint one ear with contour, inside and fur; return all its points."""
        side, dice, radius = _SIDES[name], self.dice.branch(f"{name} ear"), self.pose.radius
        outline = self.pose.place(side(ear.outer), -0.1)
        self.canvas.polygon(outline, color)
        if ear.in_front:
            self.canvas.line(closed(outline), mix(color, self.coat.line, 0.4), width=0.03 * radius)
        length = 0.12 * radius * (0.6 + 0.4 * self.coat.fluff)
        fur_inside(self.canvas, outline, length=length, count=self._hairs(60), dice=dice)
        tips = fur_edge(self.canvas, outline, length=0.55 * length, count=self._hairs(64), dice=dice)
        if ear.inner is not None:
            inner = self.pose.place(side(ear.inner), -0.1)
            self.canvas.polygon(inner, self.coat.inner_ear)
            fur_inside(self.canvas, inner, length=length, count=self._hairs(24), dice=dice)
        return np.concatenate([outline, tips])

    def _paint_eyes(self) -> Regions:
        """Paint both eyes, which look the same way; now and then one is shut."""
        dice = self.dice.branch("eyes")
        gaze = np.array([dice.uniform(-0.05, 0.05), dice.uniform(-0.03, 0.03)])
        shut = dice.pick(("left", "right", "both")) if dice.chance(0.08) else ""
        return {f"{name}_eye": self._paint_eye(name, gaze, is_open=shut not in (name, "both")) for name in _SIDES}

    def _paint_eye(self, name: str, gaze: Points, *, is_open: bool) -> Points:
        """Paint one eye, the light that shines in it on the same side of both; return its rim."""
        eye, flip = self.anatomy.eye, -1.0 if name == "left" else 1.0

        def place(points: Points) -> Points:
            return self.pose.place(_SIDES[name](points + eye.center), _EYE_DEPTH)

        rim = place(almond(eye.radii * 1.18, turn=eye.slant, sharpness=eye.sharpness))
        if not is_open:
            lid = ellipse((0, 0), eye.radii)[:14] * np.array([1.0, 0.5])
            self.canvas.line(place(lid), INK, width=0.06 * self.pose.radius)
            return rim
        iris = almond(eye.radii, turn=eye.slant, sharpness=eye.sharpness)
        self.canvas.polygon(rim, mix(INK, self.coat.line, 0.25))
        self.canvas.polygon(place(iris), shade(self.coat.iris, 0.72))
        self.canvas.polygon(place(iris * 0.78 + np.array([0, 0.1 * eye.radii[1]])), self.coat.iris)
        self.canvas.polygon(place(ellipse((0, 0), eye.pupil) + gaze * np.array([flip, 1.0])), (18, 14, 18))
        for spot, size in (((-0.07 * flip, -0.075), 0.052), ((0.06 * flip, 0.07), 0.026)):
            self.canvas.polygon(place(ellipse(spot, (size, size), count=12)), WHITE)
        return rim

    def _paint_muzzle(self) -> Points:
        radius, color, loops = self.pose.radius, self.coat.muzzle, self.anatomy.muzzle
        placed = [self.pose.place(loop, _MUZZLE_DEPTH) for loop in loops]
        middle = np.concatenate(placed).mean(axis=0)
        shadow = self.pose.place(loops[1] * 1.05, _MUZZLE_DEPTH - 0.08)
        self.canvas.blend(shade(self.coat.fur, 0.5), shadow, strength=0.3)
        for number, loop in enumerate(placed):
            self.canvas.polygon(loop, color if number else shade(color, 0.86))
            self.canvas.line(closed(loop), mix(color, self.coat.line, 0.3), width=0.03 * radius)
        shine = mix(color, WHITE, 0.5)
        self.canvas.glow((middle[0], middle[1]), (0.5 * radius, 0.4 * radius), color=shine, strength=0.35)
        for number, loop in enumerate(placed):
            fur_inside(self.canvas, loop, length=0.1 * radius, count=40, dice=self.dice.branch(f"muzzle {number}"))
        return np.concatenate(placed)

    def _paint_tongue(self) -> Points:
        """Paint an open mouth and a tongue, of one size for all."""
        dice = self.dice.branch("tongue")
        long, swing = dice.uniform(0.36, 0.46), dice.uniform(-0.06, 0.06)
        lean = np.array([[1.0, 0.0], [swing / long, 1.0]])
        half = [(0.0, -0.01), (0.13, 0.0), (0.15, 0.6 * long), (0.08, 0.96 * long), (0.0, long)]
        shapes = ellipse((0, 0.07), (0.21, 0.13)), smooth_halves(half, 4), as_points([(0, 0.05), (0, 0.75 * long)])
        root = self.anatomy.tongue_root
        mouth, tongue, groove = (self.pose.place(points @ lean + root, _MUZZLE_DEPTH) for points in shapes)
        self.canvas.polygon(mouth, (82, 30, 38))
        self.canvas.polygon(tongue, self.coat.tongue)
        self.canvas.line(groove, shade(self.coat.tongue, 0.8), width=0.035 * self.pose.radius)
        return tongue

    def _paint_nose(self) -> Points:
        shape, color = self.anatomy.nose, self.coat.nose
        (wide, bottom), top = shape.max(axis=0), shape[:, 1].min()
        outline = self.pose.place(shape, _NOSE_DEPTH)
        self.canvas.polygon(outline, color)
        for side in (-1, 1):
            spot = side * 0.38 * wide, top + 0.5 * (bottom - top)
            nostril = ellipse(spot, (0.15 * wide, 0.026), turn=side * 0.4, count=10)
            self.canvas.polygon(self.pose.place(nostril, _NOSE_DEPTH), shade(color, 0.4))
        shine = ellipse((-0.02, top + 0.045), (0.3 * wide, 0.022), count=12)
        self.canvas.polygon(self.pose.place(shine, _NOSE_DEPTH), mix(color, WHITE, 0.55))
        return outline

    def _paint_whiskers(self) -> Points:
        """Draw the whiskers of both sides, light on dark fur and dark on light fur."""
        is_dark = sum(self.coat.fur) < 560
        color = mix(WHITE, self.coat.fur, 0.1) if is_dark else shade(self.coat.line, 0.9)
        placed = [self.pose.place(side(hair), 0.5) for hair in self.anatomy.whiskers for side in _SIDES.values()]
        for hair in placed:
            self.canvas.line(hair, color, width=0.003 + 0.006 * self.pose.radius)
        return np.concatenate(placed)
