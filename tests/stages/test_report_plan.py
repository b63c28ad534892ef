"""What finds room on the page: fewer filters where photos would take too much, and the strongest ones."""

import keras
import numpy as np
import pytest
from lens_models import CLASSES, photos, residual, spread_weights

from convlens.lens.forward import Scorer
from convlens.lens.lens import open_lens
from convlens.lens.statistics import FilterStatistics, PhotoSample, measure_filter_statistics
from convlens.pages.feature_maps.encode import choose_filters
from convlens.pages.feature_maps.maps import PageSettings, make_feature_maps, measure_nothing, num_map_bytes, plan_page
from convlens.pages.photos import Choice


def _choices(count: int) -> list[Choice]:
    return [Choice(f"{number}.png", "user", None, pixels) for number, pixels in enumerate(photos(count))]


def _wide(filters: int) -> Scorer:
    """Many filters on a small photo, as the end of a large network has them."""
    layers = keras.layers
    start = keras.Input((24, 24, 3), dtype="uint8")
    x = layers.Rescaling(1 / 255)(start)
    x = layers.Conv2D(8, 3, strides=4, activation="relu", name="narrow")(x)
    x = layers.Conv2D(filters, 1, activation="relu", name="wide")(x)
    x = layers.Dense(1, name="logits")(layers.GlobalAveragePooling2D()(x))
    return Scorer(open_lens(spread_weights(keras.Model(start, layers.Activation("sigmoid")(x)))))


def test_all_filters_are_shown_where_there_is_room() -> None:
    scorer = Scorer(open_lens(residual()))
    plan = plan_page(scorer, FilterStatistics(measure_nothing()), _choices(1), max_filters=256)
    assert {name: len(shown) for name, shown in plan.chosen.items()} == {
        "conv_1": 4, "conv_2": 8, "conv_3": 8, "conv_4": 8,
    }  # fmt: skip
    assert plan.reasons == {}


def test_fewer_filters_are_shown_where_photos_would_take_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    scorer, choices = Scorer(open_lens(residual())), _choices(4)
    whole = plan_page(scorer, FilterStatistics(measure_nothing()), choices, max_filters=256)
    room = int(0.8 * num_map_bytes(scorer, whole, choices[0]))
    monkeypatch.setattr("convlens.pages.feature_maps.maps.MAX_MAP_BYTES", room)
    plan = plan_page(scorer, FilterStatistics(measure_nothing()), choices, max_filters=256)
    assert max(num_map_bytes(scorer, plan, choice) for choice in choices) <= room
    counts = [len(shown) for shown in plan.chosen.values()]
    assert min(counts) >= 1
    assert sum(counts) < 28


def test_the_filters_shown_are_the_strongest_over_the_sample() -> None:
    scorer = _wide(40)
    sample = PhotoSample(photos(6, seed=2), np.arange(6) % 2, CLASSES, photos(2), [{}] * 6)
    statistics = measure_filter_statistics(scorer, sample)
    plan = plan_page(scorer, statistics, _choices(1), max_filters=5)
    rows = statistics.filters[statistics.filters["layer"] == "wide"].sort_values("mean", ascending=False)
    assert plan.chosen["wide"].tolist() == sorted(rows["filter"].head(5).tolist())


def test_a_network_with_a_thousand_filters_a_layer_shows_a_subset_and_says_which() -> None:
    scorer = _wide(1500)
    made = make_feature_maps(scorer.lens, _choices(2), None, PageSettings(classes=CLASSES, max_filters=256))
    assert "264 <small>of 1,508</small>" in made.page
    assert (made.num_photos, made.left_out) == (2, [])
    assert len(made.page) < 1_000_000


def test_a_page_has_at_most_three_thousand_filters_shared_evenly() -> None:
    blocks = _wide(4000).lens.blocks
    chosen = choose_filters(blocks, measure_nothing(), 4000)
    assert {name: len(shown) for name, shown in chosen.items()} == {"narrow": 8, "wide": 2992}
