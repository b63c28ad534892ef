"""The shape of a head: the one thing that tells a cat from a dog.

All points are in radii of the head around its centre, x to the viewer's right and y downwards; depths stand out towards
the viewer. The right half is given, the left half is its mirror image.
"""

from dataclasses import dataclass

from convlens.photos.painting.geometry import Points


@dataclass(frozen=True)
class Ear:
    """The right ear: its outline, what is seen of its inside, and whether it hangs in front of the head."""

    outer: Points
    inner: Points | None
    in_front: bool


@dataclass(frozen=True)
class Eye:
    """The right eye: centre, half its width and height, slant in radians, how pointed its corners are, its pupil."""

    centre: tuple[float, float]
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
class Whiskers:
    """The whiskers of the right side: each a line of three points."""

    hairs: tuple[Points, ...]


@dataclass(frozen=True)
class Anatomy:
    """Everything that has a shape in a head; the ears are the viewer's left and right one, both given as right ones."""

    skull: Points
    ears: tuple[Ear, Ear]
    eye: Eye
    muzzle: Muzzle
    nose: Nose
    whiskers: Whiskers
