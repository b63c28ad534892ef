import re
from pathlib import Path

import pytest
from compared_runs import Repository, good

from convlens.cli.main import main
from convlens.tracking import runs as durations

KEYS = {"first": 65.0, "second": 8.0}


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """A commit; the experiment `wider`, which is better; a workspace that is much worse."""
    repository = Repository(tmp_path_factory.mktemp("compared"))
    repository.write("README.md", "nothing yet")
    repository.run("git", "add", "README.md")
    repository.run("git", "commit", "--quiet", "--message", "empty")
    repository.run("git", "tag", "empty")
    repository.write_results(good(80, 20), key="first", epochs=1)
    repository.commit()
    repository.write_results(good(100, 0), key="second", epochs=2)
    repository.save_experiment("wider")
    repository.write_results(good(50, 50), key="third", epochs=3)
    return repository


@pytest.fixture(autouse=True)
def _inside(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(repository.root)
    monkeypatch.setattr(durations, "find_durations", lambda keys: {key: KEYS[key] for key in keys if key in KEYS})


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output (without non-breaking spaces), standard error."""
    with pytest.raises(SystemExit) as stopped:
        main(["compare", *arguments])
    told = capsys.readouterr()
    return int(stopped.value.code or 0), told.out.replace("\N{NO-BREAK SPACE}", " "), told.err


def line(out: str, start: str) -> list[str]:
    """The cells of a table's row."""
    (found,) = (text.strip() for text in out.splitlines() if text.strip().startswith(f"{start}  "))
    return [cell.strip() for cell in found.removeprefix(start).split("  ") if cell.strip()]


def test_the_workspace_is_compared_with_the_last_commit(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys)
    assert (code, err) == (1, "")
    assert out.startswith(
        "Regression: workspace is worse than HEAD by 30.0 points of accuracy\n  workspace against HEAD ("
    )
    assert "workspace: worse than HEAD on the same 100 test photos." in out
    assert "workspace: REGRESSION." in out
    assert line(out, "train.epochs") == ["1", "3"]
    assert line(out, "photos") == ["100", "100"]
    assert line(out, "training time") == ["1 min 5 s", "unknown"]
    assert line(out, "parameters") == ["7", "7"]


def test_one_name_is_the_base(capsys: pytest.CaptureFixture[str]) -> None:
    assert "\n  workspace against wider (" in run(capsys, "wider")[1]


def test_an_experiment_that_is_better_ends_well(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "HEAD", "wider")
    assert (code, err) == (0, "")
    assert "wider: better than HEAD on the same 100 test photos." in out
    assert line(out, "training time") == ["1 min 5 s", "8 s"]


def test_what_counts_as_a_regression_is_a_parameter(repository: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    params = repository.root / "params.yaml"
    before = params.read_text()
    params.write_text(re.sub(r"max_regression: \S+", "max_regression: 0.4", before))
    try:
        code, out, _ = run(capsys)
    finally:
        params.write_text(before)
    assert code == 0
    assert "workspace: worse than HEAD" in out


def test_many_runs_stand_in_one_table(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "HEAD", "wider", "workspace")
    assert code == 1
    assert line(out, "train.epochs") == ["1", "2", "3"]
    assert [cell.split(":")[0] for cell in line(out, "against HEAD")] == ["better", "worse"]


def test_markdown_for_a_pull_request(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "--markdown", "HEAD", "wider")
    assert code == 0
    assert out.startswith(
        "### Better: wider is better than HEAD by 20.0 points of accuracy\n<!-- convlens compare -->\n"
    )
    assert "| train.epochs | 1 | 2 |\n" in out


def test_a_page_is_written_beside_the_text(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, out, err = run(capsys, "--markdown", "--html", str(tmp_path / "new/page.html"))
    assert (code, err) == (1, "")
    assert out.startswith("### Regression: workspace is worse than HEAD by 30.0 points of accuracy")
    text = (tmp_path / "new/page.html").read_text(encoding="utf-8")
    assert "Regression: workspace is worse than HEAD by 30.0 points of accuracy" in text
    assert text.count("data:image/jpeg;base64,") == 24  # of the 30 that were lost
    assert str(Path.cwd()) not in text


def test_a_base_without_results_is_no_error(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, out, err = run(capsys, "empty", "HEAD", "--html", str(tmp_path / "page.html"))
    assert (code, err) == (0, "")
    assert out.startswith("First results: empty has none to compare with\n")
    assert line(out, "photos") == ["100"]
    assert (tmp_path / "page.html").is_file()


def test_a_head_without_results_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "HEAD", "empty")
    assert (code, out) == (2, "")
    assert err.startswith("Expected params.yaml at the revision 'empty'. Received: nothing there.")


def test_what_crashes_is_no_regression(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(durations, "find_durations", lambda keys: 1 / 0)
    code, out, err = run(capsys)
    assert (code, out) == (2, "")
    assert err.endswith("ZeroDivisionError: division by zero\n")


def test_a_page_is_about_two_runs(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, _, err = run(capsys, "HEAD", "wider", "workspace", "--html", str(tmp_path / "page.html"))
    assert code == 2
    assert "--html and --filters compare two runs. Name one HEAD." in err


def test_answers_that_only_another_cache_has_are_compared_unpaired(
    repository: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    cache = repository.root / ".dvc/cache"
    cache.rename(cache.with_name("away"))
    try:
        code, out, err = run(capsys)
    finally:
        cache.with_name("away").rename(cache)
    assert (code, err) == (1, "")
    assert out.startswith("Regression: workspace is worse than HEAD by 30.0 points of accuracy (unpaired)\n")
    assert "Bring them with `dvc fetch --all-commits`" in " ".join(out.split())


def test_an_unknown_revision_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "HEAD", "nosuch")
    assert (code, out) == (2, "")
    assert err.startswith("Expected `workspace`, a Git revision or the name of a DVC experiment. Received: 'nosuch'")
    assert len(err.splitlines()) == 1
