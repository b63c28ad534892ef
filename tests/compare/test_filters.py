"""Two runs' networks beside each other: a planted permutation, a planted dead filter, photos with another answer."""

import hashlib
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from lens_models import CLASSES, SIZE, photos, residual, sequential

from convlens.cli.compare import compare
from convlens.compare import filters as filters_networks
from convlens.compare.filters import compare_filters, write_filters_page
from convlens.compare.runs import Files, Snapshot
from convlens.errors import ConvLensError
from convlens.models.files import encode_model
from convlens.models.inference import predict_probabilities

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
    answers = table[["path", "label"]].assign(
        predicted=said, probability_cats=chances[:, 0], probability_dogs=chances[:, 1]
    )
    return Snapshot(
        name=name,
        params={},
        metrics={},
        history=pd.DataFrame(),
        card={"classes": list(CLASSES)},
        predictions=answers.iloc[::-1],  # their order is nobody's business
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
    }


@pytest.fixture
def read(runs: dict[str, Snapshot], monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Lets revisions be these runs; called, it changes some."""
    known = dict(runs)
    monkeypatch.setattr(filters_networks, "read_snapshot", lambda _, name: known[name])
    return lambda name, **changes: known.update({name: replace(known[name], **changes)})


def test_a_planted_permutation_and_a_planted_dead_filter_are_found(read: Any) -> None:
    found = compare_filters(Path(), "old", "new")
    first, second = found.layers
    assert (first.matched, first.died, first.born) == (4 - first.dead_base, 0, 0)
    assert second.matched == 6 - second.dead_base - 1
    assert (second.died, second.born) == (1, 0)
    assert second.dead_head == second.dead_base + 1
    assert first.correlation == second.correlation == pytest.approx(1, abs=1e-6)
    assert second.chance < 0.9
    assert found.sentence.startswith(f"Filters: {found.num_matched} of 10 have a partner (responses correlate by at ")
    assert "1 died, 0 were born" in found.sentence
    assert found.num_photos == COUNT


def test_networks_of_other_depth_are_paired_by_depth(read: Any) -> None:
    found = compare_filters(Path(), "other", "new")
    assert [(layer.base, layer.head) for layer in found.layers] == [("conv_1", "conv_1"), ("conv_4", "conv_2")]
    assert found.unmatched_base == ("conv_2", "conv_3")
    assert found.unmatched_head == ()
    assert "2 layers without a counterpart left out" in found.sentence


def test_the_page_shows_both_networks_and_is_the_same_bytes_again(read: Any, runs: Any, tmp_path: Path) -> None:
    for name in ("a.html", "b.html"):
        write_filters_page(Path(), "old", "new", tmp_path / name)
    text = (tmp_path / "a.html").read_text()
    assert text == (tmp_path / "b.html").read_text()
    assert not [
        address for address in re.findall(r'(?:src|href)="([^"]*)"', text) if not address.startswith(("data:", "#"))
    ]
    said = [runs[name].predictions.sort_values("path")["predicted"].tolist() for name in ("old", "new")]
    number = sum(a != b for a, b in zip(*said, strict=True))
    shown = f"{number} photo{'' if number == 1 else 's'} answered otherwise"
    assert shown in text
    assert text.count('class="card"') >= number
    assert f'alt="Filter {ORDER[DEAD]} of old: largest value' in text  # it died
    assert "no partner" in text


def test_photos_of_another_size_are_resized_for_the_base(read: Any, runs: Any, tmp_path: Path) -> None:
    pixels = tmp_path / "images-00000.npy"
    np.save(pixels, photos(6, 40))
    read("new", files=replace(runs["new"].files, test_shards=(pixels,)))
    assert compare_filters(Path(), "old", "new").num_photos == 6
    write_filters_page(Path(), "old", "new", tmp_path / "page.html")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"predictions": None}, "The answers of old to the single test photos are not on this disk"),
        ({"card": {"classes": ["cats", "foxes"]}}, "The two know different classes"),
    ],
)
def test_answers_that_cannot_be_compared_are_told(read: Any, tmp_path: Path, changes: Any, words: str) -> None:
    read("old", **changes)
    write_filters_page(Path(), "old", "new", tmp_path / "page.html")
    assert words in (tmp_path / "page.html").read_text()


def test_files_that_are_not_here_are_told_with_the_way_to_get_them(read: Any, runs: Any) -> None:
    read("old", files=Files(), commit="c" * 40)
    with pytest.raises(ConvLensError, match=r"Expected the network of old on this disk.*`dvc fetch --all-commits`"):
        compare_filters(Path(), "old", "new")
    read("new", files=replace(runs["new"].files, test_shards=()))
    with pytest.raises(ConvLensError, match=r"Expected the prepared test photos of new.*`dvc pull`"):
        compare_filters(Path(), "old", "new")


def test_the_command_refuses_a_folder_that_is_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("convlens.cli.compare._compare", lambda *_, **__: False)
    monkeypatch.setattr("convlens.compare.runs.find_root", lambda: tmp_path)
    done = CliRunner().invoke(compare, ["old", "new", "--feature-maps", "--out", str(tmp_path / "none/page.html")])
    assert done.exit_code == 2
    assert "Expected a folder for --out" in done.stderr
