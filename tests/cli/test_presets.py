import subprocess
from pathlib import Path

import pytest
from dvc.cli import parse_args
from dvc.cli.parser import DvcParserError
from photo_files import PARAMS

from convlens.cli.main import main
from convlens.params import read_yaml

PRESET = "# Quick: three epochs.\n# More words.\ntrain:\n  epochs: 3\n  batch_size: 8\n"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with one preset."""
    (tmp_path / "presets").mkdir()
    (tmp_path / "presets/quick.yaml").write_text(PRESET)
    (tmp_path / "params.yaml").write_bytes(PARAMS.read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    with pytest.raises(SystemExit) as stopped:
        main(["preset", *arguments])
    told = capsys.readouterr()
    return int(stopped.value.code or 0), told.out, told.err


def test_presets_are_listed(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "presets/much-longer.yaml").write_text("train: {epochs: 300}")
    assert run(capsys) == (0, "much-longer\nquick        Quick: three epochs.\n", "")


def test_a_preset_is_printed_as_arguments(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (root / "params.yaml").read_bytes()
    assert run(capsys, "quick") == (0, "-S train.epochs=3 -S train.batch_size=8\n", "")
    assert (root / "params.yaml").read_bytes() == before


def test_a_preset_is_written(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "quick", "--write")
    assert (code, err) == (0, "")
    train = read_yaml(PARAMS)["train"]
    assert out == f"train.epochs: {train['epochs']} -> 3\ntrain.batch_size: {train['batch_size']} -> 8\n"
    assert "  epochs: 3\n" in (root / "params.yaml").read_text()
    assert run(capsys, "quick", "--write")[1] == "Nothing to change: params.yaml has these values already.\n"


def test_a_shell_does_not_run_without_a_preset_it_failed_to_get(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "quik")
    assert (code, err) == (1, "Expected the name of a preset: quick. Received: 'quik'.\n")
    with pytest.raises(DvcParserError):
        parse_args(["exp", "run", *out.split()])
    capsys.readouterr()
    assert run(capsys, "quik", "--write")[:2] == (1, "")


def test_a_bad_preset_is_told(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "presets/quick.yaml").write_text("train: {epochs: 0}")
    code, _, err = run(capsys, "quick", "--write")
    assert code == 1
    assert err == (
        "params.yaml with presets/quick.yaml: expected train.epochs to be greater than or equal to 1. Received: 0.\n"
    )
    assert (root / "params.yaml").read_bytes() == PARAMS.read_bytes()


def test_a_preset_is_laid_over_the_last_commit(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Not over what an earlier one left; groups that no preset sets stay as they are."""
    (root / "presets/adam.yaml").write_text("# Adam.\ntrain: {optimizer: adam, epochs: 9}\n")
    for command in (("init", "--quiet"), ("add", "params.yaml"), ("commit", "--quiet", "--message", "Start")):
        subprocess.run(["git", "-c", "user.name=T", "-c", "user.email=t@example.com", *command], cwd=root, check=True)
    run(capsys, "adam", "--write")
    params = root / "params.yaml"
    params.write_text(params.read_text().replace("synthetic.yaml", "other.yaml", 1))
    code, out, err = run(capsys, "quick")
    assert (code, out) == (0, "-S train.optimizer=conv_muon -S train.epochs=3 -S train.batch_size=8\n")
    assert err == "preset: params.yaml differed from the last commit; taken back: train.optimizer adam -> conv_muon.\n"
    run(capsys, "quick", "--write")
    expected = read_yaml(PARAMS)
    expected["train"] |= {"epochs": 3, "batch_size": 8}
    expected["data"]["source"] = "data/cards/other.yaml"
    assert read_yaml(params) == expected
