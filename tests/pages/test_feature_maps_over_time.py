"""The view of the epochs: what the page holds of it, read back in Node, and its slider under real keys."""

import json
import shutil
import subprocess
from dataclasses import replace
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from map_pages import page_inputs
from page_visits import find_violations
from PIL import Image

from convlens.lens.over_time import EpochSnapshot, LayerSnapshot
from convlens.pages.feature_maps.over_time import (
    OverTime,
    ShownLayer,
    answer_table,
    draw_epochs,
    encode_over_time,
    layer_table,
)
from convlens.pages.feature_maps.page import ASSETS, render_feature_maps

NODE = shutil.which("node")
FORMED = {"conv_1": np.array([0, 1, 3]), "conv_2": np.array([2, 2])}  # filter 2 of conv_1 is dead in the end


def _snapshot(place: int) -> EpochSnapshot:
    rng = np.random.default_rng(place)
    first = LayerSnapshot(np.array([1, 0.5, 0]), np.array([False, False, True]),
                   np.array([[0.95, 0.2, 0], [0.9, 0.92, 0], [1, 1, 0]][place]))  # fmt: skip
    second = LayerSnapshot(np.ones(2), np.zeros(2, bool), np.array([[-0.4, 0.3], [0.5, 0.6], [1, 1]][place]))
    dogs = np.array([[0.6, 0.2], [0.3, 0.3], [0.8, 0.1]][place])
    return EpochSnapshot(
        epoch=(1, 4, 9)[place],
        is_kept=place == 2,
        probabilities=np.stack([1 - dogs, dogs], axis=1),
        layers={"conv_1": first, "conv_2": second},
        maps={
            "conv_1": np.abs(rng.normal(size=(2, 2, 4, 5))).astype(np.float32) * (place + 1),
            "conv_2": rng.normal(size=(2, 1, 3, 3)).astype(np.float32),
        },
        kernels=rng.normal(size=(3, 3, 2, 2)).astype(np.float32),
    )


@cache
def found() -> OverTime:
    shown = [
        ShownLayer("conv_1", "ReLU", True, (4, 5), np.array([1, 0])),
        ShownLayer("conv_2", "convolution", False, (6, 6), np.array([1])),
    ]
    snapshots = [_snapshot(place) for place in range(3)]
    return OverTime(snapshots, shown, FORMED, ("cats", "dogs"), ("cat.jpg", "b.png"), 40)


def page() -> str:
    inputs = page_inputs()
    return render_feature_maps(replace(inputs, resources={**inputs.resources, "over-time": encode_over_time(found())}))


def test_tables_say_when_filters_became_what_they_are() -> None:
    table = layer_table(found())
    assert table["epoch"].tolist() == [1, 1, 4, 4, 9, 9]
    first = table[table["layer"] == "conv_1"]
    assert first["formed"].tolist() == [1, 2, 2]
    assert first["dead"].tolist() == [1, 1, 1]
    assert first["correlation_median"].tolist() == pytest.approx([0.575, 0.91, 1])  # without the dead one
    answers = answer_table(found())
    assert answers["probability_dogs"].tolist() == [0.6, 0.2, 0.3, 0.3, 0.8, 0.1]
    assert answers["photo"].tolist() == ["cat.jpg", "b.png"] * 3


def test_a_picture_for_every_epoch_all_of_one_size() -> None:
    pictures = draw_epochs(found())
    assert list(pictures) == ["over_time_00001.png", "over_time_00004.png", "over_time_00009.png"]
    assert len({Image.open(BytesIO(content)).size for content in pictures.values()}) == 1
    assert len(set(pictures.values())) == 3
    assert pictures == draw_epochs(found())


def test_photos_without_room_keep_their_answers() -> None:
    whole = json.loads(encode_over_time(found()))
    short = json.loads(encode_over_time(found(), max_bytes=len(encode_over_time(found())) - 150))
    assert (len(whole["maps"]), len(short["maps"])) == (2, 1)
    assert short["answers"] == whole["answers"]


READ = """import { readFileSync } from "node:fs";
const home = HOME;
const { answerOverTime, filterOverTime, layerOverTime, placeOf, timeKernels, timeLimit,
  timeMaps } = await import(new URL("over_time_data.js", home));
const timeline = JSON.parse(readFileSync(new URL("timeline.json", import.meta.url)));
const layers = timeline.layers;
console.log(JSON.stringify({
  maps: layers.map((layer) => timeMaps(timeline, 1, layer).map((tiles) => tiles.map((tile) => [...tile]))),
  none: timeMaps(timeline, 5, layers[0]),
  kernels: timeKernels(timeline.kernels, 1).map((pixels) => [...pixels]),
  limits: layers.map(timeLimit),
  places: [0, 1, 3, 4, 8, 9, 50].map((epoch) => placeOf(timeline, epoch)),
  answers: [0, 1].map((photo) => answerOverTime(timeline, ["cats", "dogs"], photo, 1)),
  layers: layers.map((layer) => layerOverTime(layer, 1, timeline.kept)),
  filters: layers[0].shown.map((_, k) => filterOverTime(layers[0], k, timeline)),
}));
"""


@pytest.mark.skipif(NODE is None, reason="Node is not installed; the page's modules are tested with it.")
def test_the_page_reads_back_what_was_measured(tmp_path: Path) -> None:
    (tmp_path / "timeline.json").write_text(encode_over_time(found()), encoding="utf-8")
    script = tmp_path / "read.mjs"
    script.write_text(READ.replace("HOME", json.dumps(ASSETS.as_uri() + "/")), encoding="utf-8")
    done = subprocess.run([str(NODE), str(script)], capture_output=True, text=True, check=True, timeout=60)
    read = json.loads(done.stdout)
    for layer, tiles, limit in zip(("conv_1", "conv_2"), read["maps"], read["limits"], strict=True):
        expected = np.stack([snapshot.maps[layer][1] for snapshot in found().snapshots])
        assert limit == pytest.approx(found().limit(layer), rel=1e-5)
        np.testing.assert_allclose(np.reshape(tiles, expected.shape), expected, atol=limit / 254 * 1.001)
    assert read["none"] is None
    kernels = np.reshape(read["kernels"], (3, 2, 2, 4))[..., :3].transpose(0, 3, 1, 2)
    largest = max(np.abs(snapshot.kernels).max() for snapshot in found().snapshots)
    np.testing.assert_allclose((kernels - 128) / 127 * largest, found().snapshots[1].kernels, atol=largest / 200)
    assert read["places"] == [2, 0, 0, 1, 1, 2, 2]
    assert [text.replace("\N{NO-BREAK SPACE}", " ") for text in read["answers"]] == [
        "After epoch 4 it says cats, 70 %. From epoch 9 on it says dogs; before, its answer changed twice.",
        "After epoch 4 it says cats, 70 %. It says cats after every epoch looked at.",
    ]
    words = read["layers"][0].replace("\N{NO-BREAK SPACE}", " ")
    assert words.startswith(
        "2 of 2 filters have formed; correlation with the end 0.91 (half of the filters between 0.9"
    )
    assert words.endswith("1 dead, filters fire on 50 % of photos on average.")
    assert read["filters"] == ["formed by epoch 4", "formed by epoch 1"]


def test_the_slider_moves_by_keys_and_the_view_is_accessible(browser: Any, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text(page(), encoding="utf-8")
    tab = browser.new_page(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    complaints: list[str] = []
    tab.on("console", lambda message: complaints.append(message.text))
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.goto(f"{path.as_uri()}#tab=time")
    tab.wait_for_selector("html[data-ready=time]", state="attached")
    slider = tab.locator("#epoch")
    assert slider.get_attribute("aria-valuetext") == "after epoch 9, the network that was kept"
    slider.focus()
    tab.keyboard.press("ArrowLeft")
    tab.wait_for_function("document.getElementById('epoch').getAttribute('aria-valuetext') === 'after epoch 4'")
    assert "After epoch 4 it says cats" in tab.locator(".time-answer").inner_text()
    tab.wait_for_function("location.hash.includes('epoch=4')")
    tab.keyboard.press("Home")
    tab.wait_for_function("document.querySelector('.time-now').textContent === 'After epoch 1'")
    assert "correlation with the end \N{MINUS SIGN}" in tab.locator(".time-layer").nth(1).inner_text()
    tab.locator(".photo-choice").nth(1).click()
    tab.wait_for_function("document.querySelector('.time-photo').alt === 'b.png'")
    assert complaints == []
    assert find_violations(tab) == []
    tab.close()


def test_a_page_without_snapshots_has_no_such_tab() -> None:
    assert 'id="tab-time"' not in render_feature_maps(page_inputs())
    assert 'id="tab-time"' in page()
