import math
import operator
import os
import subprocess
import sys
import time

import numpy as np
import psutil
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


def test_the_process_ends_with_the_one_that_started_it(tmp_path):
    """Else a bench that is stopped leaves a training of minutes behind, beside the next one."""
    told = tmp_path / "pid"
    (tmp_path / "slow.py").write_text(
        f"import os, time\ndef work(_):\n    open({str(told)!r}, 'w').write(str(os.getpid()))\n    time.sleep(120)\n"
    )
    script = "if __name__ == '__main__':\n    import slow\n    from convlens.bench.processes import in_new_process\n"
    (tmp_path / "main.py").write_text(f"{script}    in_new_process(slow.work, 0)\n")
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{tmp_path}"}
    with subprocess.Popen([sys.executable, "main.py"], cwd=tmp_path, env=environment) as parent:
        wait_for(lambda: told.is_file() and told.read_text())
        parent.kill()
    wait_for(lambda: not psutil.pid_exists(int(told.read_text())))


def wait_for(happened):
    ends = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < ends
        time.sleep(0.05)


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
