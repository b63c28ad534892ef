import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from map_pages import page_inputs, page_text, runs, small_lens

from convlens.pages.feature_maps.encode import choose_filters, is_stored
from convlens.pages.feature_maps.page import ASSETS, bundle_script, count_filters, render_feature_maps, shorten_names


class _Page(HTMLParser):
    """Collects addresses, ids, and the text of JSON scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self.scripts: dict[str, str] = {}
        self._open = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "action", "srcset", "data")]
        self.ids += [values["id"] or ""] if "id" in values else []
        self._open = (values.get("id") or "") if tag == "script" else ""

    def handle_endtag(self, tag: str) -> None:
        self._open = ""

    def handle_data(self, data: str) -> None:
        if self._open:
            self.scripts[self._open] = self.scripts.get(self._open, "") + data


def _parse(text: str) -> _Page:
    page = _Page()
    page.feed(text)
    return page


def test_page_asks_for_nothing_but_itself() -> None:
    text = page_text()
    beside = [address for address in _parse(text).addresses if not address.startswith(("data:", "#"))]
    assert beside == ["report.html"]  # a link, followed only when clicked
    addresses = re.findall(r"(?:https?:)?//(?=[a-z0-9-]+\.)[^\s\"']+", text)
    assert addresses == ["http://www.w3.org/2000/svg"]  # the name of SVG, which no browser asks for
    assert not re.search(r"\bfetch\(|XMLHttpRequest|localStorage|sessionStorage|@import|url\(", text)


def test_page_is_the_same_bytes_again() -> None:
    assert page_text() == page_text()


def test_ids_are_unique() -> None:
    ids = _parse(page_text()).ids
    assert sorted(ids) == sorted(set(ids))


def test_names_of_photos_cannot_break_the_page() -> None:
    hostile = '</script><script>alert("x")</script>"\u2028'
    page = _parse(page_text(hostile))
    assert json.loads(page.scripts["page-data"])["photos"][0]["name"] == hostile
    assert '<script>alert("x")' not in page_text(hostile)
    assert "broken&lt;b&gt;.jpg" in page_text()


def test_page_says_what_is_not_shown() -> None:
    text = page_text()
    assert "<strong>up</strong> is not drawn. Transposed." in text
    assert "could not be read. No image." in text
    assert "below 15 MB: late.jpg" in text


def test_page_has_the_table_of_sizes_and_of_parameters() -> None:
    text = page_text()
    assert "⌊(16 + (0 + 1) − 3) / 2⌋ + 1 = 8" in text
    comparison = small_lens().comparisons[1]
    assert f"{comparison.num_convolution:,}" in text
    assert f"{comparison.num_dense:,}" in text


def test_without_held_out_photos_nothing_is_said_of_them() -> None:
    text = render_feature_maps(replace(page_inputs(), num_sample=0))
    assert "0 held-out photos" not in text
    assert "<dt>Dead</dt>" in page_text()
    assert "<dt>Dead</dt>" not in text
    assert "which this page was made without" in text


def test_counts_are_told() -> None:
    inputs = page_inputs(max_filters=6)
    totals = count_filters(inputs.filters, inputs.encoded_blocks)
    assert (totals["filters"], totals["shown"]) == (4 + 8 + 8 + 8, 4 + 6 + 6 + 6)


def test_strongest_filters_are_chosen() -> None:
    lens = small_lens()
    table = pd.DataFrame({"layer": "conv_2", "filter": range(8), "mean": [1, 9, 2, 8, 3, 7, 4, 6]})
    chosen = choose_filters(lens.blocks, table, 3)
    assert chosen["conv_2"].tolist() == [1, 3, 5]
    assert [len(indices) for indices in chosen.values()] == [3, 3, 3, 3]


def test_huge_layers_show_fewer_filters(monkeypatch: pytest.MonkeyPatch) -> None:
    lens = small_lens()
    monkeypatch.setattr("convlens.pages.feature_maps.encode.MAX_MAP_VALUES", 600)
    chosen = choose_filters(lens.blocks, pd.DataFrame(columns=["layer", "filter", "mean"]), 256)
    stored = sum(
        len(chosen[block.name]) * step.shape[0] * step.shape[1]
        for block in lens.blocks
        for i, step in enumerate(block.steps)
        if is_stored(step, i)
    )
    assert stored <= 600
    assert min(len(indices) for indices in chosen.values()) >= 1


def test_limits_over_all_photos_are_those_of_the_maps() -> None:
    data = json.loads(_parse(page_text()).scripts["page-data"])
    shown = data["blocks"][0]["shown"]
    values = np.stack([activations.maps["norm_1"][:, :, shown] for activations in runs()])
    np.testing.assert_allclose(data["limits"]["norm_1"], [values.min(), values.max()], rtol=1e-5)


def test_modules_share_no_name_and_the_bundle_has_no_import() -> None:
    names: list[str] = []
    for path in sorted(ASSETS.glob("*.js")):
        source = path.read_text(encoding="utf-8")
        names += re.findall(r"^(?:export )?(?:async )?(?:function|const|let|class) (\w+)", source, re.MULTILINE)
    assert sorted(names) == sorted(set(names))
    assert not re.search(r"^\s*(import|export)\b", bundle_script(), re.MULTILINE)


def test_names_of_layers_are_told_apart_without_what_they_share() -> None:
    assert shorten_names(["net/a/conv", "net/b/conv"]) == {"net/a/conv": "a/conv", "net/b/conv": "b/conv"}
    assert shorten_names(["conv_1", "net/conv"]) == {"conv_1": "conv_1", "net/conv": "net/conv"}
    assert shorten_names(["net/conv"]) == {"net/conv": "conv"}
    assert shorten_names([]) == {}


def test_page_without_photos_keeps_its_tables() -> None:
    inputs = page_inputs()
    text = render_feature_maps(type(inputs)(**{**vars(inputs), "photos": ()}))
    assert "No photo was chosen" in text
    assert "How large each layer" in text
