from collections import defaultdict

import pytest
from mlflow.system_metrics.metrics.base_metrics_monitor import BaseMetricsMonitor

from convlens.tracking.environment import INTERVAL, SWITCH, SystemSampler, next_step


class Steady(BaseMetricsMonitor):
    """Reads 1, 2, 3 … and forgets what it was asked for."""

    count = 0

    def collect_metrics(self) -> None:
        type(self).count += 1
        self._metrics["gauge_megabytes"].append(self.count + 1 / 3)

    def aggregate_metrics(self) -> dict[str, float]:
        return {name: sum(values) / len(values) for name, values in self._metrics.items()}


class Absent(Steady):
    def __init__(self) -> None:
        raise ImportError("no such device")


class Forbidden(Steady):
    def collect_metrics(self) -> None:
        raise PermissionError


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Steady, "count", 0)
    for name in (SWITCH, INTERVAL):
        monkeypatch.delenv(name, raising=False)


def test_samples_are_named_for_mlflow_and_counted() -> None:
    sampler = SystemSampler(5, [Steady, Absent])
    assert sampler.seconds_left == 0
    assert (sampler.sample(), sampler.step) == ({"system/gauge_megabytes": 2.333}, 6)
    assert sampler.sample() == {"system/gauge_megabytes": 3.333}
    assert 0 < (sampler.seconds_left or 0) <= 10


def test_a_gauge_that_fails_later_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    sampler = SystemSampler(0, [Steady])
    monkeypatch.setattr(Steady, "collect_metrics", Forbidden.collect_metrics)
    assert sampler.sample() == {}


@pytest.mark.parametrize("gauges", [[], [Absent]])
def test_nothing_to_read_is_never_due(gauges: list[type[BaseMetricsMonitor]]) -> None:
    assert SystemSampler(0, gauges).seconds_left is None


def test_the_user_may_switch_it_off_and_choose_how_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(INTERVAL, "3600")
    sampler = SystemSampler(0, [Steady])
    sampler.sample()
    assert 3000 < (sampler.seconds_left or 0) <= 3600
    monkeypatch.setenv(SWITCH, "False")
    assert SystemSampler(0, [Steady]).seconds_left is None


def test_this_machine_has_a_processor_and_memory() -> None:
    assert {"system/cpu_utilization_percentage", "system/system_memory_usage_megabytes"} <= set(
        SystemSampler().sample()
    )


def test_a_resumed_run_goes_on_counting() -> None:
    steps = defaultdict(set, {"system/a": {0, 1, 4}, "curves/b": {9}, "system/c": set()})
    assert next_step(steps.items()) == 5
    assert next_step([("curves/b", {9})]) == 0
