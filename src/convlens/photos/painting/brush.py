"""What every stroke of a head and its features needs."""

from dataclasses import dataclass

from convlens.photos.painting.canvas import Canvas
from convlens.photos.painting.coat import Coat
from convlens.photos.painting.dice import Dice
from convlens.photos.painting.geometry import Points
from convlens.photos.painting.pose import Pose

Regions = dict[str, Points]


@dataclass(frozen=True)
class Brush:
    """Where to paint, in which coat and pose, with which chance."""

    canvas: Canvas
    coat: Coat
    pose: Pose
    dice: Dice
