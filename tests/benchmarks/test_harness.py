import math
import operator
import os
import subprocess
import sys
import time
from pathlib import Path

import harness
import numpy as np
import psutil
import pytest
from photo_files import ROOT, noise_photo, write_classes, write_photo

from convlens.errors import ConvLensError
from convlens.params import DataParams, load_params

ENVIRONMENT = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT / 'benchmarks'}"}


def test_work_is_done_in_another_process() -> None:
    assert harness.in_new_process(operator.call, os.getpid) != os.getpid()
    with pytest.raises(ConvLensError, match=r"^Expected the process of a contestant to finish\. Received: it was kil"):
        harness.in_new_process(os._exit, 1)
    with pytest.raises(ValueError, match="math domain error"):
        harness.in_new_process(math.sqrt, -1)


def test_a_killed_benchmark_leaves_nothing_running(tmp_path) -> None:
    """Else a training of minutes would go on beside the next one."""
    told = tmp_path / "pid"
    (tmp_path / "slow.py").write_text(
        "import os, sys, time\ndef work(path):\n    open(path, 'w').write(str(os.getpid()))\n    time.sleep(120)\n"
        "if __name__ == '__main__':\n    import harness\n    harness.in_new_process(work, sys.argv[1])\n"
    )
    with subprocess.Popen([sys.executable, tmp_path / "slow.py", told], env=ENVIRONMENT) as parent:
        wait_for(lambda: told.is_file() and told.read_text())
        parent.kill()
    wait_for(lambda: not psutil.pid_exists(int(told.read_text())))


def wait_for(happened) -> None:
    ends = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < ends
        time.sleep(0.05)


def test_usage_covers_the_work() -> None:
    used = harness.measure(lambda: np.ones(20_000_000).sum())
    assert used.seconds > 0
    assert used.cpu_seconds >= 0
    assert harness.peak_memory() >= used.memory_megabytes > 160  # the array alone has 160 MB


@pytest.mark.parametrize(
    ("text", "features"),
    [
        ("flags\t\t: fpu avx2 avx512f\n", ["avx2", "avx512f"]),
        ("Features\t: fp asimd bf16\n", ["asimd", "bf16"]),
        ("", []),
    ],
)
def test_the_machine_is_described_without_its_name(text, features, tmp_path) -> None:
    (tmp_path / "cpuinfo").write_text(text)
    machine = harness.describe_machine(tmp_path / "cpuinfo")
    assert machine["features"] == features
    assert {"keras", "numpy", "pillow"} <= set(machine["packages"])
    shown = f", {' '.join(features)})" if features else ")"
    assert harness.show_machine(machine).startswith(f"{machine['num_cores']} cores ({machine['system']}{shown}; ")


def test_contestants_do_not_carry_what_others_need() -> None:
    """Else a loop with Pillow would be said to need the memory of pandas."""
    script = "import data, train, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], env=ENVIRONMENT, check=True, capture_output=True, text=True)
    assert {"pandas", "pyarrow", "tensorflow", "keras", "mlflow", "matplotlib"} & set(done.stdout.split()) == set()


def test_every_class_is_held_out_alike_and_linked_to(tmp_path) -> None:
    folder = write_classes(tmp_path / "photos", {"cats": 20, "dogs": 10})
    photos = harness.gather_photos(folder, load_params(), new_folder(tmp_path / "first"))
    counts = {"num_train": 21, "num_held_out": 9, "num_left_out": 0}
    assert photos.values == {"source": str(folder), "classes": ["cats", "dogs"], **counts}
    assert [photos.labels["held_out"].count(label) for label in (0, 1)] == [6, 3]
    assert sorted(photos.paths["train"] + photos.paths["held_out"]) == sorted(map(str, folder.rglob("*.png")))
    assert harness.gather_photos(folder, load_params(), new_folder(tmp_path / "again")).paths == photos.paths
    for part, paths in photos.paths.items():
        links = {(str(link.resolve()), link.parent.name) for link in (photos.links / part).rglob("*.png")}
        assert links == {(path, photos.classes[label]) for path, label in zip(paths, photos.labels[part], strict=True)}


def test_what_not_every_contestant_can_read_is_left_out(tmp_path) -> None:
    folder = write_classes(tmp_path / "photos", {"cats": 8, "dogs": 8})
    write_photo(folder / "cats/broken.png", b"nothing")
    write_photo(folder / "cats/copy.png", (folder / "cats/000.png").read_bytes())
    write_photo(folder / "dogs/other.webp", noise_photo("webp"), "WEBP")
    write_photo(folder / "dogs/jpeg-by-content.png", noise_photo("jpeg"), "JPEG")
    photos = harness.gather_photos(folder, load_params(), new_folder(tmp_path / "workspace"))
    assert (len(photos.paths["all"]), photos.values["num_left_out"]) == (17, 3)
    assert [link.resolve().name for link in photos.links.glob("all/*/*.jpg")] == ["jpeg-by-content.png"]


def test_a_missing_folder_and_too_few_photos_are_told(tmp_path) -> None:
    with pytest.raises(ConvLensError, match=r"^Expected a folder .* after --photos\. Received: .*lost, which is no fo"):
        harness.gather_photos(tmp_path / "lost", load_params(), tmp_path)
    params = load_params()
    folder = write_classes(tmp_path / "photos", {"cats": 9, "dogs": 7})
    params = params.model_copy(update={"data": DataParams(source=str(folder))})
    with pytest.raises(ConvLensError, match=r"^Expected at least 8 photos .*Received: 7 of 'dogs' in .*--photos\.$"):
        harness.gather_photos(None, params, new_folder(tmp_path / "workspace"))


def new_folder(path: Path) -> Path:
    path.mkdir()
    return path


def test_a_table_is_padded_markdown() -> None:
    assert harness.format_table([["", "one", "two"], ["speed", "1", "22,000"]]) == (
        "|       | one |    two |\n| ----- | --: | -----: |\n| speed |   1 | 22,000 |"
    )
