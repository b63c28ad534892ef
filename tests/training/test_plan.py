from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convlens.params import TrainingSize, load_params
from convlens.training.checkpoints import State
from convlens.training.fit import Budget, Plan, fit_plan, seconds_of, size_at

SIZES = (TrainingSize(until=0.5, size=64), TrainingSize(until=1.0, size=128))


def one_second(progress):
    return 1.0


def half_is_slow(progress):
    return 1.0 if progress < 0.5 else 3.0


def size(progress):
    return size_at(progress, SIZES)


def budget(state=None, **changes):
    return Budget(load_params().train.model_copy(update={"epochs": None, "max_minutes": 1.0, **changes}), state)


def test_an_even_plan_is_the_epochs_counted():
    plan = Plan.even(4)
    assert plan.ends == (0.25, 0.5, 0.75, 1.0)
    assert [plan.span(epoch) for epoch in range(4)] == [(0.0, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 1.0)]


def test_a_changed_plan_keeps_the_past_and_reaches_the_end():
    assert Plan.even(4).change(1, 2).ends == (0.25, 0.625, 1.0)
    assert Plan.even(4).change(3, 1).ends == (0.25, 0.5, 0.75, 1.0)
    assert Plan.even(2).change(0, 3).ends == pytest.approx((1 / 3, 2 / 3, 1.0))


@pytest.mark.parametrize(
    ("seconds", "seconds_at", "expected"),
    [
        (10, one_second, 10),
        (10.99, one_second, 10),
        (0.1, one_second, 1),
        (20, half_is_slow, 10),
        (1000, one_second, 1000),
    ],
)
def test_as_many_epochs_as_fit(seconds, seconds_at, expected):
    plan = fit_plan(Plan.even(1), 0, seconds=seconds, seconds_at=seconds_at)
    assert plan.num_epochs == expected
    assert plan.ends[-1] == 1.0


@given(st.integers(1, 60), st.integers(0, 59), st.floats(0, 300))
def test_a_fitted_plan_fits_and_one_epoch_more_would_not(num_epochs, num_done, seconds):
    num_done = min(num_done, num_epochs - 1)
    plan = fit_plan(Plan.even(num_epochs), num_done, seconds=seconds, seconds_at=half_is_slow)
    left = plan.num_epochs - num_done
    assert plan.ends[:num_done] == Plan.even(num_epochs).ends[:num_done]
    assert all(earlier < later for earlier, later in pairwise(plan.ends))
    cost = seconds_of(plan, range(num_done, plan.num_epochs), half_is_slow)
    more = plan.change(num_done, left + 1)
    assert cost <= seconds or left == 1
    assert seconds_of(more, range(num_done, more.num_epochs), half_is_slow) > seconds


def test_the_first_plan_follows_the_measured_costs():
    limited = budget()
    limited.costs = {64: 1.0, 128: 3.0}
    assert limited.fit(Plan.even(1), 0, spent=0.0, size_at=size).num_epochs == 29  # 59.4 s are planned for
    assert limited.fit(Plan.even(1), 0, spent=30.0, size_at=size).num_epochs == 15  # 8 of 1 s, 7 of 3 s


def test_epochs_and_minutes_together_are_both_limits():
    limited = budget(epochs=5)
    limited.costs = {64: 1.0, 128: 3.0}
    assert limited.fit(Plan.even(1), 0, spent=0.0, size_at=size).num_epochs == 5
    assert limited.fit(Plan.even(1), 0, spent=51.0, size_at=size).num_epochs == 4


def test_a_slower_machine_gets_fewer_epochs_and_still_the_whole_schedule():
    limited = budget()
    limited.costs = {64: 1.0, 128: 3.0}
    plan = limited.fit(Plan.even(1), 0, spent=0.0, size_at=size)
    for _ in range(6):
        limited.learn(64, 2.0)
    assert limited.costs == {64: pytest.approx(2.0, abs=0.02), 128: pytest.approx(6.0, abs=0.06)}
    corrected = limited.correct(plan, 6, spent=12.0, size_at=size)
    assert corrected.num_epochs < plan.num_epochs
    assert corrected.ends[:6] == plan.ends[:6]
    assert corrected.ends[-1] == 1.0
    assert limited.seconds_left(corrected, 6, size) <= 59.4 - 12.0


def test_a_small_deviation_changes_nothing():
    limited = budget()
    limited.costs = {64: 1.0, 128: 3.0}
    plan = limited.fit(Plan.even(1), 0, spent=0.0, size_at=size)
    assert limited.correct(plan, 3, spent=3.5, size_at=size) == plan
    assert limited.correct(plan, plan.num_epochs, spent=80.0, size_at=size) == plan


def test_unknown_sizes_cost_by_their_pixels():
    free = budget(max_minutes=None, epochs=4)
    assert not free.is_limited
    free.learn(64, 2.0)
    assert free.seconds_left(Plan.even(4), 1, size) == 2.0 + 2 * 8.0
    free.learn(128, 4.0)  # expected 8: half of the surprise is believed
    assert free.costs == {64: 1.5, 128: 4.0}


def test_a_restart_remembers_time_and_costs():
    again = budget(State([], [], [], 0, (1.0,), 17.5, {64: 1.0}))
    assert again.spent_before == 17.5
    assert again.costs == {64: 1.0}
