"""`convlens params` and the page that it writes."""

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from convlens.cli.main import commands, main
from convlens.params import flatten_params, read_yaml

ROOT = Path(__file__).parents[2]


def ask(*arguments: str) -> str:
    return CliRunner().invoke(commands, ["params", *arguments], catch_exceptions=False).output


def test_the_page_is_current(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a change of a parameter: `convlens params --markdown > docs/parameters.md`."""
    monkeypatch.chdir(ROOT)
    page = ask("--markdown")
    assert (ROOT / "docs/parameters.md").read_text(encoding="utf-8") == page
    values = read_yaml(ROOT / "params.yaml")
    values["register"]["criteria"]["evaluation"] = ""  # metrics are the user's to name
    assert [name for name in flatten_params(values) if f"| `{name}` |" not in page] == []


def test_a_parameter_and_a_group_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert (
        ask("train.keep")
        == "train.keep\n  best | last\n  Weights of the lowest validation loss, or of the last epoch.\n"
    )
    shutil.copyfile(ROOT / "params.yaml", tmp_path / "params.yaml")
    assert ask("train.keep").startswith("train.keep = last\n")
    told = ask("model.residual")
    assert told.startswith("model.residual.width = 24\n  whole number from 4\n")
    assert "\n\nmodel.residual.training_sizes[].until\n  number above 0 to 1\n" in told
    assert "model.classic" not in told
    assert "https://kellerjordan.github.io/posts/muon" in ask("train.optimizer")


@pytest.mark.parametrize(
    ("name", "hint"), [("train.optimzer", "Did you mean 'train.optimizer'?"), ("q", "`convlens params` lists them.")]
)
def test_an_unknown_name_is_told(name: str, hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="1"):
        main(["params", name])
    assert capsys.readouterr().err.endswith(f"Received: '{name}'. {hint}\n")
