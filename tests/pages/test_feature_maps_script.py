"""The page's modules in Node: they read back the very maps that Python wrote."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from map_pages import page_inputs, page_text, runs, small_lens

from convlens.models.inference import make_views
from convlens.pages.feature_maps.page import ASSETS, bundle_script

NODE = shutil.which("node")
TESTS = Path(__file__).with_name("test_feature_maps_modules.mjs")
needs_node = pytest.mark.skipif(NODE is None, reason="Node is not installed; the page's modules are tested with it.")


def _node(*arguments: str) -> str:
    done = subprocess.run([str(NODE), *arguments], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@needs_node
def test_modules_pass_their_own_tests() -> None:
    _node("--test", str(TESTS))


@needs_node
def test_bundle_is_a_valid_module(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle.mjs"
    bundle.write_text(bundle_script(), encoding="utf-8")
    _node("--check", str(bundle))


@needs_node
def test_page_reads_back_every_map_within_its_step(tmp_path: Path) -> None:
    inputs = page_inputs()
    (tmp_path / "blocks.json").write_text(json.dumps(inputs.encoded_blocks), encoding="utf-8")
    (tmp_path / "payload.json").write_text(inputs.photos[0].payload, encoding="utf-8")
    (tmp_path / "kernels.json").write_text(inputs.resources["kernels"], encoding="utf-8")
    script = tmp_path / "read.mjs"
    script.write_text(
        f"""import {{ readFileSync }} from "node:fs";
import {{ bytesFrom, readMaps }} from {json.dumps((ASSETS / "maps.js").as_uri())};
import {{ mapWorker }} from {json.dumps((ASSETS / "kernels.js").as_uri())};
import {{ decodePng }} from {json.dumps((ASSETS / "png.js").as_uri())};
const json = (name) => JSON.parse(readFileSync(new URL(name, import.meta.url)));
const [blocks, payload] = [json("blocks.json"), json("payload.json")];
const picture = await decodePng(bytesFrom(payload.picture));
const maps = await readMaps(blocks, payload, mapWorker(() => json("kernels.json"), picture));
const names = blocks.flatMap(({{ steps }}) => steps.map(({{ name }}) => name));
console.log(JSON.stringify(names.map((name) => [name, maps.get(name).tiles.map((tile) => [...tile])])));
""",
        encoding="utf-8",
    )
    read = dict(json.loads(_node(str(script))))
    blocks = {block["name"]: block for block in inputs.encoded_blocks}
    worked = {name for name, block in blocks.items() if not block["steps"][0]["stored"]}
    assert worked == {"conv_1", "conv_2"}  # the others read filters that are not on the page
    assert set(read) == {step.name for step in small_lens().steps}
    for block in small_lens().blocks:
        shown = blocks[block.name]["shown"]
        for step in block.steps:
            stored = runs()[0].maps[step.name][:, :, shown]
            tiles = np.array(read[step.name]).reshape(len(shown), *step.shape[:2]).transpose(1, 2, 0)
            extent = np.abs(stored).max(axis=(0, 1)) + stored.max(axis=(0, 1)) - stored.min(axis=(0, 1))
            allowed = extent / (20_000 if block.name in worked else 254)
            assert np.all(np.abs(tiles - stored).max(axis=(0, 1)) <= allowed), step.name


READ_PAGE = """import { readFileSync } from "node:fs";
const home = HOME;
const load = (name) => import(new URL(name, home));
const text = readFileSync(new URL("page.html", import.meta.url), "utf8");
const json = (id) => JSON.parse(new RegExp(`id="${id}">([^]*?)</script>`).exec(text)[1]);
const [page, kernels] = [json("page-data"), json("kernels")];
const [{ bytesFrom, readMaps }, { decodePng }] = await Promise.all([load("maps.js"), load("png.js")]);
const { kernelWeights, mapWorker } = await load("kernels.js");
const payloads = page.photos.map((_, i) => json(`photo-${i}`));
const pictures = await Promise.all(payloads.map(({ picture }) => decodePng(bytesFrom(picture))));
"""


def _on_page(folder: Path, script: str) -> Any:
    """What a script prints that reads the page with every filter through the page's own modules."""
    (folder / "page.html").write_text(page_text(max_filters=8), encoding="utf-8")
    module = folder / "read.mjs"
    module.write_text(READ_PAGE.replace("HOME", json.dumps(ASSETS.as_uri() + "/")) + script, encoding="utf-8")
    return json.loads(_node(str(module)))


@needs_node
def test_every_value_of_every_map_can_be_worked_out_from_the_page(tmp_path: Path) -> None:
    found = _on_page(
        tmp_path,
        """const { readInput, traceCell } = await load("trace.js");
const { storingError } = await load("trace_words.js");
const found = [];
for (const [i, payload] of payloads.entries()) {
  const maps = await readMaps(page.blocks, payload, mapWorker(() => kernels, pictures[i]));
  for (const block of page.blocks) {
    const input = readInput(block.arithmetic.input, maps, pictures[i]);
    const weights = kernelWeights(kernels, block.name);
    const last = block.steps.findIndex(({ name }) => name === block.arithmetic.upTo);
    const { tiles, width } = maps.get(block.arithmetic.upTo);
    const errors = tiles.flatMap((values, k) => [...values].map((stored, at) => {
      const { links, convolved } = traceCell(block, weights, input, k, last, [Math.floor(at / width), at % width]);
      return Math.abs((links.at(-1) ?? convolved).value - stored) - storingError(block, block.steps[last], values);
    }));
    found.push([block.name, errors.length, Math.max(...errors), block.arithmetic.error]);
  }
}
console.log(JSON.stringify(found));
""",
    )
    assert len(found) == 2 * len(small_lens().blocks)
    for name, num_values, beyond, error in found:
        assert num_values >= 128, name
        assert beyond <= 1e-6, name  # the page is never further off than it says
        assert error < 1e-3, name


@needs_node
def test_network_on_the_page_answers_as_the_model_does(tmp_path: Path) -> None:
    found = _on_page(
        tmp_path,
        """const { coveredPicture, Network } = await load("network.js");
const network = new Network(page, kernels);
const rows = [];
for (const [i, photo] of page.photos.entries()) {
  const said = await network.answer(coveredPicture(pictures[i], null), () => false);
  rows.push([said[page.classes.indexOf(photo.answer)], photo.views[0]]);
}
console.log(JSON.stringify(rows));
""",
    )
    assert len(found) == 2
    for said, expected in found:
        assert said == pytest.approx(expected, abs=2e-5)  # kernels are kept with 16 bits


@needs_node
def test_the_page_shows_its_network_the_views_that_answers_are_the_mean_over(tmp_path: Path) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (11, 14, 3), dtype=np.uint8)
    expected = np.concatenate(make_views(photo[np.newaxis], mirror=True, center_crop=0.875))
    script = tmp_path / "views.mjs"
    script.write_text(
        f"""import {{ viewsOf }} from {json.dumps((ASSETS / "network.js").as_uri())};
const picture = {{ rows: 11, columns: 14, channels: 3, values: Float32Array.from({photo.ravel().tolist()}) }};
console.log(JSON.stringify(viewsOf(picture, true, 0.875).map(({{ values }}) => [...values])));
""",
        encoding="utf-8",
    )
    found = np.array(json.loads(_node(str(script)))).reshape(expected.shape)
    assert np.abs(found - expected).max() <= 1  # where a half is rounded by float32
    assert (found == expected).mean() > 0.99
