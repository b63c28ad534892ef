"""What the folds of `convlens bench folds` say together, as plain values and as text."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import log_softmax

from convlens.bench.fold_training import FoldResult, FoldTask
from convlens.bench.machine import Machine
from convlens.bench.tables import format_table
from convlens.metrics.calibration import fit_temperature
from convlens.metrics.intervals import wilson_interval
from convlens.wording import show_share

NOTE = (
    "Each photo is answered by the network that did not learn from it; Wilson's 95 % interval.\n"
    "Log loss with the temperature that the answers to the other folds call for, where there are any."
)


def judge_folds(tasks: Sequence[FoldTask], results: Sequence[FoldResult]) -> dict[str, Any]:
    """Accuracy, log losses and costs, of each fold and of all that were run."""
    labels = [task.labels[task.assigned == task.number] for task in tasks]
    rows = [
        {**_judge(result.logits, truth, _others(results, labels, place)), "fold": task.number + 1, **result.facts}
        for place, (task, result, truth) in enumerate(zip(tasks, results, labels, strict=True))
    ]
    weights = np.array([row["num_photos"] for row in rows])
    total = int(weights.sum())
    right = sum(row["num_right"] for row in rows)
    low, high = wilson_interval(right, total)
    losses = {name: _mean([row[name] for row in rows], weights) for name in ("log_loss", "log_loss_untempered")}
    return {
        "num_asked": total,
        "accuracy": right / total,
        "accuracy_low": low,
        "accuracy_high": high,
        **losses,
        "folds": rows,
    }


def _judge(logits: np.ndarray, labels: np.ndarray, others: tuple[np.ndarray, np.ndarray] | None) -> dict[str, Any]:
    right = int((logits.argmax(axis=1) == labels).sum())
    temperature = None if others is None else fit_temperature(*others).value
    return {
        "num_photos": len(labels),
        "num_right": right,
        "accuracy": right / len(labels),
        "log_loss_untempered": _log_loss(logits, labels),
        "log_loss": None if temperature is None else _log_loss(logits / temperature, labels),
        "temperature": temperature,
    }


def _log_loss(logits: np.ndarray, labels: np.ndarray) -> float:
    return float(-log_softmax(logits, axis=1)[np.arange(len(labels)), labels].mean())


def _others(
    results: Sequence[FoldResult], labels: Sequence[np.ndarray], place: int
) -> tuple[np.ndarray, np.ndarray] | None:
    """Logits and labels of all folds but one; None if there is no other."""
    rest = [number for number in range(len(results)) if number != place]
    if not rest:
        return None
    return np.concatenate([results[number].logits for number in rest]), np.concatenate([labels[n] for n in rest])


def _mean(values: Sequence[float | None], weights: np.ndarray) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.average(known, weights=weights)) if len(known) == len(values) else None


def format_folds(result: dict[str, Any], *, markdown: bool = False) -> str:
    """All that a person reads of `bench folds`."""
    head = ["fold", "learnt", "asked", "right", "log loss", "epochs", "training", "processor time", "peak memory"]
    rows = [head, *(_row(fold) for fold in result["folds"])]
    photos, machine = result["photos"], result["machine"]
    known = Machine(machine["num_cores"], machine["system"], tuple(machine["features"]), machine["packages"])
    low, high = (f"{100 * result[name]:.1f}" for name in ("accuracy_low", "accuracy_high"))
    loss = "" if result["log_loss"] is None else f", log loss {result['log_loss']:.3f}"
    title = (
        f"{photos['num_photos']:,} photos of {len(photos['classes'])} classes in {result['count']} folds, "
        f"{result['jobs']} at a time.\n{known.heading}."
    )
    found = f"{show_share(result['accuracy'])} ({low} to {high}) of {result['num_asked']:,} photos right{loss}."
    return "\n\n".join([title, format_table(rows, markdown=markdown), f"{found}\n{NOTE}"])


def _row(fold: dict[str, Any]) -> list[str]:
    loss = fold["log_loss"] if fold["log_loss"] is not None else fold["log_loss_untempered"]
    return [
        str(fold["fold"]),
        f"{fold['num_learnt']:,}",
        f"{fold['num_photos']:,}",
        show_share(fold["accuracy"]),
        f"{loss:.3f}",
        f"{fold['epochs']}",
        f"{fold['seconds']:,.0f} s",
        "–" if fold["cpu_seconds"] is None else f"{fold['cpu_seconds']:,.0f} s",
        f"{fold['memory_megabytes']:,.0f} MB",
    ]
