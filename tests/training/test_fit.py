from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_training import tiny_photos, tiny_recipe, train_tiny

from convlens.data.prepared import iterate_batches, order_photos
from convlens.params import TrainingSize, load_params
from convlens.training import fit as fitting
from convlens.training.checkpoints import Checkpoint, State
from convlens.training.fit import Budget, NotFiniteError, Plan, learning_rate_at, size_at


def test_it_learns_and_tells_of_every_epoch(tmp_path):
    result, told = train_tiny(tiny_recipe(epochs=6), tmp_path / "state")
    assert result.history[-1]["validation_accuracy"] > 0.9
    assert [report.values["epoch"] for report in told] == [1, 2, 3, 4, 5, 6]
    assert [report.values["image_size"] for report in told] == [32, 32, 32, 40, 40, 40]
    assert list(result.history[0]) == [
        *("epoch", "image_size", "learning_rate", "train_loss", "train_accuracy"),
        *("validation_loss", "validation_accuracy"),
    ]
    assert told[-1].seconds_left == 0
    assert all(row["photos_per_second"] > 0 and row["seconds"] > 0 for row in told[-1].timing)
    assert [row["epoch"] for row in told[-1].timing] == [1, 2, 3, 4, 5, 6]
    assert str(told[-1]).startswith("epoch   6/6  40 px  loss ")


@pytest.mark.parametrize(
    ("architecture", "optimizer", "keep", "cuts"),
    [("residual", "conv_muon", "best", (1, 3)), ("classic", "adam", "last", (2,))],
)
def test_a_run_that_was_interrupted_ends_bit_by_bit_the_same(tmp_path, architecture, optimizer, keep, cuts):
    this = tiny_recipe(architecture, optimizer=optimizer, learning_rate=0.01, keep=keep)
    whole, _ = train_tiny(this, tmp_path / "whole")
    for cut in cuts:
        folder = tmp_path / f"cut{cut}"
        with pytest.raises(KeyboardInterrupt):
            train_tiny(this, folder, stop_after=cut)
        resumed, told = train_tiny(this, folder)
        assert [report.values["epoch"] for report in told] == list(range(cut, 5))  # the last one was not saved
        assert [row["epoch"] for row in told[-1].timing] == [1, 2, 3, 4]
        assert_same(resumed, whole)


def assert_same(found, expected):
    assert found.history == expected.history
    for value, wanted in zip(found.body.get_weights(), expected.body.get_weights(), strict=True):
        assert (value == wanted).all()


@pytest.fixture(scope="module")
def limited(tmp_path_factory):
    """A training with a limit of time that it does not reach."""
    return train_tiny(tiny_recipe(max_minutes=1000.0), tmp_path_factory.mktemp("limited"))[0]


def test_the_seed_decides_and_measuring_the_time_leaves_no_trace(tmp_path, limited):
    free, _ = train_tiny(tiny_recipe(), tmp_path / "free")
    other, _ = train_tiny(tiny_recipe(seed=1), tmp_path / "other")
    assert_same(free, limited)
    assert free.history != other.history


def test_best_keeps_the_epoch_of_the_lowest_validation_loss(tmp_path):
    result, _ = train_tiny(
        tiny_recipe(keep="best", learning_rate=1.0, optimizer="sgd", schedule="constant"), tmp_path / "state"
    )
    losses = [row["validation_loss"] for row in result.history]
    assert result.best_epoch == 1 + int(np.argmin(losses))


def test_patience_stops_early(tmp_path):
    result, _ = train_tiny(tiny_recipe(epochs=50, patience=2, learning_rate=1e-9, optimizer="sgd"), tmp_path / "state")
    best = int(np.argmin([row["validation_loss"] for row in result.history]))
    assert len(result.history) == best + 1 + 2
    assert len(result.history) < 50


def test_a_loss_that_is_not_finite_stops(tmp_path):
    with pytest.raises(NotFiniteError, match=r"Expected a finite loss. Received: (nan|inf) in epoch \d+") as caught:
        train_tiny(tiny_recipe("classic", learning_rate=1e30, optimizer="sgd"), tmp_path / "state")
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
    monkeypatch.setattr(fitting, "measure_epochs", lambda *_, **__: {32: 0.5, 40: 1.0})
    this = tiny_recipe(epochs=None, max_minutes=0.2)
    result, told = train_tiny(this, tmp_path / "state")
    assert 9 < clock.now <= 12.25
    assert len(told) == told[-1].num_epochs > 4
    assert told[-1].seconds_left == 0
    assert result.history[-1]["learning_rate"] < 0.1 * this.train.learning_rate
    assert [row["image_size"] for row in result.history] == sorted(row["image_size"] for row in result.history)
    assert {row["image_size"] for row in result.history} == {32, 40}


def test_a_cut_training_keeps_its_plan_and_its_clock(tmp_path, limited):
    this = tiny_recipe(max_minutes=1000.0)
    with pytest.raises(KeyboardInterrupt):
        train_tiny(this, tmp_path / "cut", stop_after=3)
    state = Checkpoint(tmp_path / "cut").load()
    assert state.plan == (0.25, 0.5, 0.75, 1.0)
    assert state.seconds > 0
    assert set(state.costs) == {32, 40}
    assert_same(train_tiny(this, tmp_path / "cut")[0], limited)


def test_fewer_photos_than_a_batch(tmp_path):
    result, _ = train_tiny(tiny_recipe(epochs=1, batch_size=64), tmp_path / "state", train=tiny_photos(6))
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
    state = State(
        history=history,
        timing=[{"epoch": 1, "seconds": 2.5}],
        variables=variables,
        best=[np.ones((2, 2))],
        best_epoch=1,
        plan=(0.1, 0.55, 1.0),
        seconds=12.5,
        costs={64: 1.5, 96: 3.25},
    )
    checkpoint.save(state, list)
    again = checkpoint.load()
    assert (again.history, again.timing) == (state.history, state.timing)
    assert (again.best_epoch, again.plan, again.seconds) == (1, (0.1, 0.55, 1.0), 12.5)
    assert again.costs == {64: 1.5, 96: 3.25}
    assert [value.tolist() for value in again.variables] == [[1.5], 3]
    assert again.best[0].tolist() == [[1, 1], [1, 1]]
    checkpoint.remove()
    assert not (tmp_path / "key").exists()


# --- schedule and plan ---

SIZES = (TrainingSize(until=0.5, size=64), TrainingSize(until=0.85, size=96), TrainingSize(until=1.0, size=112))


def rates(num_steps=100, **changes):
    params = load_params().train.model_copy(update={"learning_rate": 2.0, "warmup_fraction": 0.2, **changes})
    return [learning_rate_at(step / num_steps, params) for step in range(num_steps + 1)]


def test_cosine_rises_then_falls_to_zero():
    found = rates(schedule="cosine")
    assert [found[step] for step in (0, 20, 60, 100)] == pytest.approx([0.1, 2.0, 1.0, 0.0])
    assert found[:21] == sorted(found[:21])
    assert found[20:] == sorted(found[20:], reverse=True)
    assert rates(warmup_fraction=0.0)[0] == pytest.approx(2.0)
    assert set(rates(schedule="constant")[20:]) == {2.0}


@pytest.mark.parametrize(("num_epochs", "expected"), [(20, [64] * 10 + [96] * 7 + [112] * 3), (1, [64]), (2, [64, 96])])
def test_sizes_grow_over_the_epochs(num_epochs, expected):
    assert [size_at(epoch / num_epochs, SIZES, 128) for epoch in range(num_epochs)] == expected
    assert size_at(0.5, (), 128) == 128


def test_a_changed_plan_keeps_the_past_and_reaches_the_end():
    plan = Plan.even(4)
    assert plan.ends == (0.25, 0.5, 0.75, 1.0)
    assert [plan.span(epoch) for epoch in range(4)] == [(0.0, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 1.0)]
    assert plan.change(1, 2).ends == (0.25, 0.625, 1.0)
    assert plan.change(3, 1).ends == plan.ends
    assert Plan.even(2).change(0, 3).ends == pytest.approx((1 / 3, 2 / 3, 1.0))


class Watch:
    """A clock that is set by hand."""

    now = 0.0

    def monotonic(self):
        return self.now


@pytest.fixture
def watch(monkeypatch):
    monkeypatch.setattr(fitting, "time", Watch())
    return fitting.time


def small_then_large(progress):
    return 64 if progress < 0.5 else 128


def budget(costs=None, *, state=None, **changes):
    """One minute, of which 59.4 s are planned for, and as many epochs as fit."""
    params = load_params().train.model_copy(update={"epochs": None, "max_minutes": 1.0, **changes})
    made = Budget(params, small_then_large, state=state)
    if costs:
        made.start(lambda: costs)
    return made


@pytest.mark.parametrize(("costs", "expected"), [((1.0, 3.0), 29), ((1.0, 1.0), 59), ((100.0, 1.0), 1)])
def test_as_many_epochs_as_fit(watch, costs, expected):
    plan = budget({64: costs[0], 128: costs[1]}).plan
    assert plan.num_epochs == expected
    assert plan.ends[-1] == 1.0
    assert all(earlier < later for earlier, later in pairwise((0.0, *plan.ends)))


@given(st.floats(0.1, 30), st.floats(0.1, 30))
def test_a_plan_fits_and_one_epoch_more_would_not(small, large):
    made = budget({64: small, 128: large})
    assert made.seconds_left(0) <= 59.4 or made.plan.num_epochs == 1
    assert made.seconds_left(0, made.plan.change(0, made.plan.num_epochs + 1)) > 59.3


def test_epochs_and_minutes_together_are_both_limits(watch):
    assert budget({64: 1.0, 128: 3.0}, epochs=5).plan.num_epochs == 5
    assert budget({64: 20.0, 128: 30.0}, epochs=5).plan.num_epochs == 2


def test_a_slower_machine_gets_fewer_epochs_and_still_the_whole_schedule(watch):
    limited = budget({64: 1.0, 128: 3.0})
    first = limited.plan
    for num_done in range(1, 7):
        watch.now += 2.0
        limited.end_epoch(num_done, 64)
    assert limited.costs == {64: pytest.approx(2.0, abs=0.02), 128: pytest.approx(6.0, abs=0.06)}
    assert limited.plan.num_epochs < first.num_epochs
    assert limited.plan.ends[0] == first.ends[0]
    assert limited.plan.ends[-1] == 1.0
    assert limited.seconds_left(6) <= 59.4 - 12.0


def test_a_small_deviation_changes_nothing(watch):
    limited = budget({64: 1.0, 128: 3.0})
    first = limited.plan
    for num_done in range(1, first.num_epochs + 1):
        watch.now += limited.costs[small_then_large(first.span(num_done - 1)[0])] * 1.001
        limited.end_epoch(num_done, small_then_large(first.span(num_done - 1)[0]))
    assert limited.plan == first


def test_unknown_sizes_cost_by_their_pixels(watch):
    free = budget(max_minutes=None, epochs=4)
    watch.now += 2.0
    free.end_epoch(1, 64)
    assert free.seconds_left(1) == 2.0 + 2 * 8.0
    watch.now += 4.0
    free.end_epoch(2, 128)  # expected 8: half of the surprise is believed
    assert free.costs == {64: 1.5, 128: 4.0}


def test_a_resumed_training_remembers_time_and_costs(watch):
    again = budget(state=State(plan=(0.5, 1.0), seconds=17.5, costs={64: 1.0}))
    assert (again.spent(), again.costs, again.plan.ends) == (17.5, {64: 1.0}, (0.5, 1.0))
