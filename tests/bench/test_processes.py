import math
import operator
import os
import subprocess
import sys

import numpy as np
import pytest
from photo_files import ROOT

from convlens.bench.machine import describe_machine
from convlens.bench.processes import in_new_process, measure, peak_memory
from convlens.errors import ConvLensError


def test_work_is_done_in_another_process():
    assert in_new_process(operator.neg, 3) == -3
    assert in_new_process(operator.call, os.getpid) != os.getpid()


def test_a_killed_process_is_told():
    with pytest.raises(ConvLensError, match=r"^Expected the process of a contestant to finish\. Received: it was kil"):
        in_new_process(os._exit, 1)


def test_an_error_comes_through():
    with pytest.raises(ValueError, match="math domain error"):
        in_new_process(math.sqrt, -1)


def test_usage_covers_the_work():
    used = measure(lambda: np.ones(20_000_000).sum())
    assert used.seconds > 0
    assert used.cpu_seconds >= 0
    assert used.memory_megabytes > 160  # the array alone has 160 MB
    assert peak_memory() >= used.memory_megabytes


@pytest.mark.parametrize(
    ("text", "features"),
    [
        ("processor : 0\nflags\t\t: fpu avx2 avx512f avx512_bf16\n", ("avx2", "avx512f", "avx512_bf16")),
        ("Features\t: fp asimd bf16\n", ("asimd", "bf16")),
        ("processor : 0\n", ()),
        (None, ()),
    ],
)
def test_the_machine_is_described_without_its_name(text, features, tmp_path):
    path = tmp_path / "cpuinfo"
    if text is not None:
        path.write_text(text)
    machine = describe_machine(path)
    assert machine.features == features
    assert machine.num_cores >= 1
    assert {"keras", "numpy", "pillow"} <= set(machine.packages)
    shown = f", {' '.join(features)})" if features else ")"
    assert machine.heading.startswith(f"{machine.num_cores} cores ({machine.system}{shown}; ")


def test_contestants_do_not_carry_what_others_need():
    """Else a loop with Pillow would be said to need the memory of pandas."""
    heavy = {"pandas", "pyarrow", "tensorflow", "keras", "mlflow", "matplotlib"}
    script = "import convlens.bench.contestants, convlens.bench.data_contestants, sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        check=True,
        capture_output=True,
        text=True,
    )
    assert heavy & set(done.stdout.split()) == set()
