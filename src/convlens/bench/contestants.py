"""The contestants by name. Light to import: what a contestant needs is loaded in its own process."""

from collections.abc import Callable

from convlens.bench.curves import Training
from convlens.bench.training_task import TrainingTask
from convlens.environment import hold_stderr
from convlens.params import Params


def measure_peaks(params: Params) -> dict[str, float]:
    """The machine's peak by precision, with the threads that training may use."""
    with hold_stderr():
        from convlens.bench import peak
        from convlens.training.runtime import prepare_runtime

    prepare_runtime(params.train)
    return peak.measure_peaks()


def train_keras(task: TrainingTask) -> Training:
    """The lecture's code: photos decoded anew in every epoch."""
    with hold_stderr():
        from convlens.bench.keras_training import train

    return train(task, cached=False)


def train_keras_cached(task: TrainingTask) -> Training:
    """The lecture's code with `.cache().prefetch()`: photos decoded once, all kept in memory as float32."""
    with hold_stderr():
        from convlens.bench.keras_training import train

    return train(task, cached=True)


def train_classic(task: TrainingTask) -> Training:
    """ConvLens with the lecture's network and recipe."""
    with hold_stderr():
        from convlens.bench.convlens_training import train_classic

    return train_classic(task)


def train_residual(task: TrainingTask) -> Training:
    """ConvLens with its own network and recipe, those of params.yaml."""
    with hold_stderr():
        from convlens.bench.convlens_training import train_residual

    return train_residual(task)


CONTESTANTS: dict[str, Callable[[TrainingTask], Training]] = {
    "keras": train_keras,
    "keras-cached": train_keras_cached,
    "classic": train_classic,
    "residual": train_residual,
}
