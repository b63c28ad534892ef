import io
import re
from collections.abc import Callable
from functools import cache, partial
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image
from report_inputs import make_history, make_inputs

from convlens.plots.data import MAX_POINTS, MEASURES, plot_measure, plot_sizes
from convlens.plots.evaluation import plot_confusion_matrix, plot_probabilities, plot_reliability, plot_roc_curve
from convlens.plots.style import COLORS, to_png, to_svg
from convlens.plots.training import plot_training_curve, plot_training_curves

INPUTS = make_inputs()
COUNTS = np.array([[40, 2], [0, 51]])
FIGURES: dict[str, Callable[[], Figure]] = {
    "training": lambda: plot_training_curves(INPUTS.training.history),
    "loss": lambda: plot_training_curve(INPUTS.training.history, "loss"),
    "accuracy": lambda: plot_training_curve(INPUTS.training.history, "accuracy"),
    "confusion": lambda: plot_confusion_matrix(COUNTS, ("cats", "dogs")),
    "roc": lambda: plot_roc_curve(INPUTS.evaluation.roc, (0.9, 0.8, 0.95)),
    "reliability": lambda: plot_reliability(INPUTS.evaluation.reliability_bins(), 2),
    "probabilities": lambda: plot_probabilities(["cats", "dogs"], np.array([0.9, 0.2]), ("cats", "dogs")),
    "sizes": lambda: plot_sizes(INPUTS.validation.manifest),
    **{
        measure.column: partial(plot_measure, INPUTS.validation.manifest, measure, limits=(0.3,))
        for measure in MEASURES
    },
}


@pytest.mark.parametrize("name", FIGURES)
def test_the_same_values_give_the_same_bytes(name: str) -> None:
    png = to_png(FIGURES[name]())
    assert png == to_png(FIGURES[name]())
    assert svg_of(name) == svg_of.__wrapped__(name)
    with Image.open(io.BytesIO(png)) as image:
        assert image.width >= 600
        assert "Software" not in image.info


@cache
def svg_of(name: str) -> str:
    return to_svg(FIGURES[name](), f"What {name} shows")


@pytest.mark.parametrize("name", FIGURES)
def test_svg_stands_alone_in_a_page(name: str) -> None:
    svg = svg_of(name)
    root = ElementTree.fromstring(svg)
    assert root.attrib["role"] == "img"
    assert root.attrib["aria-label"] == f"What {name} shows"
    assert "http" not in svg
    assert "xlink" not in svg
    references = set(re.findall(r"#([\w-]+)", svg)) - {color.lstrip("#") for color in COLORS.values()}
    assert {element.attrib["id"] for element in root.iter() if "id" in element.attrib} >= references - {"ffffff"}


def test_colors_follow_the_page() -> None:
    svg = svg_of("loss")
    assert "var(--figure-blue, #0072b2)" in svg
    assert "var(--figure-ink, #20242b)" in svg
    assert re.findall(r"(?<!, )#[0-9a-f]{6}\b", svg.replace("#ffffff", "")) == []


def test_two_figures_share_no_name() -> None:
    names = [set(re.findall(r' id="([^"]+)"', svg_of(name))) for name in ("loss", "accuracy")]
    assert names[0]
    assert not names[0] & names[1]


def test_the_users_matplotlib_settings_change_nothing() -> None:
    expected = to_png(plot_training_curve(INPUTS.training.history, "loss"))
    with matplotlib.rc_context({"axes.facecolor": "black", "font.size": 30, "lines.linewidth": 9}):
        assert to_png(plot_training_curve(INPUTS.training.history, "loss")) == expected


def test_drawing_leaves_no_settings_behind() -> None:
    before = dict(matplotlib.rcParams)
    to_svg(plot_training_curve(INPUTS.training.history, "loss"), "loss")
    assert dict(matplotlib.rcParams) == before


def test_steps_of_image_size_are_named() -> None:
    assert {" 64 px", " 96 px"} <= texts(plot_training_curve(make_history(), "loss"))
    even = make_history().assign(image_size=160)
    assert not any("px" in text for text in texts(plot_training_curve(even, "loss")))


def test_a_single_epoch_can_be_drawn() -> None:
    assert to_png(plot_training_curves(make_history(1)))


def test_cells_hold_counts_and_row_shares() -> None:
    assert {"40", "2", "0", "51", "95.2 %", "4.8 %", "0.0 %", "100.0 %"} <= texts(plot_confusion_matrix(COUNTS, "ab"))


def test_many_classes_and_empty_rows_can_be_drawn() -> None:
    counts = np.diag(np.arange(30))
    assert to_png(plot_confusion_matrix(counts, [f"class {index}" for index in range(30)]))


def test_an_undefined_area_is_said() -> None:
    empty = INPUTS.evaluation.roc.iloc[:0]
    assert any("undefined" in text for text in texts(plot_roc_curve(empty, (None, None, None))))


def test_many_sizes_are_thinned_out() -> None:
    count = 5000
    sizes = pd.DataFrame({"label": "cats", "width": np.arange(count) + 50, "height": 100})
    (points,) = plot_sizes(sizes).axes[0].collections
    assert len(points.get_offsets()) == MAX_POINTS  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["$x$ & <b>", "_hidden", "猫", "a very long name of a class of photos", 'say "hi"'])
def test_any_class_name_can_be_drawn(name: str) -> None:
    svg = to_svg(plot_confusion_matrix(COUNTS, (name, "dogs")), f"Confusion of {name}")
    assert ElementTree.fromstring(svg).attrib["aria-label"] == f"Confusion of {name}"
    assert to_png(plot_confusion_matrix(COUNTS, (name, "dogs")))
    assert to_svg(plot_probabilities([name], np.array([0.4]), (name, "dogs")), "probabilities")


def texts(figure: Figure) -> set[str]:
    """All texts inside the axes of a figure."""
    return {text.get_text() for axes in figure.axes for text in axes.texts}
