import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from click.testing import CliRunner

import convlens.bench.position as module
from convlens.bench.commands import bench
from convlens.bench.position import (
    LEFT,
    RIGHT,
    TITLES,
    bench_position,
    format_position,
    paint_heads,
    put,
    train_and_ask,
)
from convlens.metrics.intervals import wilson_interval
from convlens.params import load_params

PARAMS = load_params(Path(__file__).parents[2] / "params.yaml")
COLUMNS = {f"accuracy_{part}{end}" for part in ("learnt", "left", "right") for end in ("", "_low", "_high")}


def test_heads_are_the_same_each_time_and_another_seed_gives_others() -> None:
    (first, labels), (again, _), (others, _) = paint_heads(6, 1), paint_heads(6, 1), paint_heads(6, 2)
    assert first.shape == (6, 32, 32, 3)
    assert labels.tolist() == [0, 0, 0, 1, 1, 1]
    np.testing.assert_array_equal(first, again)
    assert (first != others).any()


def test_left_and_right_show_the_same_pixels_at_another_place() -> None:
    heads = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    left, right = put(heads, LEFT), put(heads, RIGHT)
    np.testing.assert_array_equal(left[:, 16:48, :32], heads)
    np.testing.assert_array_equal(right[:, 16:48, 32:], heads)
    np.testing.assert_array_equal(np.roll(left, RIGHT - LEFT, axis=2), right)


def test_both_networks_train_and_answer(monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "TRAINING", {name: {**how, "epochs": 1} for name, how in module.TRAINING.items()})

    def call(function: Callable[[Any], Any], task: Any) -> Any:
        assert function is train_and_ask
        return function(task)

    result = bench_position(PARAMS, num_train=8, num_test=4, call=call)
    assert [row["name"] for row in result["rows"]] == list(TITLES)
    assert all(set(row) == {"name", "num_parameters"} | COLUMNS for row in result["rows"])
    assert result["rows"][1]["num_parameters"] == (64 * 64 * 3 + 1) * 128 + 129
    json.dumps(result)


def result() -> dict[str, Any]:
    low, high = wilson_interval(9, 10)
    row = {"num_parameters": 1234}
    for part in ("learnt", "left", "right"):
        row |= {f"accuracy_{part}": 0.9, f"accuracy_{part}_low": low, f"accuracy_{part}_high": high}
    return {"bench": "position", "num_train": 20, "num_test": 10, "rows": [{"name": name, **row} for name in TITLES]}


def test_the_table_says_parameters_and_accuracies_with_intervals() -> None:
    text = format_position(result(), markdown=True).replace("\N{NO-BREAK SPACE}", " ")
    assert "20 on the left to learn from; 10 others" in text
    assert text.count("1,234") == 2
    assert text.count("90.0 % (60 to 98)") == 6


def test_the_command_prints_and_writes(monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "bench_position", lambda params: result())
    monkeypatch.chdir(Path(__file__).parents[2])
    done = CliRunner().invoke(bench, ["position", "--json", str(tmp_path / "position.json")])
    assert done.exit_code == 0, done.output
    assert "fully connected (dense)" in done.output
    assert json.loads((tmp_path / "position.json").read_text()) == result()
