"""`benchmarks/data.py` on a handful of tiny photos, and its table from plain values."""

import json
import subprocess
import sys

import pytest
from photo_files import ROOT

import data

MACHINE = {"num_cores": 2, "system": "Linux x86_64", "features": ["avx2"], "packages": {"keras": "3.15.1"}}


@pytest.mark.usefixtures("one_process")
def test_reading_side_by_side(folder, small_params) -> None:
    result = data.compare_reading(folder, small_params(), repeats=2, num_synthetic=400)
    assert json.loads(json.dumps(result)) == result
    assert (result["image_size"], result["repeats"], result["photos"]["num_left_out"]) == (40, 2, 0)
    assert [way["name"] for way in result["ways"]] == list(data.WAYS)
    for way in result["ways"]:
        assert len(way["seconds_of_runs"]) == 2
        assert min(way["photos_per_second"], way["memory_megabytes"]) > 0
    found = result["duplicates"]
    assert (found["num_photos"], found["num_crops"], found["num_wrong"]) == (400, 8, 0)
    assert found["recall"] > 0.8
    assert all(way["title"] in data.format_reading(result) for way in result["ways"])


def test_the_command_measures_in_processes_of_their_own(folder, tmp_path) -> None:
    target = tmp_path / "numbers.json"
    words = ["--photos", folder, "--repeats", "1", "--synthetic", "100", "--json", target]
    command = [sys.executable, "benchmarks/data.py", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == data.format_reading(json.loads(target.read_text())) + "\n"
    assert "oneDNN" not in done.stderr


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (
            ["train.py", "--photos", "lost"],
            1,
            "Expected a folder with a folder of photos for each class after --photos.",
        ),
        (["data.py", "--json", "lost/numbers.json"], 2, "Expected a file in an existing folder."),
        (["folds.py", "--folds", "3", "--only", "4"], 1, "Expected --only from 1 to 3, the number of folds."),
    ],
)
def test_wrong_options_are_told_before_the_work(words, code, message) -> None:
    command = [sys.executable, f"benchmarks/{words[0]}", *words[1:]]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_the_table() -> None:
    way = {"title": "Pillow loop", "photos_per_second": 500.0, "cpu_seconds_per_photo": 0.002, "memory_megabytes": 60.0}
    workers = {"num_workers": 2, "worker_memory_megabytes": 58.0}
    found = {"num_photos": 1000, "num_crops": 20, "seconds": 0.125, "cpu_seconds": 0.1, "memory_megabytes": 160.4}
    result = {
        **{
            "image_size": 128,
            "repeats": 3,
            "machine": MACHINE,
            "duplicates": {**found, "recall": 0.95, "num_wrong": 2},
        },
        "photos": {"classes": ["cats", "dogs"], "num_train": 1400, "num_held_out": 600},
        "ways": [{**way, "num_workers": 0}, {**way, **workers, "title": "decode", "photos_per_second": 1600.0}],
    }
    head, table, _, duplicates = data.format_reading(result).split("\n\n")
    assert head.startswith("From files to 128 px arrays, median of 3 runs. 1,400 + 600 held-out photos of 2 classes.\n")
    assert [" ".join(line.split()) for line in table.splitlines()[2:]] == [
        "| Pillow loop | 500 | 2.00 ms | 60 MB |",
        "| decode | 1,600 (3.2x) | 2.00 ms | 60 MB + 2 x 58 MB |",
    ]
    assert duplicates.endswith(
        "0.12 s, 0.10 s of CPU time, 160 MB;\n95.0% of 20 crops found, 2 photos wrongly grouped."
    )
