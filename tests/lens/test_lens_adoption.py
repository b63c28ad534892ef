"""Keras models of another make: read from files, asked as ConvLens' own are, and worked out cell by cell."""

from pathlib import Path

import keras
import numpy as np
import pytest
from lens_models import SIZE, photos, spread_weights

from convlens.errors import ConvLensError
from convlens.lens.arithmetic import ConvolutionRecipe, find_program, find_recipes
from convlens.lens.forward import Scorer, name_logits, read_keras_file
from convlens.lens.lens import open_lens
from convlens.models.inference import LOGITS, predict_logits


def lecture(activation: str | None = "sigmoid", *, shape: tuple[int, int, int] = (SIZE, SIZE, 3)) -> keras.Model:
    """The lecture's network: real numbers that were divided by 255 outside of it, and no layer called logits."""
    layers = keras.layers
    return spread_weights(keras.Sequential(
        [keras.Input(shape), layers.Conv2D(4, 3, activation="relu"), layers.MaxPooling2D(), layers.Flatten(),
         layers.Dense(1, activation=activation)]
    ))  # fmt: skip


def test_photos_are_divided_in_the_model_and_its_answers_stay(tmp_path: Path) -> None:
    model, given = lecture(), photos(3)
    model.save(tmp_path / "lecture.keras")
    read = read_keras_file(tmp_path / "lecture.keras", divide_by=255)
    expected = np.asarray(model(given.astype(np.float32) * np.float32(1 / 255)))
    np.testing.assert_allclose(np.asarray(read(given)), expected, rtol=1e-5)
    lens = open_lens(read)
    assert lens.run(given[0]).picture.tolist() == given[0].tolist()
    (recipe,) = find_recipes(lens).values()
    assert isinstance(recipe, ConvolutionRecipe)
    np.testing.assert_allclose(recipe.source.scale, [1 / 255] * 3)
    assert find_program(Scorer(lens), planned=set(), chosen={})[1].startswith("This network cannot be run on the page")


@pytest.mark.parametrize("activation", ["sigmoid", None])
def test_logits_are_those_before_the_sigmoid_or_the_answer_itself(activation: str | None) -> None:
    model, given = lecture(activation), photos(2) // 100  # small values, so that the sigmoid is far from 0 and 1
    answer = np.asarray(model(given.astype(np.float32)))[:, 0].astype(np.float64)
    logits = predict_logits(name_logits(Scorer(open_lens(model)), LOGITS), given)
    assert logits[:, 0].tolist() == [0, 0]
    np.testing.assert_allclose(1 / (1 + np.exp(-logits[:, 1])) if activation else logits[:, 1], answer, rtol=1e-4)


def test_models_that_name_their_logits_are_asked_as_they_are() -> None:
    layers = keras.layers
    model = keras.Sequential([keras.Input((SIZE, SIZE, 3)), layers.Flatten(), layers.Dense(2, name=LOGITS)])
    assert name_logits(Scorer(open_lens(model)), LOGITS) is model


def test_a_model_of_real_numbers_in_one_of_whole_numbers_is_worked_out_to_the_photo() -> None:
    layers = keras.layers
    start = keras.Input((SIZE, SIZE, 3), dtype="uint8")
    inner = keras.Sequential([keras.Input((SIZE, SIZE, 3)), layers.Conv2D(4, 3, name="conv")], name="backbone")
    model = spread_weights(keras.Model(start, layers.Dense(1)(layers.GlobalAveragePooling2D()(inner(start)))))
    lens = open_lens(model)
    (recipe,) = find_recipes(lens).values()
    assert isinstance(recipe, ConvolutionRecipe)
    assert recipe.source.order == (0, 1, 2)
    planned = {"backbone/conv"}
    program, why = find_program(Scorer(lens), planned=planned, chosen={"backbone/conv": np.arange(4)})
    assert ([op.kind for op in program.operations] if program else why) == ["convolution", "globalAverage", "dense"]
    assert lens.layers[0].kind == "change of type"


def test_files_that_cannot_be_shown_are_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "junk.keras").write_text("no model")
    lecture(shape=(SIZE, 2 * SIZE, 3)).save(tmp_path / "wide.keras")
    keras.Sequential([keras.Input((8, 8, 3), dtype="uint8"), keras.layers.Flatten(), keras.layers.Dense(1)]).save(
        tmp_path / "whole.keras"
    )
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)]).save(tmp_path / "flat.keras")
    for name, words in (("junk", "Keras can read"), ("wide", "square photos"), ("whole", "divides by itself"),
                        ("flat", "takes photos")):  # fmt: skip
        with pytest.raises(ConvLensError, match=words) as refused:
            read_keras_file(tmp_path / f"{name}.keras", divide_by=255)
        assert "\n" not in str(refused.value), name
