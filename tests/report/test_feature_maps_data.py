"""The page's data as FORMAT.md promises it: what is measured comes back, and equal values are equal."""

import base64
import json

import numpy as np
from map_pages import gathered, looks, page_text, small_lens

from convlens.lens.kernels import find_recipes
from convlens.lens.sources import read_source
from convlens.lens.worked import derive_steps, work_out
from convlens.report.feature_maps_encode import store_maps
from convlens.report.feature_maps_portrait import encode_grid, place_words
from convlens.report.feature_maps_sprites import make_sprite


def _script(name: str, max_filters: int = 8) -> dict:
    return json.loads(page_text(max_filters=max_filters).split(f'id="{name}">')[1].split("</script>")[0])


def _floats(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), "<f4")


def test_fine_maps_are_good_to_a_512th_of_a_step_and_keep_zero() -> None:
    maps = np.maximum(np.random.default_rng(0).normal(size=(9, 7, 5)), 0).astype(np.float32)
    sprite = make_sprite(maps, fine=True)
    assert np.all(np.abs(sprite.decoded - maps) <= sprite.step / 256)
    assert np.median(np.abs(sprite.decoded - maps) / sprite.step) <= 1 / 512
    assert np.all(sprite.decoded[maps == 0] == 0)


def test_every_response_can_be_worked_out_from_what_the_page_holds() -> None:
    lens, look = small_lens(), looks()[0]
    chosen = {block.name: np.arange(block.num_filters) for block in lens.blocks}
    fine = frozenset(block.response.name for block in lens.blocks)
    stored = store_maps(look.maps, lens.blocks, chosen, fine)
    maps = {name: values for block in lens.blocks for name, values in derive_steps(block.steps, stored.decoded).items()}
    blocks = {block["name"]: block for block in _script("page-data")["blocks"]}
    for name, recipe in find_recipes(lens).items():
        values = work_out(recipe, read_source(recipe.source, maps, look.picture))
        error = np.abs(values - look.maps[recipe.up_to]).max()
        assert blocks[name]["arithmetic"]["upTo"] == recipe.up_to
        assert error <= blocks[name]["arithmetic"]["error"] * 1.06 + 1e-12
        assert blocks[name]["arithmetic"]["errorShare"] < 1e-3


def test_kernels_are_lossless_filter_by_filter() -> None:
    blocks = _script("kernels")["blocks"]
    kernel = np.asarray(small_lens().model.get_layer("conv_3").kernel)
    assert np.array_equal(_floats(blocks["conv_3"]).reshape(8, 8, 3, 3), kernel.transpose(3, 2, 0, 1))


def test_a_layer_that_reads_hidden_filters_says_so() -> None:
    blocks = {block["name"]: block for block in _script("page-data", 6)["blocks"]}
    assert blocks["conv_1"]["arithmetic"] is not None
    assert blocks["conv_3"]["arithmetic"] is None
    assert blocks["conv_3"]["why"] == "It reads relu_2, of which not all filters are on the page."


def test_patches_name_photos_of_the_gallery() -> None:
    gallery, blocks = _script("gallery"), _script("page-data")["blocks"]
    used = {patch[0] for block in blocks for patches in block["facts"]["patches"] for patch in patches}
    assert used == set(range(len(gallery["pictures"])))
    assert len(gallery["pictures"]) == len(gallery["names"]) == len(gallery["labels"])


def test_numbers_of_the_page_are_those_of_the_table() -> None:
    atlas = gathered(8).atlas
    for block in _script("page-data")["blocks"]:
        rows = atlas.filters[atlas.filters["layer"] == block["name"]]
        np.testing.assert_allclose(block["facts"]["auc_low"], rows["auc_low"], rtol=1e-5)
        ablation = atlas.ablations[block["name"]]
        found = {int(f): v for f, v in zip(ablation.filters, ablation.probability.value, strict=True)}
        page = [row["value"] for row in block["facts"]["ablation"]["probability"]]
        np.testing.assert_allclose(page, [found[number] for number in block["shown"]], rtol=1e-5, atol=1e-12)


def test_grids_keep_zero_and_sign() -> None:
    values = np.array([[-2.0, 0.0], [0.5, 1.0]])
    grid = encode_grid(values)
    whole = np.frombuffer(base64.b64decode(grid["values"]), np.int8).reshape(grid["shape"])
    np.testing.assert_allclose(whole * grid["step"], values, atol=grid["step"] / 2)
    assert whole[0, 1] == 0
    assert encode_grid(np.zeros((1, 2)))["step"] == 0


def test_every_number_of_the_sentence_was_measured() -> None:
    first, second = _script("page-data")["photos"]
    assert first["sentence"].startswith("The network says cats, 80\u00a0%")
    assert second["sentence"].startswith("The network says cats, 90\u00a0%, but it is dogs")
    assert "of its named parts the" in first["sentence"]
    assert "named parts" not in second["sentence"]
    assert place_words(0.5, 0.5) == "in the centre"
    assert place_words(0.1, 0.9) == "at the upper right"
