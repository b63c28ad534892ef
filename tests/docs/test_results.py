"""The README's table of results is what docs/results.json says, and a measurement adds a line to both."""

import importlib.util
import json
import shutil
import sys

import click
import pytest
from docs.blocks import ROOT
from docs.dry import check_dvc
from docs.reader import Reader, make_reader
from pipeline.clone import EPOCHS

TOOL = "tools/results.py"
ROW = {
    "photos": "cats and dogs",
    "digest": "0123456789abcdef",
    "parameters": "`params.yaml`",
    "protocol": "400 photos, after training on 1,400",
    "accuracy": 0.935,
    "accuracy_low": 0.9062,
    "accuracy_high": 0.9554,
    "log_loss": None,
    "epochs": 54,
    "seconds": 133.4,
    "commit": "abc1234567",
    "machine": "2 cores (Linux x86_64)",
}


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch):
    spec = importlib.util.spec_from_file_location("results_tool", ROOT / TOOL)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "results_tool", module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def reader(reproduced, tmp_path_factory) -> Reader:
    """Tests put back what they change."""
    return make_reader(reproduced, tmp_path_factory.mktemp("results"))


def test_the_readme_has_the_table(tool) -> None:
    rows = tool.read_rows(ROOT / tool.ROWS)
    assert rows
    assert tool.filled_readme() == (ROOT / "README.md").read_text(encoding="utf-8")
    for row in rows:
        assert row.accuracy_low <= row.accuracy <= row.accuracy_high
        assert row.commit
        assert row.digest
        assert row.machine


def test_a_row_as_a_line(tool) -> None:
    table = tool.render_table([tool.Row(**ROW)])
    assert table.splitlines()[2] == (
        "| cats and dogs (`0123456789ab`) | `params.yaml` | 400 photos, after training on 1,400 "
        "| **93.5 %** (90.6 to 95.5) | – | 2 min 13 s, 54 epochs | `abc1234567`, 2 cores (Linux x86_64) |"
    )
    assert tool.fill(f"a\n{tool.START}\nold\n{tool.END}\nb\n", "T\n") == f"a\n{tool.START}\n\nT\n\n{tool.END}\nb\n"
    with pytest.raises(click.ClickException, match="around the table"):
        tool.fill("a", "T\n")


def test_a_row_takes_the_place_of_the_one_before_it(tool, tmp_path) -> None:
    first, other = tool.Row(**ROW), tool.Row(**{**ROW, "photos": "birds"})
    again = tool.Row(**{**ROW, "accuracy": 0.94})
    assert tool.add_row([first, other], again) == [again, other]
    assert tool.add_row([first], other) == [first, other]
    tool.write_rows(tmp_path / "rows.json", [first, other])
    assert tool.read_rows(tmp_path / "rows.json") == [first, other]
    (tmp_path / "rows.json").write_text(json.dumps([{**ROW, "color": "red"}]))
    with pytest.raises(click.ClickException, match="Differs: color"):
        tool.read_rows(tmp_path / "rows.json")


def test_results_that_are_here_add_a_line(tool, reader: Reader) -> None:
    done = reader.run("sh", f"python {TOOL} measure --photos tiny --here && python {TOOL} render --check")
    assert done.returncode == 0, done.stdout
    folder = reader.clone.folder
    row = tool.read_rows(folder / tool.ROWS)[-1]
    metrics = json.loads((folder / "reports/evaluation/metrics.json").read_text())
    prepared = json.loads((folder / "data/prepared/card.json").read_text())
    assert row.accuracy == round(metrics["accuracy"], 4)
    assert row.digest == prepared["digest"][:12]
    assert (row.photos, row.epochs) == ("tiny", EPOCHS)
    assert reader.clone.run("git", "rev-parse", "HEAD").stdout.startswith(row.commit)
    assert "| tiny (`" in (folder / "README.md").read_text(encoding="utf-8")
    reader.run("sh", "git checkout --quiet README.md docs/results.json")


@pytest.mark.parametrize(
    ("change", "told"),
    [("sed -i 's/^  epochs: .*/  epochs: 4/' params.yaml", "as committed"), ("rm -r data/model", "current results")],
)
def test_results_of_something_else_are_refused(change: str, told: str, reader: Reader) -> None:
    done = reader.run("sh", f"{change}; python {TOOL} measure --photos tiny --here")
    assert done.returncode == 1
    assert told in done.stdout
    reader.run("sh", "git checkout --quiet params.yaml && dvc checkout --quiet data/model")


def test_measuring_adds_a_line(tool, reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pipeline itself is stood in for: its command line is checked, and its results are laid into the clone."""
    folder = reader.clone.folder

    def run(clone, overrides) -> None:
        check_dvc(["exp", "run", "evaluate", *(word for item in overrides for word in ("-S", item))], clone)
        for name in ("data/model", "data/prepared", "reports/training"):
            shutil.copytree(folder / name, clone / name, dirs_exist_ok=True)
        ran.extend(overrides)

    ran: list[str] = []
    monkeypatch.setattr(tool, "ROOT", folder)
    monkeypatch.setattr(tool, "run_in_clone", run)
    words = ["measure", "--source", "../photos", "--photos", "ours", "--preset", "quick", "-S", "train.seed=1"]
    tool.commands(words, standalone_mode=False)
    assert ran == ["train.epochs=null", "train.max_minutes=1", "train.seed=1", f"data.source='{folder.parent}/photos'"]
    row = tool.read_rows(folder / tool.ROWS)[-1]
    assert (row.photos, row.parameters) == ("ours", "preset `quick`, `train.seed=1`")
    reader.run("sh", "git checkout --quiet README.md docs/results.json")


def test_folds_add_a_line(tool, reader: Reader, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, file = reader.clone.folder, tmp_path / "folds.json"
    fold = {"epochs": 60, "seconds": 300.0, "num_train": 1600}
    values = {
        **{
            "count": 5,
            "jobs": 2,
            "num_evaluated": 800,
            "log_loss": 0.21234,
            "folds": [fold, {**fold, "seconds": 310.0}],
        },
        **{"accuracy": 0.9, "accuracy_low": 0.88, "accuracy_high": 0.92, "photos": {"digest": "0123456789abcdef"}},
        "machine": {"num_cores": 2, "system": "Linux x86_64", "features": ["avx2", "avx512_bf16"]},
        **{"params": "params.yaml", "preset": "thorough"},
    }
    file.write_text(json.dumps(values))
    monkeypatch.setattr(tool, "ROOT", folder)
    tool.commands(["folds", str(file), "--photos", "ours"], standalone_mode=False)
    row = tool.read_rows(folder / tool.ROWS)[-1]
    assert row.parameters == "preset `thorough`"
    assert row.protocol == "800 photos, each after training on 1,600 others, 2 of 5 folds"
    assert (row.epochs, row.seconds, row.log_loss) == (60, 305.0, 0.2123)
    assert row.machine == "1 of 2 cores (Linux x86_64, avx512_bf16)"
    other = tool.read_folds({**values, "count": 2, "jobs": 1, "preset": None}, photos="", commit="")
    assert (other.parameters, other.machine) == ("`params.yaml`", "2 cores (Linux x86_64, avx512_bf16)")
    with pytest.raises(click.ClickException, match="Measure again"):
        tool.read_folds({name: value for name, value in values.items() if name != "preset"}, photos="", commit="")
    reader.run("sh", "git checkout --quiet README.md docs/results.json")
