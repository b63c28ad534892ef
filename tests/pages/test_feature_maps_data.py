"""The page's data as FORMAT.md promises it: what is measured comes back, and equal values are equal."""

import base64
import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from map_pages import gathered, page_text, runs, small_lens

from convlens.lens.arithmetic import derive_steps, find_recipes, read_source, work_out
from convlens.pages.feature_maps.arithmetic import fine_steps, round_kernels, worked_convolutions
from convlens.pages.feature_maps.encode import make_sprite, store_maps
from convlens.pages.feature_maps.photos import describe_answer, encode_grid, place_words


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
    lens, activations = small_lens(), runs()[0]
    chosen = {block.name: np.arange(block.num_filters) for block in lens.blocks}
    fine = frozenset(block.response.name for block in lens.blocks)
    stored = store_maps(activations.maps, lens.blocks, chosen, fine)
    maps = {name: values for block in lens.blocks for name, values in derive_steps(block.steps, stored.decoded).items()}
    blocks = {block["name"]: block for block in _script("page-data")["blocks"]}
    for name, recipe in find_recipes(lens).items():
        values = work_out(recipe, read_source(recipe.source, maps, activations.picture))
        error = np.abs(values - activations.maps[recipe.up_to]).max()
        assert blocks[name]["arithmetic"]["upTo"] == recipe.up_to
        assert error <= blocks[name]["arithmetic"]["error"] * 1.06 + 1e-12
        assert blocks[name]["arithmetic"]["errorShare"] < 1e-3


def test_kernels_are_good_to_one_part_in_65_000_filter_by_filter() -> None:
    given = _script("kernels")["blocks"]["conv_3"]
    kernel = np.asarray(small_lens().model.get_layer("conv_3").kernel).transpose(3, 2, 0, 1)
    whole = np.frombuffer(base64.b64decode(given["values"]), "<i2").reshape(kernel.shape)
    read = whole * _floats(given["step"]).astype(np.float64).reshape(8, 1, 1, 1)
    largest = np.abs(kernel).max(axis=(1, 2, 3), keepdims=True)
    assert np.all(np.abs(read - kernel) <= largest / 65_000)
    rounded = round_kernels({"conv_3": find_recipes(small_lens())["conv_3"]})["conv_3"].kernel
    np.testing.assert_array_equal(rounded, read.astype(np.float32))


def test_a_filter_without_weights_stays_zero() -> None:
    recipe = find_recipes(small_lens())["conv_3"]
    empty = replace(recipe, kernel=np.zeros_like(recipe.kernel))
    assert not round_kernels({"conv_3": empty})["conv_3"].kernel.any()


def test_maps_that_the_page_can_work_out_are_not_stored_and_their_error_is_told() -> None:
    blocks, held = {block["name"]: block for block in _script("page-data")["blocks"]}, _script("photo-0")["maps"]
    assert set(held) == {"relu_1", "relu_2", "relu_3", "relu_4"}
    for block in blocks.values():
        assert 0 < block["arithmetic"]["mapError"] < 1e-3
    partly = {block["name"]: block for block in _script("page-data", 6)["blocks"]}
    assert partly["conv_3"]["steps"][0]["stored"]
    assert set(_script("photo-0", 6)["maps"]) == {"relu_1", "relu_2", "conv_3", "relu_3", "conv_4", "relu_4"}


def test_what_is_compared_or_slow_stays_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    lens = small_lens()
    recipes = find_recipes(lens)
    chosen = {block.name: np.arange(block.num_filters) for block in lens.blocks}
    fine = fine_steps(lens.blocks, recipes)
    assert worked_convolutions(lens.blocks, recipes, fine | {"conv_2"}, chosen) == {"conv_1", "conv_3", "conv_4"}
    monkeypatch.setattr("convlens.pages.feature_maps.arithmetic.MAX_WORKED", 4 * 3 * 3 * 3 * 8 * 8)
    assert worked_convolutions(lens.blocks, recipes, fine, chosen) == {"conv_1"}


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
    statistics = gathered(8).statistics
    for block in _script("page-data")["blocks"]:
        rows = statistics.filters[statistics.filters["layer"] == block["name"]]
        np.testing.assert_allclose(block["facts"]["auc_low"], rows["auc_low"], rtol=1e-5)
        ablation = statistics.ablations[block["name"]]
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
    assert second["sentence"].startswith("The network says cats, 90\u00a0%, but the label is dogs")
    assert "its named parts" in first["sentence"]
    assert "named parts" not in second["sentence"]
    assert place_words(0.5, 0.5) == "in the center"
    assert place_words(0.1, 0.9) == "at the upper right"


def _analysis(effect: float, part: float, null: float) -> SimpleNamespace:
    """The analysis of a photo of 12×12 pixels: covering its upper left does `effect`, covering its ear does `part`."""
    effects = np.array([[effect, 0.0], [0.0, 0.0]])
    region = SimpleNamespace(name="left_ear", effect=part, null=np.array([null, 0.0]))
    return SimpleNamespace(
        occlusions=[SimpleNamespace(probability=effects, size=(4, 4), stride=(6, 6))],
        regions=[region],
    )


def _sentence(analysis: SimpleNamespace, answer: str, truth: str | None, probability: float) -> str:
    words = describe_answer(analysis, answer=answer, truth=truth, probability=probability, picture_shape=(12, 12))
    return words.replace("\u00a0", " ")


def test_sentences_say_what_counts_for_the_announced_class() -> None:
    assert _sentence(_analysis(0.3, 0.4, 0.1), "dogs", "dogs", 0.9) == (
        "The network says dogs, 90 %, correct; with the box of 4×4 pixels at the upper left covered, which counts "
        "most, dogs falls from 90 % to 60 %; of its named parts the left ear counts most: covering it lowers the "
        "probability by 40 points, covering random boxes of its size changes it by −5 points on average."
    )
    assert _sentence(_analysis(0.3, 0.1, 0.2), "dogs", "cats", 0.7) == (
        "The network says dogs, 70 %, but the label is cats; with the box of 4×4 pixels at the upper left covered, "
        "which counts most, dogs falls from 70 % to 40 %; covering any of its named parts lowers it no more than "
        "random boxes of the same size do."
    )
    assert _sentence(_analysis(0.002, 0.2, 0.0), "cats", None, 0.999) == (
        "The network says cats, > 99 %; covering any box of 4×4 pixels lowers that by less than one point; of its "
        "named parts the left ear counts most: covering it lowers the probability by 20 points, covering random boxes "
        "of its size changes it by 0 points on average."
    )
