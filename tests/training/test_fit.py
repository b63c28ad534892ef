import json

import numpy as np
import pytest

from convlens.data.prepared import iterate_batches, order_photos
from convlens.params import ModelParams, TrainParams, load_params
from convlens.training.checkpoints import Checkpoint, State
from convlens.training.fit import NotFiniteError, Photos, Recipe, fit
from convlens.training.runtime import Runtime

CPU = Runtime("cpu", "float32", 0)


def photos(count=32, side=40, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    images = rng.integers(0, 128, (count, side, side, 3), dtype=np.uint8)
    images[labels == 1, :, :, 0] += 100
    return Photos(images, labels)


def recipe(architecture="residual", **changes):
    params = load_params()
    values = params.model.model_dump(mode="json")
    values["architecture"] = architecture
    values["residual"] |= {"width": 4}
    values["residual"]["training_sizes"] = [{"until": 0.5, "size": 32}, {"until": 1.0, "size": 40}]
    values["classic"] |= {"num_blocks": 1, "filters": 4, "dense_units": 4, "dropout": 0.3}
    train = {**params.train.model_dump(mode="json"), "epochs": 4, "batch_size": 8, **changes}
    return Recipe(
        ModelParams.model_validate_json(json.dumps(values)),
        params.augment,
        TrainParams.model_validate_json(json.dumps(train)),
        2,
    )


def run(recipe, folder, *, stop_after=None, train=None):
    told = []

    def on_epoch(report):
        told.append(report)
        if stop_after and len(told) >= stop_after:
            raise KeyboardInterrupt

    result = fit(
        recipe,
        train or photos(),
        validation=photos(16, seed=1),
        runtime=CPU,
        checkpoint=Checkpoint(folder),
        on_epoch=on_epoch,
    )
    return result, told


def test_it_learns_and_tells_of_every_epoch(tmp_path):
    result, told = run(recipe(epochs=6), tmp_path / "state")
    assert result.history[-1]["validation_accuracy"] > 0.9
    assert [report.values["epoch"] for report in told] == [1, 2, 3, 4, 5, 6]
    assert [report.values["image_size"] for report in told] == [32, 32, 32, 40, 40, 40]
    assert list(result.history[0]) == [
        *("epoch", "image_size", "learning_rate", "train_loss", "train_accuracy"),
        *("validation_loss", "validation_accuracy"),
    ]
    assert told[-1].seconds_left == 0
    assert all(report.photos_per_second > 0 for report in told)


@pytest.mark.parametrize(
    ("architecture", "optimizer", "keep"), [("residual", "conv_muon", "best"), ("classic", "adam", "last")]
)
def test_a_run_that_was_cut_off_ends_bit_by_bit_the_same(tmp_path, architecture, optimizer, keep):
    this = recipe(architecture, optimizer=optimizer, learning_rate=0.01, keep=keep)
    whole, _ = run(this, tmp_path / "whole")
    for cut in (1, 3):
        folder = tmp_path / f"cut{cut}"
        with pytest.raises(KeyboardInterrupt):
            run(this, folder, stop_after=cut)
        resumed, told = run(this, folder)
        assert [report.values["epoch"] for report in told] == list(range(cut, 5))  # the last one was not saved
        assert resumed.history == whole.history
        for found, expected in zip(resumed.body.get_weights(), whole.body.get_weights(), strict=True):
            assert (found == expected).all()


def test_the_seed_decides(tmp_path):
    first, _ = run(recipe(), tmp_path / "a")
    again, _ = run(recipe(), tmp_path / "b")
    other, _ = run(recipe(seed=1), tmp_path / "c")
    assert first.history == again.history
    assert first.history != other.history


def test_best_keeps_the_epoch_of_the_lowest_validation_loss(tmp_path):
    result, _ = run(recipe(keep="best", learning_rate=1.0, optimizer="sgd", schedule="constant"), tmp_path / "state")
    losses = [row["validation_loss"] for row in result.history]
    assert result.best_epoch == 1 + int(np.argmin(losses))


def test_patience_stops_early(tmp_path):
    result, _ = run(recipe(epochs=50, patience=2, learning_rate=1e-9, optimizer="sgd"), tmp_path / "state")
    best = int(np.argmin([row["validation_loss"] for row in result.history]))
    assert len(result.history) == best + 1 + 2
    assert len(result.history) < 50


def test_a_loss_that_is_not_finite_stops(tmp_path):
    with pytest.raises(NotFiniteError, match=r"Expected a finite loss. Received: (nan|inf) in epoch \d+") as caught:
        run(recipe("classic", learning_rate=1e30, optimizer="sgd"), tmp_path / "state")
    assert len(caught.value.rows) == 8
    assert set(caught.value.rows) <= set(range(32))


class Clock:
    """Time that passes by a quarter of a second whenever it is looked at."""

    now = 0.0

    def monotonic(self):
        self.now += 0.25
        return self.now


def test_a_time_is_kept_with_a_whole_schedule(tmp_path, monkeypatch):
    clock = Clock()
    monkeypatch.setattr("convlens.training.fit.time", clock)
    monkeypatch.setattr("convlens.training.fit.Epochs.measure", lambda _: {32: 0.5, 40: 1.0})
    this = recipe(epochs=None, max_minutes=0.2)
    result, told = run(this, tmp_path / "state")
    assert 9 < clock.now <= 12.25
    assert len(told) == told[-1].num_epochs > 4
    assert told[-1].seconds_left == 0
    assert result.history[-1]["learning_rate"] < 0.1 * this.train.learning_rate
    assert [row["image_size"] for row in result.history] == sorted(row["image_size"] for row in result.history)
    assert {row["image_size"] for row in result.history} == {32, 40}


def test_a_cut_training_keeps_its_plan_and_its_clock(tmp_path):
    this = recipe(epochs=5, max_minutes=1000.0)
    whole, _ = run(this, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(this, tmp_path / "cut", stop_after=3)
    state = Checkpoint(tmp_path / "cut").load()
    assert state.plan == (0.2, 0.4, 0.6, 0.8, 1.0)
    assert state.seconds > 0
    assert set(state.costs) == {32, 40}
    resumed, _ = run(this, tmp_path / "cut")
    assert resumed.history == whole.history
    for found, expected in zip(resumed.body.get_weights(), whole.body.get_weights(), strict=True):
        assert (found == expected).all()


def test_measuring_the_time_leaves_no_trace(tmp_path):
    free, _ = run(recipe(epochs=2), tmp_path / "free")
    limited, _ = run(recipe(epochs=2, max_minutes=1000.0), tmp_path / "limited")
    assert free.history == limited.history


def test_fewer_photos_than_a_batch(tmp_path):
    result, _ = run(recipe(epochs=1, batch_size=64), tmp_path / "state", train=photos(6))
    assert len(result.history) == 1


def test_every_photo_is_in_the_order_once():
    orders = [order_photos(20, seed=3, epoch=epoch) for epoch in range(3)]
    assert all(sorted(order) == list(range(20)) for order in orders)
    assert not (orders[0] == orders[1]).all()


def test_batches_follow_the_order():
    images, labels = np.arange(10), np.arange(10) % 2
    batches = iterate_batches(
        images,
        labels,
        batch_size=4,
        order=np.arange(10)[::-1],
        prepare=lambda number, photos, answers: (number, list(photos), list(answers)),
    )
    assert list(batches) == [(0, [9, 8, 7, 6], [1, 0, 1, 0]), (1, [5, 4, 3, 2], [1, 0, 1, 0])]


def test_a_checkpoint_comes_back_as_it_was(tmp_path):
    checkpoint = Checkpoint(tmp_path / "key")
    assert checkpoint.load() is None
    history = [{"epoch": 1, "train_loss": 0.1}]
    variables = [np.float32([1.5]), np.int64(3)]
    state = State(history, variables, [np.ones((2, 2))], 1, (0.1, 0.55, 1.0), 12.5, {64: 1.5, 96: 3.25})
    checkpoint.save(state)
    again = checkpoint.load()
    assert again.history == state.history
    assert (again.best_epoch, again.plan, again.seconds) == (1, (0.1, 0.55, 1.0), 12.5)
    assert again.costs == {64: 1.5, 96: 3.25}
    assert [value.tolist() for value in again.variables] == [[1.5], 3]
    assert again.best[0].tolist() == [[1, 1], [1, 1]]
    checkpoint.remove()
    assert not (tmp_path / "key").exists()
