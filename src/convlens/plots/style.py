"""How figures look, and how they become PNG or SVG: one palette, one type size, the same bytes every time.

The palette is Okabe and Ito's (2008), safe for color-blind readers; every series differs in line or place as well.
In SVG every color is a CSS variable with the light color as fallback, so a page can give figures its own dark mode.
"""

import io
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from html import escape
from typing import ParamSpec

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

P = ParamSpec("P")

COLORS = {
    "paper": "#fefefe",
    "ink": "#20242b",
    "muted": "#666c76",
    "grid": "#e3e4e8",
    "blue": "#0072b2",
    "orange": "#e69f00",
    "green": "#009e73",
    "purple": "#cc79a7",
    "sky": "#56b4e9",
    "vermilion": "#d55e00",
}
PAPER, INK, MUTED, GRID = (COLORS[name] for name in ("paper", "ink", "muted", "grid"))
SERIES = tuple(COLORS[name] for name in ("blue", "orange", "green", "purple", "sky", "vermilion"))

STYLE = {
    "axes.axisbelow": True,
    "axes.edgecolor": MUTED,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.labelcolor": MUTED,
    "axes.labelsize": 9,
    "axes.linewidth": 0.6,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "figure.constrained_layout.h_pad": 0.08,
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.w_pad": 0.08,
    "figure.dpi": 72,
    "figure.facecolor": PAPER,
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
    "savefig.facecolor": PAPER,
    "svg.fonttype": "none",
    "text.color": INK,
    "xtick.color": MUTED,
    "xtick.labelsize": 9,
    "xtick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.color": MUTED,
    "ytick.labelsize": 9,
    "ytick.major.size": 0,
    "ytick.minor.size": 0,
}
PNG_DPI = 150
WIDTH = 4.8  # inches: half of a wide page, or all of a phone, with letters of one size
SQUARE_HEIGHT = 4.0
SHARES = PercentFormatter(1, decimals=0, symbol=" %")  # of an axis
SVG_FONT = "system-ui, sans-serif"


def styled(plot: Callable[P, Figure]) -> Callable[P, Figure]:
    """Let a function draw in the house's style, whatever the user's matplotlibrc says."""

    @wraps(plot)
    def plot_in_style(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with matplotlib.style.context(["default", STYLE]):
            return plot(*args, **kwargs)

    return plot_in_style


def new_axes(width: float = WIDTH, height: float = 3.2) -> tuple[Figure, Axes]:
    """A figure with one pair of axes; sizes in inches."""
    figure = Figure(figsize=(width, height))
    return figure, figure.add_subplot()


def to_png(figure: Figure) -> bytes:
    """The figure as PNG on white, without anything that changes from run to run."""
    buffer = io.BytesIO()
    with _saving({}):
        FigureCanvasAgg(figure)
        figure.savefig(buffer, format="png", dpi=PNG_DPI, metadata={"Software": None})
    return buffer.getvalue()


def to_svg(figure: Figure, description: str) -> str:
    """The figure as SVG to stand inside an HTML page: transparent, with CSS colors, real text and a description.

    Args:
        figure: a figure drawn in the house's style.
        description: what a reader who cannot see it must know; also keeps the names inside the SVG apart.
    """
    buffer = io.StringIO()
    with _saving({"svg.hashsalt": description}):
        FigureCanvasSVG(figure)
        figure.savefig(buffer, format="svg", dpi=PNG_DPI, transparent=True, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    label = f'class="figure" role="img" aria-label="{escape(description)}"'.replace("\\", "&#92;")
    text = re.sub(r"<svg[^>]*?(viewBox=\"[^\"]*\")[^>]*>", rf"<svg {label} \1>", text, count=1)
    text = text.replace("xlink:href", "href").replace("'DejaVu Sans'", SVG_FONT)
    used = set(re.findall(r"#([\w-]+)", text))  # names like `axes_1` stand in every SVG; on a page each may but once
    text = re.sub(r' id="([^"]*)"', lambda match: match.group(0) if match.group(1) in used else "", text)
    for name, color in COLORS.items():
        text = text.replace(color, f"var(--figure-{name}, {color})")
    return text.strip()


@contextmanager
def _saving(settings: dict[str, str]) -> Iterator[None]:
    with matplotlib.style.context(["default", STYLE, settings]), warnings.catch_warnings():
        # Names in scripts that the font lacks show as boxes in PNG, and as they should in SVG.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield
