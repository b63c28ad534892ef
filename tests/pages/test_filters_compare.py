"""The page of two networks, from painted values: what it says, and what a browser, axe and paper make of it."""

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from page_reader import Page

from convlens.compare.filters import ChangedAnswer, ComparedFilters, FilterTile, LayerTiles, render_filters

AXE = Path(__file__).parents[2] / "tools/page/node_modules/axe-core/axe.min.js"
NUM_PHOTOS = 30


@dataclass(frozen=True)
class _Layer:
    base: str
    head: str
    num_base: int = 1_024
    num_head: int = 96
    matched: int = 70
    born: int = 9
    died: int = 11
    dead_base: int = 0
    dead_head: int = 3
    correlation: float = 0.74
    chance: float = 0.21


def paint(seed: int, *, signed: bool = False) -> np.ndarray:
    """A map of smooth blobs."""
    values = np.random.default_rng(seed).normal(size=(12, 12)).cumsum(axis=0).cumsum(axis=1).astype(np.float32)
    return values if signed else np.maximum(values, 0)


def photo(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (48, 48, 3), dtype=np.uint8)


def tile(kind: str, seed: int, *, signed: bool) -> FilterTile:
    """Partners, or one filter without a partner."""
    base, head = (None if kind == missing else seed for missing in ("born", "died"))
    maps = [None if number is None else paint(seed + i, signed=signed) for i, number in enumerate((base, head))]
    return FilterTile(kind, base, head, -0.04, photo(seed), maps[0], maps[1])


@cache
def compared() -> ComparedFilters:
    """Two layers, one of them signed and renamed; two photos with another answer, one without a Grad-CAM."""
    kinds = ("changed", "alike", "died", "born")
    layers = [_Layer("conv_1", "conv_1"), _Layer("backbone/block_3_expand", "conv_2", matched=0)]
    tiles = [
        LayerTiles(layer.base, layer.head, (not signed, True),
                   [tile(kind, 10 * i + place, signed=signed) for i, kind in enumerate(kinds) for place in range(3)])
        for layer, signed in zip(layers, (False, True), strict=True)
    ]  # fmt: skip
    name = "data/raw/a long folder of photos/with-a-name-that-does-not-end-0001.jpg"
    changed = [
        ChangedAnswer(name, "cats", ("cats", "dogs"), (0.91, 0.998), photo(1), (paint(2, signed=True), None), "dogs"),
        ChangedAnswer("b.png", "dogs", ("cats", "dogs"), (0.5, 0.6), photo(3),
                      (paint(4, signed=True), paint(5, signed=True)), "dogs"),
    ]  # fmt: skip
    return ComparedFilters(
        base="main", head="now", sentence="Filters: 70 of 2,048 have a partner.", layers=layers,
        unmatched=(["conv_3", "conv_4"], []), num_photos=NUM_PHOTOS, threshold=0.5, resized=True, tiles=tiles,
        changed=changed, num_changed=7, note="", totals=(70, 2_048, 22, 18),
    )  # fmt: skip


def test_every_pair_stands_under_its_kind_and_counts_are_told() -> None:
    text = render_filters(compared())
    assert text == render_filters(compared())
    assert text.count('class="group"') == 2 * 4
    assert text.count('class="map"') == 2 * 3 * (2 + 2 + 1 + 1)
    words = Page(text).text
    assert "70 of 2,048 filters have a partner" in words
    assert "2 layers of main without a counterpart: conv_3, conv_4." in words
    assert "The first 2 of 7." in words
    assert "correlation −0.04" in words
    assert words.count("no convolution") == 1
    assert words.endswith("Made by convlens compare --feature-maps . This page needs no network.")


def test_networks_without_convolutions_and_without_answers_say_so() -> None:
    none = replace(compared(), layers=[], tiles=[], changed=[], num_changed=0, note="They know different classes.")
    words = Page(render_filters(none)).text
    assert "One of the two networks has no convolution." in words
    assert "Answers not compared" in words
    assert "Side by side" not in words


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 500)])
def test_the_page_is_accessible_fits_and_asks_for_nothing(
    browser: Any, tmp_path: Path, scheme: str, width: int
) -> None:
    if not AXE.is_file():
        pytest.skip("axe-core is not installed; `npm ci --prefix tools/page` does it.")
    path = tmp_path / "filters.html"
    path.write_text(render_filters(compared()), encoding="utf-8")
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce")
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.goto(path.as_uri())
    page.add_script_tag(path=AXE)
    report = page.evaluate("() => axe.run(document, {resultTypes: ['violations']})")
    found = [(rule["id"], node["html"][:160], node["failureSummary"])
             for rule in report["violations"] for node in rule["nodes"]]  # fmt: skip
    wide = page.evaluate("document.documentElement.scrollWidth")
    page.close()
    assert found == []
    assert wide <= width
    assert [url for url in requests if not url.startswith(("data:", path.as_uri()))] == []
