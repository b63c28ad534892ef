"""`tools/ci/moved.sh` and `weekly_summary.sh`: numbers and pictures that hold or moved after a run from nothing."""

import json
import shutil

import pytest

LOG = "validate: 3 photos\nfrom zero: make repro: 3 min 2 s\n"
OLD_PICTURE = "print('`docs/page.png` is not what its page looks like now.'); exit(1)\n"


@pytest.fixture
def clone(make_repository):
    numbers = json.dumps({"accuracy": 0.9, "name": "k5"})
    clone = make_repository({"numbers.json": numbers, "dvc.yaml": "metrics: [numbers.json]\n", "log": LOG})
    clone.write("tools/pictures.py", "import sys; sys.exit(sys.argv[1:] != ['--check'])\n")
    (clone.folder / ".venv/bin").mkdir(parents=True)
    for program in ("dvc", "python"):
        (clone.folder / ".venv/bin" / program).symlink_to(
            shutil.which(program, path=clone.environment["PATH"]) or program
        )
    return clone


@pytest.mark.parametrize(
    ("accuracy", "tolerance", "told"),
    [
        (0.9001, "", ""),
        (0.8, "", "| numbers.json | accuracy | 0.9 | 0.8 |\n"),
        (0.8, "0.2", ""),
        (None, "", "| numbers.json | accuracy | 0.9 | none |\n"),
    ],
)
def test_numbers_beyond_rounding_moved(clone, accuracy, tolerance, told):
    clone.write("numbers.json", json.dumps({"accuracy": accuracy, "name": "k5"}))
    clone.run("tools/ci/moved.sh", ".", "moved.md", TOLERANCE=tolerance)
    assert clone.read("moved.md").endswith(told)
    assert bool(clone.read("moved.md")) is bool(told)
    summary = clone.run("tools/ci/weekly_summary.sh", "moved.md", "log").stdout
    assert (told or "The numbers and the pictures are the committed ones.\n") in summary
    assert summary.endswith("\n- make repro: 3 min 2 s\n")


def test_old_pictures_are_told(clone):
    clone.write("tools/pictures.py", OLD_PICTURE)
    clone.run("tools/ci/moved.sh", ".", "moved.md")
    assert clone.read("moved.md") == "\n`docs/page.png` is not what its page looks like now.\n"


def test_a_run_that_stopped_says_where(clone):
    """And what could not be compared does not hold."""
    (clone.folder / ".venv/bin/dvc").unlink()
    assert clone.run("tools/ci/moved.sh", ".", "moved.md", check=False).returncode != 0
    told = "From nothing it stopped:\n\n    validate: 3 photos\n"
    assert told in clone.run("tools/ci/weekly_summary.sh", "moved.md", "log").stdout
    assert clone.read("moved.md").startswith(told)
