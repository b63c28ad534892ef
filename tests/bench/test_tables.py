import pytest

from convlens.bench.tables import format_data, format_table, format_train

MACHINE = {"num_cores": 2, "system": "Linux x86_64", "features": ["avx2"], "packages": {"keras": "3.15.1"}}
PHOTOS = {"source": "photos", "classes": ["cats", "dogs"], "num_train": 1400, "num_held_out": 600, "num_left_out": 3}


def contestant(title, **changes):
    return {
        "title": title,
        "precision": "float32",
        "ready_seconds": 0.84,
        "photos_per_second": 100.0,
        "seconds_to": {"0.69": 120.0, "0.83": None},
        "accuracy": 0.705,
        "accuracy_low": 0.667,
        "accuracy_high": 0.74,
        "num_epochs": 21,
        "seconds": 296.4,
        "memory_megabytes": 1240.4,
        "share_of_peak": 0.234,
        **changes,
    }


TRAIN = {
    "minutes": 5.0,
    "machine": {**MACHINE, "peak_flops_per_second": {"float32": 187e9, "bfloat16": 358e9}},
    "photos": PHOTOS,
    "contestants": [
        contestant("Keras, lecture code"),
        contestant(
            "ConvLens residual",
            precision="bfloat16",
            photos_per_second=312.0,
            ready_seconds=12.0,
            seconds_to={"0.69": 8.25, "0.83": 96.0},
            accuracy=1.0,
            accuracy_high=1.0,
            num_epochs=1,
        ),
    ],
}
DATA = {
    "image_size": 128,
    "repeats": 3,
    "machine": MACHINE,
    "photos": PHOTOS,
    "ways": [
        {
            "title": "Pillow loop",
            "photos_per_second": 500.0,
            "cpu_seconds_per_photo": 0.002,
            "memory_megabytes": 60.0,
            "num_workers": 0,
            "worker_memory_megabytes": 0.0,
        },
        {
            "title": "ConvLens: decode and resize",
            "photos_per_second": 1600.0,
            "cpu_seconds_per_photo": 0.00122,
            "memory_megabytes": 61.0,
            "num_workers": 2,
            "worker_memory_megabytes": 58.0,
        },
    ],
    "targets": [
        {"name": "decode", "against": "pillow", "expected": 3.0, "measured": 3.2, "met": True},
        {"name": "read", "against": "decode", "expected": 20.0, "measured": 19.0, "met": False},
    ],
}


def test_a_plain_table():
    assert format_table([["", "one", "two"], ["speed", "1", "22,000"]]) == "       one     two\nspeed    1  22,000"


def test_a_markdown_table():
    assert format_table([["", "one"], ["speed", "1"]], markdown=True) == (
        "|       | one |\n| ----- | --: |\n| speed |   1 |"
    )  # fmt: skip


def test_the_table_of_training():
    head, table, notes = format_train(TRAIN).split("\n\n")
    assert head == (
        "Training for 5 min each. 1,400 + 600 held-out photos of 2 classes.\n"
        "2 cores (Linux x86_64, avx2); keras 3.15.1.\n"
        "Measured peak in GFLOP/s: float32 187, bfloat16 358."
    )
    assert table == (
        "                               Keras, lecture code      ConvLens residual\n"
        "precision of multiplication                float32               bfloat16\n"
        "ready after                                  0.8 s                   12 s\n"
        "photos per second, training                    100             312 (3.1x)\n"
        "time to 69% accuracy                         120 s          8.2 s (14.5x)\n"
        "time to 83% accuracy                   not reached                   96 s\n"
        "accuracy at the end          70.5\u00a0% (66.7 to 74.0)  100\u00a0% (66.7 to 100.0)\n"
        "trained for                       296 s, 21 epochs         296 s, 1 epoch\n"
        "peak memory                               1,240 MB               1,240 MB\n"
        "share of the machine's peak                   23\u00a0%                   23\u00a0%"
    )
    assert notes.startswith("(2.0x): twice as fast as Keras, lecture code.\n")
    assert "3 x forward" in notes


def test_the_table_of_reading():
    head, table, notes = format_data(DATA).split("\n\n")
    assert head.startswith("From files to 128 px arrays. 1,400 + 600 held-out photos of 2 classes.\n")
    assert head.endswith("\nMedian of 3 runs.")
    assert table == (
        "                             photos per second  CPU time per photo       peak memory\n"
        "Pillow loop                                500             2.00 ms             60 MB\n"
        "ConvLens: decode and resize       1,600 (3.2x)             1.22 ms  61 MB + 2 x 58 MB"
    ).replace("peak memory\n", " peak memory\n").replace("   60 MB\n", "    60 MB\n")
    lines = notes.splitlines()
    assert lines[1].startswith("Target met: 'ConvLens: decode and resize' at least 3 times as fast as 'Pillow loop'")
    assert lines[2].startswith("Target missed: ")


@pytest.mark.parametrize("show", [lambda: format_train(TRAIN, markdown=True), lambda: format_data(DATA, markdown=True)])
def test_markdown_has_the_same_cells(show):
    table = show().split("\n\n")[1].splitlines()
    assert all(line.startswith("| ") and line.endswith(" |") for line in table)
    assert len({line.count("|") for line in table}) == 1
