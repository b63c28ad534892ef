"""Where the head is and which way it looks; drawn without knowing the class, so that neither tells it."""

from dataclasses import dataclass

import numpy as np

from convlens.photos.painting.dice import Dice
from convlens.photos.painting.geometry import Points, rotate

ROOM = 1.42  # radii kept free around the centre of a head, so that at most the tip of an ear leaves the photo


@dataclass(frozen=True)
class Pose:
    """Places points of the head, given in radii around its centre, in the photo.

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
    """Draw a pose; `across` is the range of the centre's place across the free room, 0 left to 1 right."""
    low, high = head_size[0] / 2, head_size[1] / 2
    radius = low * (high / low) ** dice.uniform(0, 1)
    margin = min(ROOM * radius, 0.5)
    x = margin + (1 - 2 * margin) * dice.uniform(*across)
    y = margin + (1 - 2 * margin) * dice.uniform(0, 1)
    return Pose(x, y, radius, _lean(dice, 0.5), _lean(dice, 0.22), _lean(dice, 0.55))


def _lean(dice: Dice, most: float) -> float:
    """Draw an angle from -most to most, small ones more often."""
    return most * (dice.uniform(-1, 1) + dice.uniform(-1, 1)) / 2
