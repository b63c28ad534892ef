"""`benchmarks/train.py` on a handful of tiny photos, and its table from plain values."""

import json

import keras
import pytest
import train
from keras import layers

from convlens.models.architectures import build_body
from convlens.params import load_params

PEAKS = {"float32": 2e11, "bfloat16": 4e11}
MACHINE = {"num_cores": 2, "system": "Linux x86_64", "features": ["avx2"], "packages": {"keras": "3.15.1"}}
NUM_TRAIN, NUM_HELD_OUT = 22, 10
POINTS = [{"seconds": s, "num_photos": 100, "accuracy": a} for s, a in ((10.0, 0.5), (20.0, 0.7), (30.0, 0.68))]


@pytest.mark.usefixtures("one_process")
def test_training_side_by_side(folder, small_params, monkeypatch) -> None:
    monkeypatch.setattr(train, "measure_peaks", known_peaks)
    names = list(train.CONTESTANTS)
    result = train.compare_training(folder, small_params(), minutes=0.01, names=names, lecture_size=32)
    assert json.loads(json.dumps(result)) == result
    assert result["machine"]["peak_flops_per_second"] == PEAKS
    assert (result["photos"]["num_train"], result["photos"]["num_held_out"]) == (NUM_TRAIN, NUM_HELD_OUT)
    assert [each["name"] for each in result["contestants"]] == ["keras", "keras-cached", "classic", "residual"]
    for each in result["contestants"]:
        check_contestant(each)
    first = result["contestants"][0]
    # 32 > 30 > 15 > 13 > 6 > 4 > 2 pixels
    forward = 2 * (30**2 * 16 * 27 + 13**2 * 32 * 144 + 4**2 * 64 * 288 + 2 * 2 * 64 * 512 + 512)
    assert first["flops"] == 3 * forward * NUM_TRAIN * first["num_epochs"]
    assert all(each["title"] in train.format_training(result) for each in result["contestants"])


def known_peaks(_: object) -> dict[str, float]:
    return PEAKS


def check_contestant(each) -> None:
    assert set(each["seconds_to"]) == {"0.69", "0.83"}
    curve = each["curve"]
    assert len(curve) == each["num_epochs"] >= 1
    # ConvLens trains on full batches only: 16 of 22 photos in batches of 8.
    per_epoch = 16 if each["name"] == "residual" else NUM_TRAIN
    assert [point["num_photos"] for point in curve] == [per_epoch * (epoch + 1) for epoch in range(len(curve))]
    times = [point["seconds"] for point in curve]
    assert times == sorted(times)
    assert min(times[0], each["step_seconds"], each["memory_megabytes"]) > 0
    assert each["photos_per_second"] == pytest.approx(curve[-1]["num_photos"] / each["step_seconds"])
    assert each["accuracy_low"] <= each["accuracy"] == curve[-1]["accuracy"] <= each["accuracy_high"]
    speed = each["flops"] / each["step_seconds"]
    assert each["share_of_peak"] == pytest.approx(speed / PEAKS[each["precision"]])


@pytest.mark.parametrize(("target", "seconds"), [(0.5, 10.0), (0.69, 20.0), (0.7, 20.0), (0.84, None)])
def test_time_to_accuracy_is_the_end_of_the_first_epoch_there(target, seconds) -> None:
    assert train.time_to_accuracy(POINTS, target) == seconds
    assert train.time_to_accuracy([], target) is None


def test_evaluation_is_off_the_clock_and_no_epoch_is_begun_that_would_end_late(monkeypatch) -> None:
    now = [100.0]
    monkeypatch.setattr(train.time, "perf_counter", lambda: now[0])
    curve, spent = train.Curve("", 8.0), []
    for seconds, untimed in ((54, 50), (2, 0), (11, 9.5)):
        now[0] += seconds
        spent.append(curve.add(10, 0.5, untimed=untimed))
    assert [(point["seconds"], point["num_photos"]) for point in curve.points] == [(4, 10), (6, 20), (7.5, 30)]
    assert spent == [False, False, True]


def test_operations_are_those_counted_by_hand() -> None:
    inside = keras.Sequential(  # for any size, inside another one, as pretrained networks come
        [keras.Input((None, None, 3)), layers.Conv2D(8, 3, strides=2, padding="same"), layers.GlobalMaxPooling2D()]
    )
    pictures = keras.Input((16, 16, 3))
    assert train.count_flops(keras.Model(pictures, layers.Dense(5)(inside(pictures))), 16) == 2 * (64 * 8 * 27 + 8 * 5)
    params = load_params().model.model_copy(update={"architecture": "residual"})
    small, large = (train.count_flops(build_body(params, num_classes=2, image_size=None), size) for size in (64, 128))
    assert 3.9 < large / small < 4.0  # the dense layer does not grow with the picture


def test_both_sides_train_the_same_network() -> None:
    params = load_params().model.model_copy(update={"architecture": "classic", "classic": train.LECTURE_NETWORK})
    ours = build_body(params, num_classes=2, image_size=150, dtype="mixed_bfloat16")
    theirs = train.build_lecture_network(150, 2)
    assert [weight.shape for weight in ours.weights] == [weight.shape for weight in theirs.weights]
    assert train.count_flops(ours, 150) == train.count_flops(theirs, 150)


def test_the_peak_is_measured_in_both_precisions(small_params) -> None:
    peaks = train.measure_peaks(small_params(), sizes=(16, 32), num_trials=1)
    assert sorted(peaks) == ["bfloat16", "float32"]
    assert min(peaks.values()) > 0


def test_the_table() -> None:
    row = {"title": "Keras", "precision": "float32", "ready_seconds": 0.84, "photos_per_second": 100.0}
    row |= {"seconds": 296.4, "seconds_to": {"0.69": 120.0, "0.83": None}, "num_epochs": 21, "memory_megabytes": 1240.4}
    row |= {"accuracy": 0.705, "accuracy_low": 0.667, "accuracy_high": 0.74, "share_of_peak": 0.234}
    ours = {**row, "title": "ConvLens", "precision": "bfloat16", "photos_per_second": 312.0, "num_epochs": 1}
    photos = {"classes": ["cats", "dogs"], "num_train": 1400, "num_held_out": 600}
    result = {
        "minutes": 5.0,
        "machine": {**MACHINE, "peak_flops_per_second": {"float32": 187e9, "bfloat16": 358e9}},
        "photos": photos,
        "contestants": [row, {**ours, "seconds_to": {"0.69": 8.25, "0.83": 96.0}}],
    }
    head, table, notes = train.format_training(result).replace("\u00a0", " ").split("\n\n")
    assert head == (
        "Training for 5 min each. 1,400 + 600 held-out photos of 2 classes.\n"
        "2 cores (Linux x86_64, avx2); keras 3.15.1.\nMeasured peak in GFLOP/s: float32 187, bfloat16 358."
    )
    cells = [[cell.strip() for cell in line.split("|")[2:-1]] for line in table.splitlines()]
    assert [*cells[:1], *cells[2:]] == [
        ["Keras", "ConvLens"],
        ["float32", "bfloat16"],
        ["0.8 s", "0.8 s"],
        ["100", "312 (3.1x)"],
        ["120 s", "8.2 s (14.5x)"],
        ["not reached", "96 s"],
        ["70.5 % (66.7 to 74.0)"] * 2,
        ["296 s, 21 epochs", "296 s, 1 epoch"],
        ["1,240 MB"] * 2,
        ["23 %"] * 2,
    ]
    assert notes.startswith("(2.0x): twice as fast as Keras.\n")
