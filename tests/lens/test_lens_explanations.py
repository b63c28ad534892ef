"""Explanations of networks whose answer is known in closed form."""

import keras
import numpy as np
import pytest
from lens_models import MODELS, photos, residual

from convlens.lens.attribution import (
    ablate_filters,
    announced_cam,
    choose_cam,
    cover,
    cover_effects,
    find_cam_targets,
    grad_cam,
    mean_color,
    measure_occlusion,
    plan_ablation,
)
from convlens.lens.forward import Scorer, class_probabilities, log_odds
from convlens.lens.lens import open_lens
from convlens.lens.trust import (
    DELETION_SHARES,
    deletion_insertion,
    equivariance,
    randomize,
    shift_right,
    spearman,
)

SIDE = 12


def linear(weights: np.ndarray, bias: float = 0.0) -> keras.Model:
    """Log-odds are the sum of weight times the mean over the photo's red, behind one convolution that copies red."""
    layers = keras.layers
    start = keras.Input((SIDE, SIDE, 3), dtype="uint8")
    x = layers.Conv2D(len(weights), 1, activation="relu", use_bias=False, name="copy")(layers.Rescaling(1 / 255)(start))
    x = layers.Dense(1, name="logits")(layers.GlobalAveragePooling2D()(x))
    model = keras.Model(start, layers.Activation("sigmoid")(x), name="linear")
    kernel = np.zeros((1, 1, 3, len(weights)), np.float32)
    kernel[0, 0, 0] = 1
    model.get_layer("copy").set_weights([kernel])
    model.get_layer("logits").set_weights([np.array(weights, np.float32)[:, None], np.array([bias], np.float32)])
    return model


def patch_reader() -> keras.Model:
    """Reads the red of the upper left 4x4 pixels, and nothing else."""
    layers = keras.layers
    start = keras.Input((SIDE, SIDE, 3), dtype="uint8")
    x = layers.Conv2D(1, 4, strides=4, activation="relu", use_bias=False, name="read")(layers.Rescaling(1 / 255)(start))
    x = layers.Dense(1, name="logits")(layers.Flatten()(x))
    model = keras.Model(start, layers.Activation("sigmoid")(x), name="patch_reader")
    kernel = np.zeros((4, 4, 3, 1), np.float32)
    kernel[:, :, 0] = 1 / 16
    model.get_layer("read").set_weights([kernel])
    places = np.zeros((9, 1), np.float32)
    places[0] = 8
    model.get_layer("logits").set_weights([places, np.array([-4], np.float32)])
    return model


def noisy(count: int = 6) -> np.ndarray:
    """Photos with a bright upper left corner, dark elsewhere."""
    images = np.random.default_rng(0).integers(0, 90, (count, SIDE, SIDE, 3), dtype=np.uint8)
    images[:, :4, :4] = 255
    return images


@pytest.mark.parametrize("build", MODELS)
def test_logits_are_those_behind_the_answer(build) -> None:
    model = build()
    scorer = Scorer(open_lens(model))
    answer = np.asarray(model(photos(), training=False))
    expected = np.concatenate([1 - answer, answer], axis=1) if answer.shape[1] == 1 else answer
    logits = scorer.logits(photos())
    np.testing.assert_allclose(class_probabilities(logits), expected, atol=1e-6)
    odds = np.log(expected[:, 1] / expected[:, 0])
    np.testing.assert_allclose(np.asarray(log_odds(logits, np.ones(4, int))), odds, rtol=1e-3, atol=1e-4)


def test_temperature_divides_the_logits() -> None:
    np.testing.assert_allclose(class_probabilities(np.array([[2.0]]), temperature=2)[0, 1], 1 / (1 + np.exp(-1)))


def test_covering_a_box_of_a_linear_network_takes_its_share() -> None:
    photo = noisy(1)[0]
    scorer = Scorer(open_lens(linear(np.array([6.0]))))
    found = measure_occlusion(scorer, photo, 1, share=1 / 3)
    red, gray = photo[..., 0] / 255, mean_color(photo)[0] / 255
    sums = [[(red[i : i + 4, j : j + 4] - gray).sum() for j in range(0, 9, 2)] for i in range(0, 9, 2)]
    assert (found.size, found.stride) == ((4, 4), (2, 2))
    np.testing.assert_allclose(found.log_odds, 6 * np.array(sums) / SIDE**2, atol=1e-5)


def test_covering_leaves_the_photo_alone_and_keeps_the_rest() -> None:
    photo = noisy(1)[0]
    before = photo.copy()
    covered = cover(photo, (1.4, 2.0, 3.6, 20.0))
    assert np.array_equal(photo, before)
    assert np.all(covered[2:, 1:4] == mean_color(photo))
    outside = np.ones((SIDE, SIDE), bool)
    outside[2:, 1:4] = False
    assert np.array_equal(covered[outside], photo[outside])


def test_cells_of_grad_cam_add_up_to_the_log_odds_without_bias() -> None:
    scorer = Scorer(open_lens(linear(np.array([2.0, -5.0]), bias=0.7)))
    cams = grad_cam(scorer, noisy(), np.ones(6, int), find_cam_targets(scorer))
    red = noisy()[..., 0] / 255
    np.testing.assert_allclose(cams["copy/activation"], -3 * red / SIDE**2, atol=1e-6)
    np.testing.assert_allclose(cams["copy/activation"].sum(axis=(1, 2)), scorer.logits(noisy())[:, 0] - 0.7, atol=1e-4)


def test_the_evidence_of_all_views_adds_up_to_what_is_announced() -> None:
    scorer = Scorer(open_lens(linear(np.array([2.0, -5.0]), bias=0.7)), mirror=True, center_crop=0.5)
    photo = noisy(1)[0]
    found = announced_cam(scorer, photo, 0, find_cam_targets(scorer))["copy/activation"]
    announced = scorer.view_logits(photo[np.newaxis]).mean()
    assert found.sum() == pytest.approx(-(announced - 0.7), abs=1e-4)
    mirrored = announced_cam(scorer, photo[:, ::-1], 0, find_cam_targets(scorer))["copy/activation"]
    np.testing.assert_allclose(found, mirrored[:, ::-1], atol=1e-6)
    plain = announced_cam(Scorer(scorer.lens, mirror=True), photo, 0, find_cam_targets(scorer))["copy/activation"]
    np.testing.assert_allclose(plain, photo[..., 0] / 255 * 3 / SIDE**2, atol=1e-6)


def test_covering_a_box_changes_the_mean_over_the_views() -> None:
    photo, box = noisy(1)[0], (0.0, 0.0, 4.0, 4.0)
    scorer = Scorer(open_lens(linear(np.array([6.0]))), mirror=True, center_crop=0.75)
    odds, chances = cover_effects(scorer, photo, [box], 1)
    before, after = (scorer.view_logits(image[np.newaxis]).mean() for image in (photo, cover(photo, box)))
    assert odds[0] == pytest.approx(before - after, abs=1e-5)
    assert chances[0] == pytest.approx(1 / (1 + np.exp(-before)) - 1 / (1 + np.exp(-after)), abs=1e-5)


def test_the_other_class_has_the_opposite_grad_cam() -> None:
    scorer = Scorer(open_lens(residual()))
    targets = find_cam_targets(scorer)
    first, second = (grad_cam(scorer, photos(), np.full(4, label), targets) for label in (0, 1))
    for name, values in first.items():
        np.testing.assert_allclose(values, -second[name], atol=1e-6)


def test_branches_that_a_shortcut_passes_by_explain_nothing() -> None:
    targets = find_cam_targets(Scorer(open_lens(residual())))
    assert [target.name for target in targets] == ["relu_1", "relu_2", "add_1"]
    assert choose_cam(targets) == targets[0]  # the only one with 7x7 cells


def test_a_filter_that_nothing_reads_has_no_effect() -> None:
    scorer = Scorer(open_lens(linear(np.array([6.0, 0.0, -1.0]))))
    logits = ablate_filters(scorer, noisy(2), {"copy": np.arange(3)})["copy"][..., 0]
    before, red = scorer.logits(noisy(2)), noisy(2)[..., 0].mean(axis=(1, 2)) / 255
    np.testing.assert_allclose(logits[:, 1], before[:, 0], atol=1e-6)
    np.testing.assert_allclose(before - logits, red[:, None] * [6.0, 0.0, -1.0], atol=1e-5)


def test_resuming_behind_a_filter_is_the_same_as_a_network_without_it() -> None:
    model = residual()
    logits = ablate_filters(Scorer(open_lens(model)), photos(2), {"conv_2": np.array([3])})["conv_2"][:, 0]
    layer = model.get_layer("norm_2")
    gamma, beta, *rest = layer.get_weights()
    gamma[3], beta[3] = 0, 0
    layer.set_weights([gamma, beta, *rest])
    np.testing.assert_allclose(logits, Scorer(open_lens(model)).logits(photos(2)), atol=1e-5)


def test_large_networks_ablate_fewer_photos_then_fewer_filters() -> None:
    scorer = Scorer(open_lens(residual()))
    filters = {"conv_1": np.arange(4), "conv_2": np.arange(8)}
    assert plan_ablation(scorer, filters, budget=1e12, most=16)[0] == 16
    num_photos, chosen = plan_ablation(scorer, filters, budget=1.0, most=16)
    assert (num_photos, [len(rows) for rows in chosen.values()]) == (4, [1, 1])


def test_deleting_the_patch_that_is_read_ends_the_answer_at_once() -> None:
    scorer, images = Scorer(open_lens(patch_reader())), noisy()
    targets = find_cam_targets(scorer)
    cams = grad_cam(scorer, images, np.ones(6, int), targets)[targets[-1].name]
    assert np.count_nonzero(cams) == 6  # one cell a photo
    curves = deletion_insertion(scorer, images, cams, np.ones(6, int))
    deletion, insertion = curves.deletion["saliency"], curves.insertion["saliency"]
    done = DELETION_SHARES.index(0.3)  # the corner is a ninth, and enlarging it blurs its border
    assert np.all(deletion[:, 0] > 0.97)
    assert np.all(deletion[:, done] < 0.2)
    assert np.all(insertion[:, done] > 0.9)
    assert curves.passes
    turned = deletion_insertion(scorer, images, -cams, np.ones(6, int))
    assert not turned.passes


def test_randomized_weights_come_back_and_change_the_explanation() -> None:
    model = residual()
    before = model.get_weights()
    scorer = Scorer(open_lens(model))
    target = find_cam_targets(scorer)[0]
    found = randomize(scorer, photos(), np.ones(4, int), target=target)
    assert found.layers == ("logits", "conv_4", "conv_3", "conv_2", "conv_1")
    assert found.correlations.shape == (5, 4)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_an_explanation_that_ignores_the_weights_fails() -> None:
    """All kernels are constant, so shuffling them changes nothing."""
    model = linear(np.array([1.0, 1.0]))
    model.get_layer("copy").set_weights([np.full((1, 1, 3, 2), 0.5, np.float32)])
    scorer = Scorer(open_lens(model))
    found = randomize(scorer, noisy(), np.ones(6, int), target=find_cam_targets(scorer)[0])
    np.testing.assert_allclose(found.correlations, 1)
    assert not found.passes


def test_rank_correlation() -> None:
    maps = np.arange(8.0).reshape(2, 2, 2)
    assert spearman(maps, maps**3).tolist() == [1.0, 1.0]
    assert spearman(maps, -maps).tolist() == [-1.0, -1.0]
    assert spearman(maps, np.zeros_like(maps)).tolist() == [0.0, 0.0]


def test_a_convolution_without_padding_moves_with_its_photo() -> None:
    images = np.repeat(noisy(4)[:, :, :1], SIDE, axis=2)  # nothing changes along a row
    scorer = Scorer(open_lens(linear(np.array([6.0]))))
    assert [row.error[0] for row in equivariance(scorer, images)] == [0.0]
    moved = shift_right(noisy(1), 3)[0]
    assert np.array_equal(moved[:, 3:], noisy(1)[0][:, :-3])
