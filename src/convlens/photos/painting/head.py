"""Paints a head: ears, skull, fur and markings; tells where each part went."""

import numpy as np

from convlens.photos.painting.anatomy import Anatomy, Ear
from convlens.photos.painting.brush import Brush, Regions
from convlens.photos.painting.canvas import Canvas
from convlens.photos.painting.coat import Coat
from convlens.photos.painting.colour import Colour, mix, shade
from convlens.photos.painting.dice import Dice
from convlens.photos.painting.fur import fur_edge, fur_inside
from convlens.photos.painting.geometry import Points, mirror
from convlens.photos.painting.markings import draw_marks
from convlens.photos.painting.pose import Pose

_SIDES = ("left", "right")


def paint_head(canvas: Canvas, anatomy: Anatomy, *, coat: Coat, pose: Pose, dice: Dice) -> Regions:
    """Paint ears and skull with their fur; return the points of the regions "face", "outline" and of the ears."""
    regions: Regions = {}
    brush = _HeadBrush(canvas=canvas, coat=coat, pose=pose, dice=dice)
    regions |= brush.paint_ears(anatomy, in_front=False)
    regions |= brush.paint_skull(anatomy.skull)
    regions |= brush.paint_ears(anatomy, in_front=True)
    rim = regions.pop("rim")
    regions["outline"] = np.concatenate([regions["face"], rim, regions["left_ear"], regions["right_ear"]])
    return regions


class _HeadBrush(Brush):
    """Paints ears and skull."""

    def paint_skull(self, skull: Points) -> Regions:
        """Paint the face with markings, light and fur; return the regions "face" and "rim" (tips of the fur)."""
        coat, pose = self.coat, self.pose
        outline = pose.place(skull)
        layer = self.canvas.layer(coat.fur)
        for mark, colour in draw_marks(coat, self.dice.branch("marks")):
            layer.polygon(pose.wrap(mark), colour)
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
            colour=mix(self.coat.fur, (255, 250, 235), 0.55),
            strength=0.4,
        )
        layer.glow(
            (pose.x - side * radius, pose.y + 1.25 * radius),
            (1.5 * radius, 0.9 * radius),
            colour=shade(self.coat.fur, 0.45),
            strength=0.5,
        )

    def paint_ears(self, anatomy: Anatomy, *, in_front: bool) -> Regions:
        """Paint those ears that stand behind the skull or hang in front of it; return their regions."""
        regions = {}
        for number, (side, ear) in enumerate(zip(_SIDES, anatomy.ears, strict=True)):
            if ear.in_front == in_front:
                regions[f"{side}_ear"] = self._paint_ear(ear, side, colour=self.coat.ears[number])
        return regions

    def _paint_ear(self, ear: Ear, side: str, *, colour: Colour) -> Points:
        """Paint one ear with contour, inside and fur; return all its points."""
        outline, dice = self._place(ear.outer, side), self.dice.branch(f"{side} ear")
        self.canvas.polygon(outline, colour)
        if ear.in_front:
            contour = np.concatenate([outline, outline[:1]])
            self.canvas.line(contour, mix(colour, self.coat.line, 0.4), width=0.03 * self.pose.radius)
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
