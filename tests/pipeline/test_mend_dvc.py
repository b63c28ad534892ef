"""`tools/mend_dvc.py`: what `make repro` does about half-written files of DVC's, before it runs DVC."""

import json
import os
import subprocess
import sys
import time

import psutil
import pytest
from pipeline.clone import GIT, ROOT, Clone

PIPELINE = "stages: {copy: {cmd: cp in.txt out.txt, deps: [in.txt], outs: [out.txt]}}\n"
LIST = ".dvc/tmp/rwlock"
UNFINISHED = ".0123456789abcdefABCD_-.tmp"


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A pipeline of one stage that has run; its dvc.lock is committed."""
    folder = tmp_path_factory.mktemp("mend") / "pipeline"
    folder.mkdir()
    clone = Clone(folder)
    clone.run("git", "init", "--quiet")
    clone.run("dvc", "init", "--quiet")
    (folder / "dvc.yaml").write_text(PIPELINE)
    (folder / "in.txt").write_text("one\n")
    clone.run("dvc", "repro", "--quiet")
    clone.commit("Results")
    return clone


@pytest.fixture
def clone(done, tmp_path):
    done.run("cp", "-r", str(done.folder), str(tmp_path / "pipeline"))
    return Clone(tmp_path / "pipeline")


def mend(clone):
    told = subprocess.run(
        [sys.executable, str(ROOT / "tools/mend_dvc.py")], cwd=clone.folder, capture_output=True, text=True
    )
    assert told.returncode == 0, told.stderr
    assert told.stdout == ""
    return told.stderr


def test_it_comes_before_dvc():
    recipe = (ROOT / "Makefile").read_text().partition("\nrepro:")[2].partition("\n\n")[0]
    assert recipe.index("tools/mend_dvc.py") < recipe.index("dvc repro")


def test_what_is_whole_stays(clone):
    before = {path: path.read_bytes() for path in clone.folder.iterdir() if path.is_file()}
    (clone.folder / "data").mkdir()
    (clone.folder / "data/.mine.tmp").touch()
    assert mend(clone) == ""
    assert {path: path.read_bytes() for path in clone.folder.iterdir() if path.is_file()} == before
    assert (clone.folder / "data/.mine.tmp").exists()


@pytest.mark.parametrize("half", ["schema: '2.0'\nstages:\n", "schema: '2.0'\nstages:\n  copy:\n    cmd: 'cp in", ""])
def test_half_a_lock_gives_way_to_the_committed_one(clone, half):
    lock = clone.folder / "dvc.lock"
    whole = lock.read_text()
    lock.write_text(half)
    assert clone.run("dvc", "status", check=False).returncode != 0 or half == ""
    assert mend(clone) == "dvc.lock was left damaged by an interruption: the committed one is in its place.\n"
    assert lock.read_text() == whole
    assert (clone.folder / ".dvc/tmp/dvc.lock.cut-off").read_text() == half


def test_without_a_committed_one_it_is_made_anew(clone):
    lock = clone.folder / "dvc.lock"
    whole = lock.read_text()
    clone.run("git", "rm", "--quiet", "--cached", "dvc.lock")
    clone.run(*GIT, "commit", "--quiet", "--message", "Without")
    lock.write_text(whole[: whole.index("cmd") + 2])
    assert mend(clone) == "dvc.lock was left damaged by an interruption: it is removed, and made anew.\n"
    assert "is cached - skipping run" in clone.run("dvc", "repro").stdout
    assert lock.read_text() == whole


def test_a_merge_in_progress_is_left_to_who_merges(clone):
    lock = clone.folder / "dvc.lock"
    text = lock.read_text() + "<<<<<<< HEAD\n  a: 1\n=======\n  a: 2\n>>>>>>> other\n"
    lock.write_text(text)
    assert mend(clone) == ""
    assert lock.read_text() == text


def entry(number):
    return {"pid": number, "cmd": "dvc repro"}


def list_paths(clone, text):
    (clone.folder / ".dvc/tmp").mkdir(exist_ok=True)
    (clone.folder / LIST).write_text(text)


def test_paths_that_a_killed_dvc_held_are_free_again(clone):
    """Its number may have gone to another process: here to this one, which is younger than the list."""
    held = {str(clone.folder / "out.txt"): entry(os.getpid())}
    for text in (json.dumps({"write": held, "read": {}}), '{"write": {"/a', ""):
        list_paths(clone, text)
        old = psutil.Process().create_time() - 10
        os.utime(clone.folder / LIST, (old, old))
        assert mend(clone) == ""
        assert not (clone.folder / LIST).exists()


def test_a_dead_process_that_nobody_asked_for_holds_nothing(clone):
    with subprocess.Popen([sys.executable, "-c", ""]) as dead:
        while psutil.Process(dead.pid).status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.01)
        list_paths(clone, json.dumps({"write": {str(clone.folder / "out.txt"): entry(dead.pid)}}))
        assert mend(clone) == ""
        assert not (clone.folder / LIST).exists()


def test_while_dvc_is_at_work_nothing_is_touched(clone):
    list_paths(clone, json.dumps({"read": {str(clone.folder / "in.txt"): [entry(os.getpid())]}}))
    (clone.folder / "dvc.lock").write_text("schema: [")
    (clone.folder / "data").mkdir()
    (clone.folder / "data" / UNFINISHED).touch()
    assert mend(clone) == ""
    assert (clone.folder / LIST).exists()
    assert (clone.folder / "dvc.lock").read_text() == "schema: ["
    assert (clone.folder / "data" / UNFINISHED).exists()


def test_what_dvc_was_copying_goes(clone):
    places = ("data", "reports", "reports/evaluation", ".dvc/cache/files/md5/ab")
    for place in places:
        (clone.folder / place).mkdir(parents=True, exist_ok=True)
        (clone.folder / place / UNFINISHED).touch()
    mend(clone)
    assert [str(path) for path in clone.folder.rglob("*.tmp")] == []
