"""The page's modules in Node: they read back the very maps that Python wrote."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from map_pages import looks, page_inputs, small_lens

from convlens.report.feature_maps_bundle import ASSETS, bundle_script

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
    script = tmp_path / "read.mjs"
    script.write_text(
        f"""import {{ readFileSync }} from "node:fs";
import {{ readMaps }} from {json.dumps((ASSETS / "maps.js").as_uri())};
const json = (name) => JSON.parse(readFileSync(new URL(name, import.meta.url)));
const maps = await readMaps(json("blocks.json"), json("payload.json"));
console.log(JSON.stringify([...maps].map(([name, map]) => [name, map.tiles.map((tile) => [...tile])])));
""",
        encoding="utf-8",
    )
    read = dict(json.loads(_node(str(script))))
    blocks = {block["name"]: block for block in inputs.encoded_blocks}
    assert set(read) == {step.name for step in small_lens().steps}
    for block in small_lens().blocks:
        shown = blocks[block.name]["shown"]
        for step in block.steps:
            stored = looks()[0].maps[step.name][:, :, shown]
            tiles = np.array(read[step.name]).reshape(len(shown), *step.shape[:2]).transpose(1, 2, 0)
            extent = np.abs(stored).max(axis=(0, 1)) + stored.max(axis=(0, 1)) - stored.min(axis=(0, 1))
            assert np.all(np.abs(tiles - stored).max(axis=(0, 1)) <= extent / 254), step.name
