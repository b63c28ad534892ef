import numpy as np
import pytest
from pandas.testing import assert_frame_equal
from robustness_inputs import PARAMS, by_mean, by_one_pixel, make_results

import convlens.metrics.robustness as module
from convlens.errors import ConvLensError
from convlens.metrics.intervals import wilson_interval
from convlens.metrics.robustness import BASELINE, MODEL, EvaluatedNetwork, Robustness, share_of_photos

KINDS = ("shift", "rotation", "scale", "brightness", "contrast", "blur", "noise", "jpeg", "occlusion")
FEW = PARAMS.model_copy(update={**dict.fromkeys(KINDS, ()), "shift": (1, 3), "noise": (0.1,)})
IMAGES = np.random.default_rng(0).integers(0, 256, (30, 16, 16, 3), dtype=np.uint8)
LABELS = np.arange(30) % 2


def always(photos: np.ndarray) -> np.ndarray:
    return np.zeros(len(photos), np.int64)


def test_an_interval_counts_photos_not_variants():
    hits = np.array([[True, True, False, True, True]])
    once, often = share_of_photos(hits, "x"), share_of_photos(np.repeat(hits, 8, axis=0), "x")
    low, high = wilson_interval(4, 5)
    assert once == often == pytest.approx({"x": 0.8, "x_low": low, "x_high": high})


def test_intervals_hold_the_truth_as_often_as_they_say():
    """Photos with a sensitivity of their own, eight directions each."""
    generator = np.random.default_rng(0)
    held = []
    for _ in range(400):
        sensitivity = generator.beta(4.5, 0.5, 60)
        found = share_of_photos(generator.random((8, 60)) < sensitivity, "x")
        held.append(found["x_low"] <= 0.9 <= found["x_high"])
    assert np.mean(held) >= 0.94


def test_a_constant_predictor_is_perfectly_consistent_and_one_by_the_mean_nearly():
    found = make_results(FEW, ours=by_mean, dense=always)
    constant = found.curves[found.curves["network"] == BASELINE]
    assert (constant["consistency"] == 1).all()
    assert (constant["accuracy"] == 0.5).all()
    shifted = found.curves[(found.curves["network"] == MODEL) & (found.curves["perturbation"] == "shift")]
    assert (shifted["consistency"] == 1).all()  # the mean hardly moves
    metrics = found.metrics
    assert metrics["model_accuracy"] == metrics["model_flip_consistency"] == metrics["model_places_agreement"] == 1
    assert (metrics["num_photos"], metrics["model_num_parameters"]) == (20, 1234)


def test_consistency_counts_what_stays_and_accuracy_what_is_true():
    """By one pixel a shifted photo is predicted as that pixel's neighbor says."""
    found = Robustness.measure({MODEL: EvaluatedNetwork(7, by_one_pixel)}, IMAGES, LABELS, FEW, rows=np.arange(30))
    before = by_one_pixel(IMAGES)
    for pixels in (1, 3):
        ways = [(-1, 0), (0, 1), (1, 0), (0, -1)]
        moved = [by_one_pixel(np.roll(IMAGES, (pixels * down, pixels * across), axis=(1, 2))) for down, across in ways]
        row = found.curves[(found.curves["perturbation"] == "shift") & (found.curves["strength"] == pixels)]
        assert row["consistency"].item() == pytest.approx(np.mean([each == before for each in moved]))
        assert row["accuracy"].item() == pytest.approx(np.mean([each == LABELS for each in moved]))
        assert row["num_variants"].item() == 4
        assert row["consistency_low"].item() < row["consistency"].item() < row["consistency_high"].item()


def test_photos_perturbed_a_few_at_a_time_give_the_same(monkeypatch):
    networks, rows = {MODEL: EvaluatedNetwork(7, by_one_pixel)}, np.array([2, 3, 11, 12, 29])
    whole = Robustness.measure(networks, IMAGES, LABELS, FEW, rows=rows)
    monkeypatch.setattr(module, "CHUNK_BYTES", 2 * IMAGES[0].nbytes)
    parts = Robustness.measure(networks, IMAGES, LABELS, FEW, rows=rows)
    assert whole.metrics == parts.metrics
    assert_frame_equal(whole.curves, parts.curves)
    assert whole.metrics["num_photos"] == 5


def test_what_is_saved_is_loaded_and_names_stay_text(tmp_path):
    found = make_results(FEW)
    found.save(tmp_path, {"curves.png": b"picture"})
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")) == [
        "curves.csv", "metrics.json", "places.csv", "plots/curves.png"]  # fmt: skip
    loaded = Robustness.load(tmp_path)
    assert loaded.metrics == found.metrics
    assert_frame_equal(loaded.curves, found.curves, check_dtype=False)
    assert_frame_equal(loaded.places, found.places, check_dtype=False)
    assert set(loaded.curves["perturbation"]) >= {"none", "shift"}  # `none` is no missing value
    (tmp_path / "places.csv").unlink()
    with pytest.raises(ConvLensError, match=r"places\.csv"):
        Robustness.load(tmp_path)


def test_tables_and_metrics_tell_everything():
    found = make_results()
    ends = [f"{name}{end}" for name in ("accuracy", "consistency") for end in ("", "_low", "_high")]
    assert list(found.curves.columns) == ["network", "perturbation", "strength", "num_photos", "num_variants", *ends]
    wanted = ["none", *(name for name in KINDS for _ in getattr(PARAMS, name)), "flip", "gray"]
    assert list(found.curves["perturbation"]) == wanted * 2
    assert list(zip(found.places["row"], found.places["column"], strict=True)) == [
        (row, column) for row in range(3) for column in range(3)] * 2  # fmt: skip
    assert list(found.places.columns) == ["network", "row", "column", "accuracy", "accuracy_low", "accuracy_high"]
    names = ["accuracy", "places_accuracy", "places_agreement"]
    names += [f"{kind}_{what}" for kind in (*KINDS, "flip", "gray") for what in ("accuracy", "consistency")]
    expected = {f"{network}_{name}{end}" for network in (MODEL, BASELINE) for name in names
                for end in ("", "_low", "_high")}  # fmt: skip
    assert set(found.metrics) == expected | {f"{name}_num_parameters" for name in (MODEL, BASELINE)} | {"num_photos"}
