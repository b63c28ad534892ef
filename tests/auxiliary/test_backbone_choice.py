"""Which backbone suits photos, and what more of them would bring, told by a backbone of one layer."""

import re
import shutil

import keras
import numpy as np
import pytest
from click.testing import CliRunner
from photo_files import PARAMS, ROOT
from PIL import Image

from convlens.auxiliary import backbone_choice
from convlens.auxiliary.backbone_choice import (
    LabeledPhotos,
    LearningCurve,
    choose_backbone,
    compute_features,
    estimate_gain,
    measure_learning_curve,
    order_evenly,
    predict_held_out,
)
from convlens.cli.backbones import describe_gain
from convlens.cli.main import commands
from convlens.errors import ConvLensError
from convlens.metrics.intervals import Interval
from convlens.params import load_params

PARAMETERS = load_params(PARAMS)


def build_average(params, *, image_size, dtype="float32"):
    """Stand in for a backbone: the mean color."""
    pictures = keras.Input((image_size, image_size, 3))
    return keras.Model(pictures, keras.layers.GlobalAveragePooling2D(name="average")(pictures))


def paint_folder(folder, per_class=6):
    """Noise, dark for cats and bright for dogs."""
    generator = np.random.default_rng(0)
    for number, label in enumerate(("cats", "dogs")):
        (folder / label).mkdir(parents=True)
        for photo in range(per_class):
            pixels = generator.integers(0, 128, (64, 64, 3), dtype=np.uint8) + np.uint8(100 * number)
            Image.fromarray(pixels).save(folder / label / f"{photo}.png")
    return folder


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.setattr(backbone_choice, "build_extractor", build_average)
    paint_folder(tmp_path / "photos")
    return tmp_path


def make_photos(labels, groups=None):
    labels = np.asarray(labels)
    numbers = np.arange(len(labels)) if groups is None else np.asarray(groups)
    names = tuple(map(str, range(len(labels))))
    return LabeledPhotos(names, names, labels, numbers, tuple("abcdefgh"[: labels.max() + 1]))


def clouds(num_photos, spread):
    generator = np.random.default_rng(0)
    labels = np.arange(num_photos) % 2
    return (labels[:, None] + spread * generator.normal(size=(num_photos, 8))).astype(np.float32), labels


def test_the_command_asks_all_says_what_cannot_be_told_and_prints_the_line(root, monkeypatch):
    arguments = ["backbones", "--photos", "photos", "--image-size", "32"]
    done = CliRunner().invoke(commands, arguments, catch_exceptions=False)
    for name in ("Lite0", "Lite1", "Lite2"):
        assert re.search(rf"^EfficientNet{name} +32 +100\s%", done.output, re.MULTILINE)
    assert "no difference these photos can show" in " ".join(done.output.split())
    assert re.search(
        r"^dvc exp run \$\(convlens preset pretrained\) -S model\.transfer\.backbone=EfficientNetLite\d "
        r"-S preprocess\.image_size=32 -S data\.source=photos$",
        done.output,
        re.MULTILINE,
    )

    monkeypatch.setattr(backbone_choice, "build_extractor", lambda *_, **__: pytest.fail("computed twice"))
    again = CliRunner().invoke(commands, arguments, catch_exceptions=False)
    assert again.stdout == done.stdout
    curve = [*arguments[1:], "--backbone", "EfficientNetLite1"]
    told = CliRunner().invoke(commands, ["learning-curve", *curve], catch_exceptions=False).output
    assert re.search(r"^ *4 +\d+", told, re.MULTILINE)
    assert "A network from scratch usually needs" in " ".join(told.split())


def test_features_are_those_of_the_decoded_photos_in_their_order(root):
    photos = LabeledPhotos.from_folder(root / "photos", PARAMETERS)
    choice = choose_backbone("EfficientNetLite0", PARAMETERS.model.transfer, image_size=64)
    features = compute_features(choice, photos, PARAMETERS.preprocess).values
    expected = [np.asarray(Image.open(path), np.float32).mean(axis=(0, 1)) for path in photos.paths]
    assert np.allclose(features, expected, atol=1e-3)


def test_near_duplicates_share_a_fold_and_do_not_count_twice(root):
    for number in range(1, 6):  # all cats are one photo, saved anew
        with Image.open(root / "photos/cats/0.png") as image:
            image.resize((64 + number, 64)).save(root / f"photos/cats/{number}.png")
    with pytest.raises(ConvLensError, match=r"^Expected at least two photos of every class .* Received: 1 of cats\."):
        LabeledPhotos.from_folder(root / "photos", PARAMETERS)
    photos = make_photos([0] * 6 + [1] * 6, [0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    assert len(set(photos.deal_folds(0)[:3])) == 1


def test_what_a_photo_is_called_has_no_part_in_its_own_prediction():
    features, labels = clouds(60, 1.0)
    folds = make_photos(labels).deal_folds(0)
    learnt = [np.flatnonzero(folds != fold) for fold in range(5)]
    plain = predict_held_out(features, make_photos(labels), folds, learnt)
    changed = np.where(folds == 0, 1 - labels, labels)
    other = predict_held_out(features, make_photos(changed), folds, learnt)
    assert np.allclose(plain.sum(axis=1), 1)
    assert (plain.argmax(axis=1) == labels).mean() > 0.9
    assert np.array_equal(plain[folds == 0].argmax(axis=1), other[folds == 0].argmax(axis=1))


def test_the_span_of_few_photos_gives_what_all_channels_give():
    features, labels = clouds(20, 1.0)
    wide = np.concatenate([features, np.zeros((20, 30), np.float32)], axis=1)  # more channels than photos
    photos = make_photos(labels)
    folds = photos.deal_folds(0)
    learnt = [np.flatnonzero(folds != fold) for fold in range(5)]
    both = [predict_held_out(values, photos, folds, learnt) for values in (features, wide)]
    assert np.allclose(*both, atol=1e-3)


def test_the_curve_rises_over_nested_subsets_and_its_sizes_double():
    features, labels = clouds(400, 2.0)
    curve = measure_learning_curve(features, make_photos(labels))
    assert curve.sizes.tolist() == [5, 10, 20, 40, 80, 160, 320]
    first, last = curve.accuracies[0], curve.accuracies[-1]
    assert first.value < last.low
    assert last.low < last.value < last.high
    assert curve.draws[0][0] < curve.draws[0][1]
    assert curve.draws[-1][0] == curve.draws[-1][1]
    with pytest.raises(ConvLensError, match=r"^Expected at least 12 photos of these 2 classes.*Received: 6\."):
        measure_learning_curve(features[:6], make_photos(labels[:6]))


def test_every_start_of_an_order_has_the_shares_of_all():
    labels = np.array([0] * 30 + [1] * 10)
    ordered = labels[order_evenly(labels, np.random.default_rng(0))]
    assert sorted(order_evenly(labels, np.random.default_rng(0))) == list(range(40))
    assert all(abs(ordered[:size].sum() - size / 4) <= 1 for size in range(1, 41))


def test_the_gain_follows_the_power_law_and_is_no_more_than_the_errors_that_may_be_left():
    sizes, labels = np.array([100, 200, 400, 800]), np.arange(4000) % 2
    # Errors of 32, 16, 8 and 4 %: each doubling halves them.
    falling = np.stack([np.arange(4000) % 100 >= errors for errors in (32, 16, 8, 4)]).astype(float)
    gain = estimate_gain(sizes, falling, labels)
    assert gain.value == pytest.approx(0.02, abs=0.002)
    assert 0.01 < gain.low < gain.high < 0.03
    flat = estimate_gain(sizes, np.stack([falling[2]] * 4), labels)
    assert flat.value == pytest.approx(0, abs=1e-9)
    perfect = estimate_gain(sizes, np.ones((4, 12)), labels[:12])
    assert perfect.low == 0
    assert perfect.high == pytest.approx(0.24, abs=0.01)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("EfficientNetLite9", "Expected model.transfer.backbone to be EfficientNetLite0"),
        ("MobileNetV3Small=nowhere.h5", "Expected NAME=FILE with a file of weights"),
    ],
)
def test_what_cannot_be_asked_is_told_in_a_line(text, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConvLensError, match=f"^{re.escape(message)}") as caught:
        choose_backbone(text, PARAMETERS.model.transfer)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("gain", "sentence"),
    [
        (
            (0.001, 0.0, 0.004),
            "More of the same will not help: 1,600 photos to learn from instead of 800 would add 0.4",
        ),
        (
            (0.02, 0.01, 0.03),
            "More photos will help: 1,600 photos to learn from instead of 800 would add about 2.0 points",
        ),
        ((0.01, -0.01, 0.03), "These photos cannot show whether more of them help: 1,600 photos"),
    ],
)
def test_what_twice_the_photos_bring_is_one_sentence(gain, sentence):
    assert describe_gain(LearningCurve(np.array([400, 800]), (), (), Interval(*gain))).startswith(sentence)
