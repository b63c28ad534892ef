import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from click.testing import CliRunner

from convlens.bench.commands import bench
from convlens.bench.duplicates_bench import COPIES, bench_duplicates, format_duplicates, paint_thumbnails
from convlens.params import load_params

PARAMS = load_params(Path(__file__).parents[2] / "params.yaml").preprocess


def test_synthetic_photos_do_not_depend_on_their_number() -> None:
    many = paint_thumbnails(2100)
    assert many.shape == (2100, 32, 32)
    np.testing.assert_array_equal(paint_thumbnails(2000), many[:2000])


def call(function: Callable[[int], Any], count: int) -> Any:
    return function(count)


def test_the_crops_are_found_and_nothing_else() -> None:
    result = bench_duplicates([400, 1000], PARAMS, call=call)
    assert [row["photos"] for row in result["rows"]] == [400, 1000]
    assert all(row["found"] > 0.9 and row["wrong"] == 0 and row["memory_megabytes"] > 10 for row in result["rows"])
    assert isinstance(result["exponent"], float)
    assert bench_duplicates([2 * COPIES], PARAMS, call=call)["exponent"] is None


def test_the_table() -> None:
    rows = [
        {"photos": 1000, "seconds": 0.125, "cpu_seconds": 0.1, "memory_megabytes": 160.4, "found": 1.0, "wrong": 0},
        {"photos": 25_000, "seconds": 3.5, "cpu_seconds": 3.25, "memory_megabytes": 1300.0, "found": 0.995, "wrong": 2},
    ]
    assert format_duplicates({"rows": rows, "exponent": 1.04}) == (
        "photos  search  processor time  peak memory  crops found  wrongly grouped\n"
        "1,000   0.12 s          0.10 s       160 MB       100.0%                0\n"
        "25,000  3.50 s          3.25 s     1,300 MB        99.5%                2\n\n"
        "Processor time grows with the number of photos to the power of 1.04."
    )
    assert "power" not in format_duplicates({"rows": rows[:1], "exponent": None})


def test_the_command(tmp_path: Path) -> None:
    target = tmp_path / "result.json"
    answer = CliRunner().invoke(bench, ["duplicates", "--count", "100", "--markdown", "--json", str(target)])
    assert answer.exit_code == 0, answer.output
    assert answer.output.startswith("| photos | ")
    assert [row["photos"] for row in json.loads(target.read_text(encoding="utf-8"))["rows"]] == [100]
