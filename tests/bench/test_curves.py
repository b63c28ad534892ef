import pytest

from convlens.bench import clock as clock_module
from convlens.bench.clock import Clock, is_spent
from convlens.bench.curves import Point, Training, time_to_accuracy

POINTS = (Point(10.0, 100, 0.5), Point(20.0, 200, 0.7), Point(30.0, 300, 0.68), Point(40.0, 400, 0.83))


@pytest.mark.parametrize(("target", "seconds"), [(0.5, 10.0), (0.69, 20.0), (0.7, 20.0), (0.83, 40.0), (0.84, None)])
def test_time_to_accuracy_is_the_end_of_the_first_epoch_there(target, seconds):
    assert time_to_accuracy(POINTS, target) == seconds


def test_nothing_is_reached_without_epochs():
    assert time_to_accuracy((), 0.0) is None


def test_speed_is_of_the_steps():
    training = Training("classic", "float32", 1.0, POINTS, 32.0, 6.4e9, 100.0)
    assert (training.photos_per_second, training.flops_per_second, training.accuracy) == (12.5, 2e8, 0.83)


@pytest.mark.parametrize(
    ("ends", "budget", "spent"),
    [([4.0], 8.0, False), ([4.0], 7.9, True), ([4.0, 6.0], 8.0, False), ([4.0, 6.0], 7.9, True), ([9.0], 1.0, True)],
)
def test_an_epoch_that_would_end_late_is_not_begun(ends, budget, spent):
    assert is_spent(ends, budget) is spent


def test_the_clock_counts_only_what_it_should(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(clock_module.time, "perf_counter", lambda: now[0])
    clock = Clock()
    now[0] += 5
    clock.pause()
    now[0] += 50
    clock.pause()
    assert clock.seconds == 5
    clock.resume()
    now[0] += 2
    clock.forget(3)
    assert clock.seconds == 4
