"""Both benches on a handful of tiny photos. What is fast is not asked here."""

import json
import pickle

import pytest
from bench_params import small_params
from convlens.cli.main.main import main
from photo_files import ROOT, write_classes

from convlens.bench import commands
from convlens.bench.contestants import CONTESTANTS, measure_peaks
from convlens.bench.data import bench_data, check_targets
from convlens.bench.data_contestants import WAYS
from convlens.bench.tables import format_data, format_train
from convlens.bench.train import DEFAULT_NAMES, bench_train
from convlens.bench.training_task import TITLES

PEAKS = {"float32": 2e11, "bfloat16": 4e11}
NUM_TRAIN, NUM_HELD_OUT = 22, 10


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_classes(tmp_path_factory.mktemp("bench") / "photos", {"cats": 16, "dogs": 16})


def call_here(function, task):
    """In this process, after the way through a pickle that it would take to its own."""
    function, task = pickle.loads(pickle.dumps((function, task)))
    return PEAKS if function is measure_peaks else function(task)


def test_training_side_by_side(folder):
    result = bench_train(folder, small_params(), minutes=0.01, names=list(CONTESTANTS), call=call_here, lecture_size=32)
    assert json.loads(json.dumps(result)) == result
    assert result["machine"]["peak_flops_per_second"] == PEAKS
    assert result["photos"] == {
        "source": str(folder),
        "classes": ["cats", "dogs"],
        "num_train": NUM_TRAIN,
        "num_held_out": NUM_HELD_OUT,
        "num_left_out": 0,
    }
    assert [each["name"] for each in result["contestants"]] == ["keras", "keras-cached", "classic", "residual"]
    for each in result["contestants"]:
        check_contestant(each)
    first = result["contestants"][0]
    # 32 > 30 > 15 > 13 > 6 > 4 > 2 pixels
    forward = 2 * (30**2 * 16 * 27 + 13**2 * 32 * 144 + 4**2 * 64 * 288 + 2 * 2 * 64 * 512 + 512)
    flops = 3 * forward * NUM_TRAIN * first["num_epochs"]
    assert first["flops_per_second"] == pytest.approx(flops / first["seconds"])
    assert all(each["title"] in format_train(result) for each in result["contestants"])


def check_contestant(each):
    assert set(each) == {
        *("name", "title", "precision", "ready_seconds", "photos_per_second", "seconds_to", "num_epochs", "seconds"),
        *("accuracy", "accuracy_low", "accuracy_high", "memory_megabytes", "flops_per_second", "share_of_peak"),
        *("step_seconds", "curve"),
    }
    assert set(each["seconds_to"]) == {"0.69", "0.83"}
    curve = each["curve"]
    assert len(curve) == each["num_epochs"] >= 1
    # ConvLens trains on full batches only: 16 of 22 photos in batches of 8.
    per_epoch = 16 if each["name"] == "residual" else NUM_TRAIN
    assert [point["num_photos"] for point in curve] == [per_epoch * (epoch + 1) for epoch in range(len(curve))]
    times = [point["seconds"] for point in curve]
    assert times == sorted(times)
    assert times[0] > 0
    assert each["photos_per_second"] == pytest.approx(curve[-1]["num_photos"] / each["step_seconds"])
    assert each["accuracy_low"] <= each["accuracy"] == curve[-1]["accuracy"] <= each["accuracy_high"]
    assert each["share_of_peak"] == pytest.approx(each["flops_per_second"] / PEAKS[each["precision"]])


def test_reading_side_by_side(folder):
    result = bench_data(folder, small_params(), repeats=2, call=call_here)
    assert json.loads(json.dumps(result)) == result
    assert (result["image_size"], result["repeats"], result["photos"]["num_left_out"]) == (40, 2, 0)
    assert [way["name"] for way in result["ways"]] == list(WAYS)
    for way in result["ways"]:
        assert len(way["seconds_of_runs"]) == 2
        assert min(way["photos_per_second"], way["memory_megabytes"]) > 0
        assert way["num_workers"] in (0, 1)
    speeds = {way["name"]: way["photos_per_second"] for way in result["ways"]}
    assert result["targets"] == check_targets(speeds)
    assert all(way["title"] in format_data(result) for way in result["ways"])


def test_the_command_measures_in_processes_of_their_own(folder, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(ROOT)
    target = tmp_path / "numbers.json"
    with pytest.raises(SystemExit) as stopped:
        main(["bench", "data", "--photos", str(folder), "--repeats", "1", "--json", str(target), "--markdown"])
    told = capfd.readouterr()
    assert stopped.value.code in (0, None), told.err
    assert told.out == format_data(json.loads(target.read_text()), markdown=True) + "\n"
    assert "oneDNN" not in told.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--photos", "lost"], "Expected a folder with a folder of photos for each class after --photos."),
        (["data", "--photos", "lost"], "Expected a folder with a folder of photos for each class after --photos."),
        (["data", "--json", "lost/numbers.json"], "Expected a file in an existing folder after --json."),
    ],
)
def test_mistakes_are_told_before_the_work(arguments, message, monkeypatch, capfd):
    monkeypatch.chdir(ROOT)
    with pytest.raises(SystemExit) as stopped:
        main(["bench", *arguments])
    assert stopped.value.code == 1
    assert capfd.readouterr().err.startswith(message)


def test_the_command_knows_the_contestants():
    assert commands.CONTESTANTS == tuple(CONTESTANTS) == tuple(TITLES)
    assert commands.DEFAULT_CONTESTANTS == DEFAULT_NAMES
