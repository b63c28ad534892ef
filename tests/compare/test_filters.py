"""Two runs' networks beside each other: a planted permutation, a planted dead filter, other depths and sizes."""

import hashlib
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from compared_runs import COMPARE, EVALUATE, make_history
from lens_models import CLASSES, SIZE, photos, residual, sequential
from page_reader import Page

from convlens.compare.comparison import compare_runs
from convlens.compare.describe import describe
from convlens.compare.filters import compare_filters
from convlens.compare.runs import Files, Snapshot
from convlens.compare.sections import render_markdown, render_text
from convlens.errors import ConvLensError
from convlens.models.files import encode_model
from convlens.models.inference import predict_probabilities
from convlens.pages.comparison import render_page

ORDER = [3, 0, 5, 1, 4, 2]  # of the filters of conv_2 in the second network
DEAD = 4  # the one that is dead there
COUNT = 16


def shuffled(model: keras.Model) -> keras.Model:
    """The same network with conv_2 in another order and one of its filters dead."""
    other = keras.models.clone_model(model)
    other.set_weights(model.get_weights())
    kernel, bias = (values[..., ORDER] for values in model.get_layer("conv_2").get_weights())
    kernel[..., DEAD], bias[DEAD] = 0, -1
    other.get_layer("conv_2").set_weights([kernel, bias])
    weights, addend = model.get_layer("logits").get_weights()
    places = weights.reshape(-1, len(ORDER), weights.shape[-1])[:, ORDER]
    other.get_layer("logits").set_weights([places.reshape(weights.shape), addend])
    return other


def widened() -> keras.Model:
    """The same layers for photos of 40 pixels a side."""
    layers = [type(layer).from_config(layer.get_config()) for layer in sequential().layers]
    return keras.Sequential([keras.Input((40, 40, 3)), *layers])


def make_run(folder: Path, name: str, model: keras.Model, *, size: int = SIZE) -> Snapshot:
    """A run of a network on random photos, the same ones in every run of this size."""
    folder.mkdir(parents=True)
    (folder / "0123abcd").write_bytes(encode_model(model, folder))  # as in DVC's cache
    pixels = photos(COUNT, size)
    np.save(folder / "images-00000.npy", pixels[: COUNT // 2])
    np.save(folder / "images-00001.npy", pixels[COUNT // 2 :])
    labels = [CLASSES[row % 2] for row in range(COUNT)]
    table = pd.DataFrame({"path": [f"{name}/{row}.png" for row in range(COUNT)], "label": labels, "split": "test",
                          "row": range(COUNT),
                          "sha256": [hashlib.sha256(bytes([row])).hexdigest() for row in range(COUNT)]})  # fmt: skip
    chances = predict_probabilities(model, pixels) if model.inputs[0].shape[1] == size else np.full((COUNT, 2), 0.5)
    said = [CLASSES[place] for place in chances.argmax(axis=1)]
    predictions = table[["path", "label"]].assign(
        predicted=said, probability_cats=chances[:, 0], probability_dogs=chances[:, 1]
    )
    return Snapshot(
        name=name,
        params={},
        metrics={"num_photos": COUNT, "accuracy": 0.5},
        history=make_history(2),
        card={"classes": list(CLASSES)},
        predictions=predictions.iloc[::-1],  # their order is nobody's business
        photos=table,
        files=Files(test_shards=(folder / "images-00000.npy", folder / "images-00001.npy"), model=folder / "0123abcd"),
    )


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Snapshot]:
    root, model = tmp_path_factory.mktemp("runs"), sequential()
    return {
        "old": make_run(root / "old", "old", model),
        "new": make_run(root / "new", "new", shuffled(model)),
        "other": make_run(root / "other", "other", residual()),
        "wide": make_run(root / "wide", "wide", widened()),
    }


def test_a_planted_permutation_and_a_planted_dead_filter_are_found(runs: dict[str, Snapshot]) -> None:
    found = compare_filters(runs["old"], runs["new"])
    first, second = found.layers
    assert (len(first.pairs), first.died, first.born) == (4 - len(first.dead_base), (), ())
    assert len(second.pairs) == 6 - len(second.dead_base) - 1
    assert (second.died, second.born) == ((ORDER[DEAD],), ())
    assert len(second.dead_head) == len(second.dead_base) + 1
    assert first.correlation == second.correlation == pytest.approx(1, abs=1e-6)
    assert second.chance < 0.9
    partners = sum(len(layer.pairs) for layer in found.layers)
    assert found.sentence.startswith(f"Filters: {partners} of 10 have a partner (responses correlate by at ")
    assert "1 died, 0 were born" in found.sentence
    assert (found.num_photos, found.resized) == (COUNT, False)


def test_networks_of_other_depth_are_paired_by_depth(runs: dict[str, Snapshot]) -> None:
    found = compare_filters(runs["other"], runs["new"])
    assert [(layer.base, layer.head) for layer in found.layers] == [("conv_1", "conv_1"), ("conv_4", "conv_2")]
    assert found.unmatched_base == ("conv_2", "conv_3")
    assert found.unmatched_head == ()
    assert "unlike layers, so their filters have no counterpart" in found.sentence
    assert "died" not in found.sentence
    assert "2 layers without a counterpart left out" in found.sentence


def test_filters_are_one_table_in_every_form(runs: dict[str, Snapshot]) -> None:
    pair = runs["other"], runs["new"]
    compared = compare_runs(pair, evaluate=EVALUATE, compare=COMPARE)
    assert "layers" not in {section.key for section in describe(compared)}
    compared = replace(compared, filters=compare_filters(*pair))
    layers = next(section for section in describe(compared) if section.key == "layers")
    assert [row[0] for row in layers.rows] == ["conv_1", "conv_4 → conv_2"]
    assert layers.rows[1][5:7] == ("–", "–")  # of unlike networks nothing died and nothing was born
    assert "Layers of other without a counterpart: conv_2, conv_3." in layers.sentences
    page = Page(render_page(compared)).text
    for shown in (page, render_text(describe(compared)), render_markdown(describe(compared)).replace("\\", "")):
        assert "Filters born and died" in shown
        assert "conv_4 → conv_2" in shown


def test_photos_of_another_size_are_resized_for_the_base(runs: dict[str, Snapshot], tmp_path: Path) -> None:
    pixels = tmp_path / "images-00000.npy"
    np.save(pixels, photos(6, 40))
    head = replace(runs["new"], files=replace(runs["new"].files, model=runs["wide"].files.model, test_shards=(pixels,)))
    found = compare_filters(runs["old"], head)
    assert (found.num_photos, found.resized) == (6, True)
    assert found.sentence.endswith("The base takes photos of another size and was shown resized ones.")


def test_files_that_are_not_here_are_told_with_the_way_to_get_them(runs: dict[str, Snapshot]) -> None:
    absent = replace(runs["old"], files=Files(), commit="c" * 40)
    with pytest.raises(ConvLensError, match=r"Expected the network of old on this disk.*`dvc fetch --all-commits`"):
        compare_filters(absent, runs["new"])
    with pytest.raises(ConvLensError, match=r"Expected the prepared test photos of new.*`dvc pull`"):
        compare_filters(runs["old"], replace(runs["new"], files=Files()))
