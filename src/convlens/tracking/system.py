"""How busy the machine is while it trains, under the names that MLflow's page of system metrics looks for.

MLflow's own thread for this waits for its server without end when a run ends; here only its gauges are used.
"""

import os
import time
from collections.abc import Iterable

from mlflow.system_metrics.metrics.base_metrics_monitor import BaseMetricsMonitor
from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor
from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor

PREFIX = "system/"
SWITCH = "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING"
INTERVAL = "MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL"
SECONDS = 10.0
DIGITS = 3
GAUGES = (CPUMonitor, DiskMonitor, NetworkMonitor, GPUMonitor)


class SystemSampler:
    """Takes samples of processor, memory, disk, network and, with `nvidia-ml-py` installed, GPU.

    Args:
        step: of the first sample; a run that is resumed goes on counting.
        gauges: classes of gauges; one that does not work on this machine is left out.
    """

    def __init__(self, step: int = 0, gauges: Iterable[type[BaseMetricsMonitor]] = GAUGES) -> None:
        self.step = step
        self._gauges = [gauge for gauge in map(_start, gauges if _is_wanted() else ()) if gauge is not None]
        self._seconds = _interval()
        self._next = time.monotonic()

    @property
    def seconds_left(self) -> float | None:
        """Until the next sample is due; None if there will be none."""
        return max(0.0, self._next - time.monotonic()) if self._gauges else None

    def sample(self) -> dict[str, float]:
        """The present values by their MLflow names, with units; the next sample is due one interval later."""
        self._next = time.monotonic() + self._seconds
        self.step += 1
        values: dict[str, float] = {}
        for gauge in self._gauges:
            values |= _read(gauge)
        return {f"{PREFIX}{name}": round(float(value), DIGITS) for name, value in values.items()}


def next_step(steps: Iterable[tuple[str, set[int]]]) -> int:
    """The step after the last sample of a run, from the steps of its metrics by name."""
    return max((max(found) + 1 for name, found in steps if name.startswith(PREFIX) and found), default=0)


def _is_wanted() -> bool:
    return os.environ.get(SWITCH, "true").strip().lower() not in ("false", "0")


def _interval() -> float:
    try:
        return max(1.0, float(os.environ.get(INTERVAL, "")))
    except ValueError:
        return SECONDS


def _start(gauge: type[BaseMetricsMonitor]) -> BaseMetricsMonitor | None:
    """A gauge after its first reading, from which the next one counts; None where there is nothing to read."""
    try:
        started = gauge()
        _read(started)
    except Exception:  # each has failures of its own: no GPU, no network, no permission
        return None
    return started


def _read(gauge: BaseMetricsMonitor) -> dict[str, float]:
    try:
        gauge.collect_metrics()
        values: dict[str, float] = gauge.aggregate_metrics()
    except Exception:  # a figure about the machine is worth no failure
        return {}
    gauge.clear_metrics()
    return values
