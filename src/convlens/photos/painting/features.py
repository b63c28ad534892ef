"""Paints what is on a face: eyes, muzzle, mouth, tongue, nose and whiskers; tells where each part went."""

import numpy as np

from convlens.photos.painting.anatomy import Anatomy, Eye, Muzzle, Nose, Whiskers
from convlens.photos.painting.brush import Brush, Regions
from convlens.photos.painting.canvas import Canvas
from convlens.photos.painting.coat import Coat
from convlens.photos.painting.colour import INK, WHITE, mix, shade
from convlens.photos.painting.dice import Dice
from convlens.photos.painting.fur import fur_inside
from convlens.photos.painting.geometry import Points, almond, ellipse, mirror, smooth_halves
from convlens.photos.painting.pose import Pose

_EYE_DEPTH = 0.55


def paint_features(canvas: Canvas, anatomy: Anatomy, *, coat: Coat, pose: Pose, tongue: bool, dice: Dice) -> Regions:
    """Paint all features of a face; return the points of each by its name."""
    brush = _FeatureBrush(canvas=canvas, coat=coat, pose=pose, dice=dice)
    regions = brush.paint_eyes(anatomy.eye) | brush.paint_muzzle(anatomy.muzzle)
    if tongue:
        regions |= brush.paint_tongue(anatomy.muzzle)
    brush.paint_mouth(anatomy.muzzle)
    return regions | brush.paint_nose(anatomy.nose) | brush.paint_whiskers(anatomy.whiskers)


class _FeatureBrush(Brush):
    """Paints one feature after the other."""

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
        """Return points around the eye's centre in the photo."""
        right = points + np.array(eye.centre)
        return self.pose.place(mirror(right) if side == "left" else right, _EYE_DEPTH)

    def paint_muzzle(self, muzzle: Muzzle) -> Regions:
        """Paint the muzzle with the shadow below it and its fur."""
        radius, colour = self.pose.radius, self.coat.muzzle
        placed = [self.pose.place(loop, muzzle.depth) for loop in muzzle.loops]
        middle = np.concatenate(placed).mean(axis=0)
        shadow = self.pose.place(muzzle.loops[-1] * 1.05, muzzle.depth - 0.08)
        self.canvas.blend(shade(self.coat.fur, 0.5), shadow, strength=0.3)
        for number, loop in enumerate(placed):
            self.canvas.polygon(loop, colour if number else shade(colour, 0.86))
            self.canvas.line(np.concatenate([loop, loop[:1]]), mix(colour, self.coat.line, 0.3), width=0.03 * radius)
        shine = mix(colour, WHITE, 0.5)
        self.canvas.glow((middle[0], middle[1]), (0.5 * radius, 0.4 * radius), colour=shine, strength=0.35)
        for number, loop in enumerate(placed):
            fur_inside(self.canvas, loop, length=0.1 * radius, count=40, dice=self.dice.branch(f"muzzle {number}"))
        return {"muzzle": np.concatenate(placed)}

    def paint_mouth(self, muzzle: Muzzle) -> None:
        """Draw the lines of the mouth."""
        for line in muzzle.mouth:
            self.canvas.line(self.pose.place(line, muzzle.depth), self.coat.line, width=0.042 * self.pose.radius)

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

    def paint_whiskers(self, whiskers: Whiskers) -> Regions:
        """Draw the whiskers of both sides, light on dark fur and dark on light fur."""
        bright = sum(self.coat.fur) < 560
        colour = mix(WHITE, self.coat.fur, 0.1) if bright else shade(self.coat.line, 0.9)
        placed = [self.pose.place(side(hair), 0.5) for hair in whiskers.hairs for side in (np.asarray, mirror)]
        for hair in placed:
            self.canvas.line(hair, colour, width=0.003 + 0.006 * self.pose.radius)
        return {"whiskers": np.concatenate(placed)}
