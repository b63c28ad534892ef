import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from compared_runs import (
    COMPARE,
    EARLIER_PIPELINE,
    EVALUATE,
    Repository,
    good,
    make_answers,
    make_metrics,
    make_photos,
    make_validation,
    params_with,
)

from convlens.compare.comparison import compare_runs
from convlens.compare.describe import describe
from convlens.compare.runs import Files, NoResultsError, find_root, read_snapshot
from convlens.errors import ConvLensError

FIRST, SECOND, NOW = good(10, 0), good(8, 2), good(6, 4)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """A commit, an experiment on top of it, and other results in the workspace. Tests must leave it as it is."""
    repository = Repository(tmp_path_factory.mktemp("compared"))
    repository.write_results(FIRST, key="first", epochs=1)
    repository.commit()
    repository.run("git", "tag", "v1")
    repository.write_results(SECOND, key="second", epochs=2)
    repository.save_experiment("longer")
    repository.write_results(NOW, key="now", epochs=3)
    return repository


@pytest.mark.parametrize(
    ("name", "key", "right", "epochs"),
    [
        ("HEAD", "first", FIRST, 1),
        ("v1", "first", FIRST, 1),
        ("longer", "second", SECOND, 2),
        ("workspace", "now", NOW, 3),
    ],
)
def test_a_revision_is_read_whole(shared: Repository, name: str, key: str, right: list[bool], epochs: int) -> None:
    before = shared.run("git", "status", "--porcelain")
    found = read_snapshot(shared.root, name)
    assert (found.name, found.params, found.metrics) == (name, params_with(epochs=epochs), make_metrics(right))
    assert (found.card, found.outdated, found.absent) == ({"key": key, "num_parameters": 7}, (), ())
    model = found.output("model")
    assert model is not None
    assert model.size == len(key) + len(f'{{"key": "{key}", "num_parameters": 7}}')
    assert found.history["epoch"].tolist() == [1, 2]
    assert (found.prepared_card, found.maps) == (
        {"digest": "d" * 64, "source": "photos"},
        {"num_filters": 4, "num_dead_filters": 1},
    )
    assert found.validation == make_validation(10)
    assert list(found.code) == ["src/network.py"]
    assert found.code["src/network.py"][1] == ("train",)
    assert found.predictions is not None
    pd.testing.assert_frame_equal(found.predictions, make_answers(right), check_dtype=False)
    assert found.photos is not None
    assert found.photos["sha256"].tolist() == [f"#p{index}.png" for index in range(10)]
    assert shared.run("git", "status", "--porcelain") == before


def test_a_commit_is_named_by_its_digits(shared: Repository) -> None:
    commit = shared.run("git", "rev-parse", "HEAD").strip()
    assert read_snapshot(shared.root, commit[:8]).commit == read_snapshot(shared.root, "HEAD").commit == commit
    assert read_snapshot(shared.root, "workspace").commit == ""


@pytest.fixture
def repository(shared: Repository, tmp_path) -> Repository:
    """A copy that a test may change."""
    copy = Repository.__new__(Repository)
    copy.root = tmp_path / "copy"
    shutil.copytree(shared.root, copy.root, symlinks=True)
    return copy


def test_parameters_changed_since_are_told(repository: Repository) -> None:
    repository.change_params(epochs=9, seed=4)
    assert read_snapshot(repository.root, "workspace").outdated == ("train.seed", "train.epochs")
    assert read_snapshot(repository.root, "HEAD").outdated == ()


def test_what_the_cache_lacks_is_told_and_never_taken_from_the_workspace(repository: Repository) -> None:
    shutil.rmtree(repository.root / ".dvc/cache")
    found = read_snapshot(repository.root, "HEAD")
    assert (found.predictions, found.photos, found.card) == (None, None, {})
    assert set(found.absent) == {
        "told/numbers/predictions.csv",
        "made/arrays/splits.csv",
        "made/arrays/card.json",
        "made/network/card.json",
        "told/feature_maps/maps_metrics.json",
    }
    assert found.files == Files()
    assert (found.metrics, found.validation) == (make_metrics(FIRST), make_validation(10))  # these are in Git
    workspace = read_snapshot(repository.root, "workspace")  # its own files are there
    assert (workspace.absent, workspace.card["key"]) == ((), "now")


@pytest.mark.parametrize("name", ["HEAD", "longer", "workspace"])
def test_large_files_are_found_on_this_disk(shared: Repository, name: str) -> None:
    files = read_snapshot(shared.root, name).files
    rows = np.concatenate([np.load(path, mmap_mode="r") for path in files.test_shards])
    assert rows[:, 0, 0, 0].tolist() == list(range(10))
    assert files.model is not None
    assert files.model.read_text() == {"HEAD": "first", "longer": "second", "workspace": "now"}[name]
    assert files.manifest is not None
    assert pd.read_parquet(files.manifest, columns=["path"])["path"].tolist() == [
        f"p{index}.png" for index in range(10)
    ]
    assert files.listing is None


def test_an_unknown_revision_is_told(shared: Repository) -> None:
    with pytest.raises(
        ConvLensError, match=r"^Expected `workspace`, a Git revision or .*Received: 'nosuch', which"
    ) as told:
        read_snapshot(shared.root, "nosuch")
    assert "`git fetch origin nosuch` brings what the remote has. `dvc exp list" in str(told.value)


def test_a_branch_that_only_the_remote_has_is_named(repository: Repository) -> None:
    repository.run("git", "update-ref", "refs/remotes/origin/base", "HEAD")
    with pytest.raises(ConvLensError, match=r"'base', which is none here\. There is 'origin/base': name that\."):
        read_snapshot(repository.root, "base")
    assert read_snapshot(repository.root, "origin/base").metrics == make_metrics(FIRST)
    with pytest.raises(ConvLensError, match=r"`git fetch origin gone` brings"):
        read_snapshot(repository.root, "origin/gone")


def test_a_shallow_clone_is_told(repository: Repository, tmp_path: Path) -> None:
    repository.commit()
    clone = Repository.__new__(Repository)
    clone.root = tmp_path / "clone"
    repository.run("git", "clone", "--quiet", "--depth=1", repository.root.as_uri(), str(clone.root))
    with pytest.raises(ConvLensError, match=r"This clone is shallow; `git fetch --unshallow` brings its older commits"):
        read_snapshot(clone.root, "HEAD~1")
    found = read_snapshot(clone.root, "HEAD")  # Git's files are there, and DVC's are not
    assert (found.metrics, found.predictions) == (make_metrics(NOW), None)


def test_a_commit_before_dvc_has_no_results(tmp_path: Path) -> None:
    repository = Repository(tmp_path)
    repository.run("git", "rm", "--quiet", "--cached", "-r", ".dvc")
    repository.run("git", "add", "src")
    repository.run("git", "commit", "--quiet", "--message", "before")
    with pytest.raises(NoResultsError, match=r"at the revision 'HEAD'. Received: nothing there"):
        read_snapshot(repository.root, "HEAD")


def test_a_revision_without_results_is_told(repository: Repository) -> None:
    repository.run("git", "rm", "--quiet", "--force", "told/numbers/metrics.json")
    repository.commit()
    with pytest.raises(ConvLensError, match=r"^Expected told/numbers/metrics.json at the revision 'HEAD'. Received: "):
        read_snapshot(repository.root, "HEAD")


def test_another_pipeline_is_told(repository: Repository) -> None:
    (repository.root / "dvc.yaml").write_text("stages: {train: {cmd: echo}}")
    with pytest.raises(ConvLensError, match=r"^Expected a stage 'train' with --prepared in dvc.yaml at .*'workspace'"):
        read_snapshot(repository.root, "workspace")


def test_results_of_an_earlier_version_are_told_in_a_line(repository: Repository) -> None:
    (repository.root / "dvc.yaml").write_text(EARLIER_PIPELINE)
    with pytest.raises(NoResultsError, match=r"^Expected a stage 'train' with --training .*an earlier version") as told:
        read_snapshot(repository.root, "workspace")
    assert "\n" not in str(told.value)


def test_classes_may_look_like_numbers(repository: Repository) -> None:
    names = {"cats": "007", "dogs": "NA", "probability_cats": "probability_007", "probability_dogs": "probability_NA"}
    predictions = make_answers(NOW).rename(columns=names).replace(names)
    photos = make_photos(predictions["path"], predictions["label"], [f"{row:064d}" for row in range(10)])
    repository.write("told/numbers/predictions.csv", predictions.to_csv(index=False))
    repository.write("made/arrays/splits.csv", photos.to_csv(index=False))
    run = read_snapshot(repository.root, "workspace")
    assert set(run.predictions["predicted"]) == {"007", "NA"}
    compared = compare_runs([run, run], evaluate=EVALUATE, compare=COMPARE)
    assert compared.verdicts[0].num_shared == 10
    found = {section.key: section for section in describe(compared)}
    assert found["confusion"].head == ("truth ↓ prediction →", "007", "NA")


def test_the_root_is_found_from_inside(shared: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(shared.root / "made")
    assert find_root() == shared.root


def test_outside_of_a_repository_is_told(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConvLensError, match=r"^Expected a repository of DVC\. Received: "):
        find_root()


def test_a_repository_without_git_is_told(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_text("[core]\n    no_scm = true\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConvLensError, match=r"^Expected a repository of Git, which has revisions\. Received: "):
        find_root()
