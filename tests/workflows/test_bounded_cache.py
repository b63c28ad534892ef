"""`tools/ci/bound_cache.sh`: what the present results and their base need stays in DVC's cache, the rest goes."""

import hashlib
import json
import os
import time

import pytest

PIPELINE = "stages: {copy: {cmd: cp in.txt out.txt, outs: [out.txt, folder], metrics: [told.json: {cache: false}]}}\n"
LOCK = """\
schema: '2.0'
stages:
  copy:
    cmd: cp in.txt out.txt
    outs:
    - path: out.txt
      hash: md5
      md5: {digest}
      size: {size}
    - path: folder
      hash: md5
      md5: {folder}.dir
      size: {size}
      nfiles: 1
    - path: told.json
      hash: md5
      md5: {told}
      size: {told_size}
"""
NUM_COMMITS = 13
DAY = 24 * 60 * 60


def content(number):
    return f"result {number}\n".encode()


def listing(number):
    """What DVC keeps of a folder with one file: dvc.lock names this, and this names the file."""
    file = hashlib.md5(content(f"inside {number}")).hexdigest()
    return json.dumps([{"md5": file, "relpath": "file.txt"}]).encode()


def place(folder, number, make=content):
    digest = hashlib.md5(make(number)).hexdigest()
    return folder / ".dvc/cache/files/md5" / digest[:2] / (digest[2:] + (".dir" if make is listing else ""))


def put(folder, number, make=content):
    file = place(folder, number, make)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(make(number))
    return file.parent.name + file.name.removesuffix(".dir")


def keep(folder, number):
    """What `dvc repro` would do: put results into the cache, for its run cache also those in git, and note them."""
    digest, told = put(folder, number), put(folder, f"told of {number}")
    put(folder, f"inside {number}")
    sizes = {"size": len(content(number)), "told_size": len(content(f"told of {number}"))}
    (folder / "dvc.lock").write_text(
        LOCK.format(digest=digest, told=told, folder=put(folder, number, listing), **sizes)
    )


@pytest.fixture
def clone(make_repository):
    """Commits 0 to 12, each with a result of its own, and the results of a run in the working tree: number 13."""
    clone = make_repository({"dvc.yaml": PIPELINE})
    for number in range(NUM_COMMITS):
        keep(clone.folder, number)
        clone.commit(str(number))
    keep(clone.folder, NUM_COMMITS)
    (clone.folder / "out.txt").write_bytes(content(NUM_COMMITS))
    (clone.folder / "folder").mkdir()
    (clone.folder / "folder/file.txt").write_bytes(content(f"inside {NUM_COMMITS}"))
    return clone


def kept(clone):
    found = [number for number in range(NUM_COMMITS + 1) if place(clone.folder, number).is_file()]
    for what in ("told of", "inside"):
        assert [n for n in range(NUM_COMMITS + 1) if place(clone.folder, f"{what} {n}").is_file()] == found, what
    return found


def test_the_present_results_and_ten_commits_from_the_base_on_stay(clone):
    put(clone.folder, "of another branch")
    stray = place(clone.folder, "of another branch")
    (clone.folder / "ci-results").mkdir()
    base = clone.run("git", "rev-parse", "HEAD~1").stdout
    (clone.folder / "ci-results/base").write_text(base)
    said = clone.run("tools/ci/bound_cache.sh").stdout
    assert kept(clone) == [*range(2, 12), 13], said  # the base is 11; 12 is what HEAD held before the run
    assert not stray.exists()
    assert "::warning::" not in said
    (clone.folder / "out.txt").unlink()
    clone.run("dvc", "checkout")
    assert (clone.folder / "out.txt").read_bytes() == content(13)


def test_without_a_base_it_is_the_commit_itself(clone):
    clone.run("tools/ci/bound_cache.sh")
    assert kept(clone) == [*range(3, 13), 13]


def test_what_is_a_month_old_goes(clone):
    runs, checkpoints = clone.folder / ".dvc/cache/runs/ab/abcd", clone.folder / ".convlens/checkpoints"
    for age in (1, 40):
        for file in (runs / f"age-{age}", checkpoints / f"age-{age}" / "state"):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
            for path in (file, file.parent):
                os.utime(path, (time.time() - age * DAY,) * 2)
    clone.run("tools/ci/bound_cache.sh")
    assert [path.name for path in runs.iterdir()] == ["age-1"]
    assert [path.name for path in checkpoints.iterdir()] == ["age-1"]


def test_a_failure_costs_space_not_the_run(clone):
    (clone.folder / "dvc.lock").write_text("schema: [\n")
    done = clone.run("tools/ci/bound_cache.sh")
    assert "::warning::DVC's cache is kept as it is" in done.stdout
    assert kept(clone) == [*range(NUM_COMMITS + 1)]
