"""Networks as compiled functions say what they say as they are, also after their weights have changed."""

import numpy as np
from lens_models import nested, photos, residual, sequential

from convlens.lens.attribution import ablate_filters
from convlens.lens.forward import CALLS_BEFORE_COMPILING, MIN_COMPILED_BATCHES, Scorer, compile_model, run_batches
from convlens.lens.lens import open_lens
from convlens.lens.over_time import Watched, borrow_weights, follow


def test_a_compiled_model_answers_as_the_model_does() -> None:
    model = nested()
    compiled = compile_model(model)
    assert compiled is not model
    for count in (1, 3):
        expected = np.asarray(model(photos(count), training=False))
        np.testing.assert_allclose(np.asarray(compiled(photos(count))), expected, rtol=1e-5)
    model.set_weights([values * 0.5 for values in model.get_weights()])
    np.testing.assert_allclose(np.asarray(compiled(photos(2))), np.asarray(model(photos(2), training=False)), rtol=1e-5)


def test_models_that_resize_are_not_compiled() -> None:
    """Compiled, keras.layers.Resizing does not round, so that the answers would be others."""
    model = residual()
    assert compile_model(model) is model


def test_few_batches_and_many_give_the_same() -> None:
    model, count = nested(), MIN_COMPILED_BATCHES + 1
    few = run_batches(model, photos(count), size=count, dtype="uint8")[0]
    many = run_batches(model, photos(count), size=1, dtype="uint8")[0]
    np.testing.assert_allclose(few, many, rtol=1e-5)


def test_filters_are_switched_off_alike_before_and_after_compiling() -> None:
    scorer = Scorer(open_lens(nested()))
    filters = {"backbone/conv_2": np.array([5, 0, 2])}
    pixels = np.repeat(photos(1), CALLS_BEFORE_COMPILING + 2, axis=0)
    logits = ablate_filters(scorer, pixels, filters)["backbone/conv_2"]
    np.testing.assert_allclose(logits, np.broadcast_to(logits[:1], logits.shape), rtol=1e-5)
    assert scorer.cuts["backbone/conv_2"].without is scorer.cuts["backbone/conv_2"].without
    assert not np.allclose(logits[-1][1], logits[-1][2])  # of filters 0 and 2


def test_convolutions_with_an_activation_of_their_own_have_the_weights_of_the_snapshot() -> None:
    """The lens splits the activation off; what is left is a copy of the layer."""
    model = sequential()
    earlier = [values * 0.5 for values in model.get_weights()]
    watched = Watched(
        photos(2), photos(4, seed=1), {"conv_1": np.array([0, 2])}, lambda images: np.ones((len(images), 2)),
        np.ones((2, 2)),
    )  # fmt: skip
    then, _ = follow(Scorer(open_lens(model)), {1: earlier}, 2, watched)
    with borrow_weights(model, earlier):
        lens = open_lens(model)
        maps = [lens.run(photo).maps for photo in photos(2)]
    name = next(block.response.name for block in lens.blocks if block.name == "conv_1")
    expected = np.stack([values[name][:, :, [0, 2]].transpose(2, 0, 1) for values in maps])
    np.testing.assert_allclose(then.maps["conv_1"], expected, rtol=1e-4, atol=1e-6)
