"""`tools/from_zero.sh` on a small repository: what its targets find around them."""

import os
import subprocess

import pytest
from pipeline.clone import ROOT, Clone

MAKEFILE = """\
around:
\t@echo "HOME=$$HOME"
\t@echo "programs: $$(ls "$$PATH" | grep -c . | sed 's/[0-9]*/some/')"
\t@env | cut -d= -f1 | sort | tr '\\n' ' '; echo
\t@for program in node chromium pip dvc; do command -v $$program; done; true
\t@python3 -c 'import sys; print(sys.version_info[:2] >= (3, 11))'
\t@ls
stops:
\t@exit 3
litters:
\t@mkdir -p reports; touch reports/left-over.txt
changes:
\t@echo >> Makefile
repro:
\t@echo {words}
\t@echo 0.84 > reports/metrics.json
"""


@pytest.fixture
def repository(tmp_path):
    folder = tmp_path / "source"
    (folder / "tools").mkdir(parents=True)
    (folder / "tools/from_zero.sh").write_bytes((ROOT / "tools/from_zero.sh").read_bytes())
    (folder / "reports").mkdir()
    (folder / "reports/metrics.json").write_text("0.85\n")
    (folder / "Makefile").write_text(MAKEFILE.replace("{words}", "Nothing to do"))
    clone = Clone(folder)
    clone.run("git", "init", "--quiet")
    clone.commit()
    (folder / "left-over.txt").touch()  # not committed: nobody else has it
    return folder


def from_zero(repository, *arguments):
    return subprocess.run(
        ["bash", str(repository / "tools/from_zero.sh"), *arguments],
        env={**os.environ, "SAME_USER": "1", "SECRET": "mine"},
        capture_output=True,
        text=True,
    )


def test_there_is_nothing_but_the_commit_and_a_few_programs(repository, tmp_path):
    done = from_zero(repository, str(tmp_path / "zero"), "around")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert f"HOME={tmp_path}/zero/home" in lines
    assert "programs: some" in lines
    assert "True" in lines
    assert "left-over.txt" not in lines
    assert not [line for line in lines if line.endswith(("/node", "/chromium", "/pip", "/dvc"))]
    (names,) = (set(line.split()) for line in lines if "TMPDIR" in line)
    assert {"HOME", "PATH", "TMPDIR", "LANG", "PYTHON"} <= names
    assert not names & {"SECRET", "VIRTUAL_ENV", "PYTHONPATH", "MLFLOW_TRACKING_URI", "PIP_INDEX_URL"}
    assert any(line.startswith("from zero: make around: 0 min") for line in lines)
    assert any(line.startswith("from zero: Python 3.") and " cores" in line for line in lines)
    assert lines[-1].startswith("from zero: on disk ")


def test_what_fails_fails(repository, tmp_path):
    assert from_zero(repository, str(tmp_path / "zero"), "stops", "around").returncode != 0


@pytest.mark.parametrize(("target", "left"), [("litters", "?? reports/left-over.txt"), ("changes", " M Makefile")])
def test_what_leaves_more_than_results_fails(repository, tmp_path, target, left):
    done = from_zero(repository, str(tmp_path / "zero"), target)
    assert done.returncode == 1
    assert done.stderr == f"from zero: make {target} left what is no result:\n{left}\n"


def test_results_that_differ_are_listed(repository, tmp_path):
    done = from_zero(repository, str(tmp_path / "zero"), "repro")
    assert done.returncode == 0, done.stdout + done.stderr
    told = done.stdout.partition("from zero: here these results are not the committed ones to the last digit:\n")[2]
    assert told.startswith("reports/metrics.json\nfrom zero: a second make repro runs no stage\n")


def test_a_second_repro_that_runs_a_stage_fails(repository, tmp_path):
    (repository / "Makefile").write_text(MAKEFILE.replace("{words}", "Running stage train"))
    Clone(repository).run("git", "commit", "--quiet", "--all", "--message", "change")
    done = from_zero(repository, str(tmp_path / "zero"), "repro")
    assert done.returncode == 1
    assert done.stderr.endswith("from zero: a second make repro ran these stages again.\n")


def test_a_folder_with_files_is_refused(repository):
    done = from_zero(repository, str(repository), "around")
    assert done.returncode == 2
    assert done.stderr.startswith("Expected a new or empty folder. Received: ")
