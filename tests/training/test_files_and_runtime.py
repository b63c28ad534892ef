import keras
import numpy as np
import pytest
import tensorflow as tf

from convlens.errors import ConvLensError
from convlens.models.architectures import build_model
from convlens.models.files import encode_model, load_trained_model
from convlens.models.inference import (
    OperatingPoint,
    apply_temperature,
    find_operating_point,
    make_views,
    predict_logits,
    predict_probabilities,
)
from convlens.params import load_params
from convlens.training import runtime
from convlens.training.steps import batch_loss, count_hits, make_targets


def test_the_same_weights_give_the_same_bytes(tmp_path):
    model = build_model(load_params().model, num_classes=2, image_size=48)
    first = encode_model(model, tmp_path)
    assert first == encode_model(model, tmp_path)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "model.keras").write_bytes(first)
    photos = np.random.default_rng(0).integers(0, 256, (3, 48, 48, 3), dtype=np.uint8)
    again = load_trained_model(tmp_path)
    assert (predict_probabilities(again, photos) == predict_probabilities(model, photos)).all()


def test_a_missing_or_broken_model_is_told(tmp_path):
    with pytest.raises(ConvLensError, match=r"Expected a trained network at .*model\.keras\. Received: nothing"):
        load_trained_model(tmp_path)
    (tmp_path / "model.keras").write_bytes(b"no model")
    with pytest.raises(ConvLensError, match="Expected a Keras model"):
        load_trained_model(tmp_path)


def small_model(num_classes=2):
    keras.utils.set_random_seed(0)
    return build_model(load_params().model, num_classes=num_classes, image_size=48)


PHOTOS = np.random.default_rng(1).integers(0, 255, (3, 48, 48, 3), dtype=np.uint8)


@pytest.mark.parametrize("num_classes", [2, 3])
def test_probabilities_are_those_of_the_network(num_classes):
    model = small_model(num_classes)
    outputs = model(PHOTOS, training=False).numpy().astype(float)
    expected = np.hstack([1 - outputs, outputs]) if num_classes == 2 else outputs
    assert predict_probabilities(model, PHOTOS) == pytest.approx(expected, abs=1e-6)
    assert predict_logits(model, PHOTOS).shape == (3, num_classes)


@pytest.mark.parametrize("num_classes", [2, 3])
def test_mirrored_answers_are_the_mean_of_the_logits_of_both_views(num_classes):
    model = small_model(num_classes)
    one, other = predict_logits(model, PHOTOS), predict_logits(model, PHOTOS[:, :, ::-1])
    both = predict_logits(model, PHOTOS, mirror=True)
    assert both == pytest.approx((one + other) / 2, abs=1e-5)
    assert np.abs(both - one).max() > 1e-4
    assert predict_logits(model, PHOTOS[:, :, ::-1], mirror=True) == pytest.approx(both, abs=1e-5)
    cold = predict_probabilities(model, PHOTOS, OperatingPoint(mirror=True, temperature=0.5))
    assert cold == pytest.approx(apply_temperature(2 * both), abs=1e-12)


def test_the_center_of_a_photo_is_enlarged_to_its_size():
    flat = np.full((1, 8, 8, 3), 50, np.uint8)
    flat[:, 2:6, 2:6] = 200
    whole, center = make_views(flat, center_crop=0.5)
    assert whole.numpy().tolist() == flat.tolist()
    assert center.dtype == "uint8"
    assert center.numpy().tolist() == np.full((1, 8, 8, 3), 200).tolist()
    ramp = np.repeat(np.arange(0, 80, 10, np.uint8)[np.newaxis, np.newaxis, :, np.newaxis], 8, axis=1)
    enlarged = make_views(np.repeat(ramp, 3, axis=3), center_crop=0.5)[1].numpy()[0, 3, :, 0]
    assert enlarged.tolist() == [20, 22, 28, 32, 38, 42, 48, 50]  # 20, 30, 40, 50 at twice the size


def test_answers_are_the_mean_over_all_views():
    model = small_model()
    views = [view.numpy() for view in make_views(PHOTOS, mirror=True, center_crop=0.75)]
    assert len(views) == 4
    assert np.array_equal(views[3], views[1][:, :, ::-1])
    each = [predict_logits(model, view) for view in views]
    together = predict_logits(model, PHOTOS, mirror=True, center_crop=0.75)
    assert together == pytest.approx(np.mean(each, axis=0), abs=1e-5)
    assert np.abs(together - predict_logits(model, PHOTOS, mirror=True)).max() > 1e-4


def test_a_temperature_by_hand():
    logits = np.log([[0.9, 0.1], [0.5, 0.5], [0.2, 0.8]])
    assert apply_temperature(logits) == pytest.approx(np.exp(logits))
    roots = np.sqrt([[0.9, 0.1], [0.5, 0.5], [0.2, 0.8]])
    assert apply_temperature(logits, 2.0) == pytest.approx(roots / roots.sum(axis=1, keepdims=True))
    assert apply_temperature(np.array([[0.0, 5000.0]]), 0.05).tolist() == [[0.0, 1.0]]


def test_the_operating_point_lies_beside_the_network_or_in_the_card_of_an_earlier_version(tmp_path):
    model = tmp_path / "model"
    card = {"key": "k", "mirror": True, "center_crop": 0.9, "temperature": 2, "min_probability": 0.7}
    old = OperatingPoint("k", mirror=True, center_crop=0.9, temperature=2, min_confidence=0.7)
    assert find_operating_point(model, card) == old
    assert find_operating_point(model, {}) == OperatingPoint()  # a card from before there was any of it
    for folder, threshold in ((tmp_path / "operating_point", 0.6), (model, 0.8)):  # as in the pipeline; packed
        kept = OperatingPoint("k", threshold=threshold, calibration={"num_photos": 9})
        kept.save(folder)
        assert find_operating_point(model, card) == OperatingPoint.load(folder, key="k") == kept
    with pytest.raises(ConvLensError, match=r"Received: one of another training\. Run `dvc repro`"):
        find_operating_point(model, {"key": "other"})
    with pytest.raises(ConvLensError, match=r"Expected an operating point in .*Run `dvc repro`"):
        OperatingPoint.load(tmp_path / "nowhere")
    for wrong in (0, -1.0, float("nan"), "warm", None):
        with pytest.raises(ConvLensError, match=r"temperature above 0 in the operating point\. Received: "):
            OperatingPoint.from_card({"temperature": wrong})


def test_no_photos_no_answers():
    model = build_model(load_params().model, num_classes=2, image_size=48)
    assert predict_probabilities(model, np.zeros((0, 48, 48, 3), np.uint8)).shape == (0, 2)


def test_losses_by_hand():
    def loss(logits, labels, smoothing):
        targets = make_targets(tf.constant(labels, tf.int64), num_outputs=len(logits[0]), smoothing=smoothing)
        return batch_loss(tf.constant(logits), targets)

    binary = loss([[0.0], [2.0]], [0, 1], 0.0)
    assert float(binary) == pytest.approx((np.log(2) + np.log1p(np.exp(-2))) / 2)
    smooth = loss([[0.0]], [1], 0.2)
    assert float(smooth) == pytest.approx(np.log(2))
    softmax = loss([[0.0, 0.0, 0.0]], [2], 0.1)
    assert float(softmax) == pytest.approx(np.log(3))
    assert int(count_hits(tf.constant([[1.0], [-1.0], [1.0]]), tf.constant([1, 1, 1], tf.int64))) == 2
    assert int(count_hits(tf.constant([[0.0, 1.0, 0.0]]), tf.constant([1], tf.int64))) == 1


def train_params(**changes):
    return load_params().train.model_copy(update=changes)


def test_a_gpu_that_is_not_there_is_an_error():
    if tf.config.list_physical_devices("GPU"):
        pytest.skip("this machine has a GPU")
    with pytest.raises(ConvLensError, match=r"Expected a GPU \(train.device: gpu\). Received: none"):
        runtime.prepare_runtime(train_params(device="gpu"))


@pytest.mark.parametrize("expected", ["bfloat16", "float32"])
def test_precision_is_chosen_by_what_is_fast(monkeypatch, expected):
    monkeypatch.setattr(runtime, "choose_precision", lambda gpus: expected)
    found = runtime.prepare_runtime(train_params(device="cpu", precision="auto"))
    assert (found.device, found.precision) == ("cpu", expected)
    assert found.dtype_policy == ("mixed_bfloat16" if expected == "bfloat16" else "float32")


def test_precision_can_be_fixed():
    assert runtime.prepare_runtime(train_params(precision="float32")).precision == "float32"
    assert runtime.prepare_runtime(train_params(precision="bfloat16")).precision == "bfloat16"
