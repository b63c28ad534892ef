import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from report_inputs import make_inputs
from robustness_inputs import PARAMS, by_one_pixel, make_results

from convlens.metrics.robustness import Robustness
from convlens.pages.report import describe_robustness, render_report, say_shift, show_ends
from convlens.plots.robustness import PERTURBATIONS, drawn_perturbations, plot_curves, plot_perturbation, plot_places
from convlens.plots.style import to_png, to_svg

SPACE = "\N{NO-BREAK SPACE}"


@pytest.fixture(scope="module")
def found() -> Robustness:
    return make_results()


@pytest.fixture(scope="module")
def text(found: Robustness) -> str:
    return render_report(replace(make_inputs(), robustness=found))


def curves(**shares: tuple[float, float, float]) -> pd.DataFrame:
    """Shifts by 4 and 16 pixels of both networks, by network."""
    rows = [
        {"network": network, "perturbation": "shift", "strength": strength, "consistency": value - strength / 1000,
         "consistency_low": low, "consistency_high": high}
        for network, (value, low, high) in shares.items()
        for strength in (4.0, 16.0)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_the_sentence_takes_the_largest_shift_up_to_eight_pixels() -> None:
    table = curves(model=(0.984, 0.95, 0.99), baseline=(0.714, 0.6, 0.8))
    assert say_shift(table).replace(SPACE, " ") == (
        "Shifted by 4 pixels, 98 % (95–99) of predictions stay; the dense network keeps 71 % (60–80)."
    )
    one = table.assign(strength=table["strength"].map({4.0: 1.0, 16.0: 30.0}))
    assert say_shift(one).startswith("Shifted by 1 pixel,")
    assert say_shift(one[one["strength"] == 30]).startswith("Shifted by 30 pixels,")
    assert say_shift(table.iloc[:0]) == ""


def test_nearly_all_is_not_all() -> None:
    assert show_ends({"x": 0.999, "x_low": 0.97, "x_high": 1.0}, "x").replace(SPACE, " ") == "> 99 % (97–100)"


def test_the_page_shows_every_perturbation_once_with_both_networks(text: str, found: Robustness) -> None:
    assert 'id="robustness"' in text
    labels = re.findall(r'aria-label="([^"]*: curves of two networks[^"]*)"', text)
    assert [label.split(":")[0] for label in labels] == [style.title for style in PERTURBATIONS.values()]
    assert all("the dense network" in label for label in labels)
    assert "1,234" in text
    assert "98,765" in text
    strengths = sum(len(getattr(PARAMS, name)) for name in PERTURBATIONS)
    table = text[text.index("<h3>All numbers</h3>") :]
    assert table[: table.index("</table>")].count("<tr>") == 1 + 1 + strengths + 2  # head, as they are, flip and gray
    assert "\N{MINUS SIGN}30" in table


def test_a_worthless_baseline_is_said_to_be_one(found: Robustness) -> None:
    constant = make_results(dense=lambda photos: np.zeros(len(photos), np.int64))
    for results, worthless in ((constant, True), (found, False)):
        told = describe_robustness(replace(make_inputs(), robustness=results))
        assert told["worthless"] is worthless


def test_without_measurements_there_is_no_section() -> None:
    text = render_report(make_inputs())
    assert 'id="robustness"' not in text
    assert 'href="#robustness"' not in text


def test_empty_lists_leave_only_what_has_no_strength() -> None:
    none = make_results(PARAMS.model_copy(update=dict.fromkeys(PERTURBATIONS, ())))
    assert drawn_perturbations(none.curves) == []
    text = render_report(replace(make_inputs(), robustness=none))
    assert "curves of two networks" not in text
    assert "Mirrored" in text
    to_png(plot_curves(none.curves))


def test_figures_are_the_same_bytes_each_time_and_keep_one_scale(found: Robustness) -> None:
    again = make_results.__wrapped__()  # measured anew
    assert to_png(plot_curves(found.curves)) == to_png(plot_curves(again.curves))
    assert to_png(plot_places(found.places)) == to_png(plot_places(again.places))
    assert to_svg(plot_perturbation(found.curves, "shift"), "a") == to_svg(
        plot_perturbation(again.curves, "shift"), "a"
    )
    panels = plot_curves(found.curves).axes
    assert {panel.get_ylim() for panel in panels[: 2 * len(PERTURBATIONS)]} == {(0, 1)}


def test_the_curve_starts_at_the_photos_as_they_are(found: Robustness) -> None:
    panel = plot_perturbation(found.curves, "scale").axes[0]
    at, shares = panel.lines[0].get_data()
    assert list(at) == sorted([*PARAMS.scale, 1.0])
    assert shares[list(at).index(1.0)] == found.metrics["model_accuracy"]
    jpeg = plot_perturbation(found.curves, "jpeg").axes[0]
    assert len(jpeg.lines[0].get_xdata()) == len(PARAMS.jpeg)
    assert jpeg.xaxis_inverted()


def test_a_predictor_of_one_place_is_less_consistent_everywhere_than_one_of_the_mean(found: Robustness) -> None:
    shifted = found.curves[found.curves["perturbation"] == "shift"].set_index("network")["consistency"]
    assert shifted["model"].min() > shifted["baseline"].max()
    assert found.metrics["model_places_agreement"] > found.metrics["baseline_places_agreement"]
    both = make_results(ours=by_one_pixel)
    assert both.metrics["model_shift_accuracy"] == both.metrics["baseline_shift_accuracy"]
