"""`dvc.yaml` says what the code says: paths, groups, and the code each stage depends on."""

import ast
import inspect
import shlex
import shutil
from pathlib import Path

import pytest
from house.imports import ROOT, SOURCE, needed_files
from jinja2 import Environment, FileSystemLoader
from jinja2.meta import find_referenced_templates
from ruamel.yaml import YAML

import convlens
from convlens.params import Params, load_params
from convlens.pipeline import STAGES, group_names, load_stage, path_names
from convlens.training.key import CODE, digest_code, training_key

PIPELINE = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
PACKAGE = SOURCE / "convlens"
TEMPLATES = PACKAGE / "pages/templates"
# These say how things are told, not what comes out.
FOUNDATION = {"__init__.py", "environment.py", "errors.py", "params.py", "progress.py"}
NO_STAGES_GROUPS = {"compare"}  # `convlens compare` reads it; a change of it changes no result
# How a run is recorded, how files are written and how photos were decoded must not cost a training: what came of the
# latter is a dependency itself.
NOT_A_DEPENDENCY = {"train": ("tracking", "files.py", "data/cache.py", "data/loader.py", "data/workers.py")}


def entries(stage: str, *kinds: str) -> list[str]:
    found = [entry for kind in kinds for entry in PIPELINE["stages"][stage].get(kind, [])]
    return [next(iter(entry)) if isinstance(entry, dict) else entry for entry in found]


def arguments(stage: str) -> dict[str, str]:
    words = shlex.split(PIPELINE["stages"][stage]["cmd"])
    assert words[:5] == ["PYTHONPATH=src", "python", "-m", "convlens.pipeline", stage]
    return dict(zip(words[5::2], words[6::2], strict=True))


def test_the_stages_are_all_there_in_order():
    assert tuple(PIPELINE["stages"]) == STAGES


@pytest.mark.parametrize("stage", STAGES)
def test_the_command_gives_the_paths_of_the_signature(stage):
    expected = [f"--{name.replace('_', '-')}" for name in path_names(load_stage(stage))]
    assert list(arguments(stage)) == expected


def test_the_file_and_the_signatures_stay_short():
    assert len((ROOT / "dvc.yaml").read_text(encoding="utf-8").splitlines()) <= 38 * len(STAGES)
    assert {stage for stage in STAGES if len(inspect.signature(load_stage(stage)).parameters) > 8} == set()


@pytest.mark.parametrize("stage", STAGES)
def test_the_params_are_the_groups_of_the_signature(stage):
    wanted = set(group_names(load_stage(stage)))
    listed = set(PIPELINE["stages"][stage]["params"])
    if stage == "register":  # records the whole file
        wanted -= NO_STAGES_GROUPS
    if stage == "report":  # settings of many groups, what a champion must meet, and how the model card loads the model
        wanted = groups_read(stage) - {"register"} | {"data", "register.criteria", "register.model_name"}
    assert listed == wanted


def groups_read(stage: str) -> set[str]:
    """The groups that a stage with all parameters takes something from: `params.GROUP` in its own code and pages."""
    names = {
        node.attr
        for file in needed_files(PACKAGE / "stages" / f"{stage}.py")
        if file.relative_to(PACKAGE).parts[0] in ("stages", "pages")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and "params" in (getattr(node.value, "id", ""), getattr(node.value, "attr", ""))
    }
    return {field.alias or name for name, field in Params.model_fields.items() if name in names}


@pytest.mark.parametrize("stage", STAGES)
def test_every_path_is_a_dependency_or_an_output(stage):
    known = entries(stage, "deps", "outs", "metrics", "plots")
    not_results = {
        "reports/training/timing.csv",  # differs from run to run
        "reports/training/speed.png",  # the same as a picture
        ".convlens/checkpoints",
        ".",  # of params.yaml, dvc.yaml, dvc.lock, which DVC knows, and requirements.txt
    }
    for path in arguments(stage).values():
        inside = [entry for entry in known if entry == path or entry.startswith(f"{path}/") or path in entry]
        assert inside or path in not_results, path


@pytest.mark.parametrize("stage", STAGES)
def test_the_code_a_stage_depends_on_is_the_code_it_imports(stage):
    files = set.union(*(needed_files(entry) for entry in entry_files(stage)))
    needed = {path for path in files if is_dependency(path, stage)} | needed_templates(files)
    listed = [ROOT / entry for entry in entries(stage, "deps") if entry.startswith("src/")]
    missing = {path for path in needed if not any(path.is_relative_to(entry) for entry in listed)}
    unneeded = [entry for entry in listed if not any(path.is_relative_to(entry) for path in needed)]
    assert {str(path.relative_to(ROOT)) for path in missing} == set()
    assert unneeded == []


@pytest.mark.parametrize("stage", STAGES)
def test_pages_of_other_commands_run_no_stage_again(stage):
    """Nothing that only `convlens compare` or `convlens evaluate` shows is below what a stage depends on."""
    files = needed_files(PACKAGE / "stages" / f"{stage}.py")
    listed = [ROOT / entry for entry in entries(stage, "deps") if entry.startswith("src/convlens/pages")]
    covered = {path for entry in listed for path in (entry, *entry.rglob("*")) if path.is_file()}
    pages = {path for path in covered if path.suffix == ".py" or path.is_relative_to(TEMPLATES)}
    assert {str(path.relative_to(ROOT)) for path in pages - files - needed_templates(files)} == set()


def needed_templates(files: set[Path]) -> set[Path]:
    """The templates that modules fill, and all that these extend, import or include, style sheets among them."""
    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True)
    waiting = [
        node.args[0].value
        for file in files
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "fill_template"
    ]
    found: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            source = (TEMPLATES / name).read_text(encoding="utf-8")
            waiting += find_referenced_templates(environment.parse(source))
    return {TEMPLATES / name for name in found}


def entry_files(stage: str) -> list[Path]:
    """The stage's module, and what it starts by its path instead of importing it."""
    started = [PACKAGE / "tracking/packaged_model.py"] if stage == "register" else []
    return [PACKAGE / "stages" / f"{stage}.py", *started]


def is_dependency(path: Path, stage: str) -> bool:
    room = path.relative_to(PACKAGE).parts[0]
    if room in FOUNDATION or (path.name == "__init__.py" and "import" not in path.read_text(encoding="utf-8")):
        return False
    return not any(path.is_relative_to(PACKAGE / entry) for entry in NOT_A_DEPENDENCY.get(stage, ()))


def test_a_change_of_inference_trains_nothing():
    """Views, threshold and tolerated error are chosen after training: neither its key nor its stage knows of them."""
    params = load_params(ROOT / "params.yaml")
    changed = {"mirror": False, "center_crop": 0.8, "threshold": 0.7, "max_error": 0.2}
    assert set(changed) == set(params.inference.model_dump())
    assert not set(changed) & {*type(params.model).model_fields, *type(params.evaluate).model_fields}
    other = params.model_copy(update={"inference": params.inference.model_copy(update=changed)})
    assert training_key({}, params.recipe) == training_key({}, other.recipe)
    assert "inference" not in group_names(load_stage("train"))
    assert "inference" not in PIPELINE["stages"]["train"]["params"]
    listed = [ROOT / entry for entry in entries("train", "deps")]
    for module in ("models/inference.py", "models/export.py", "metrics/operating_point.py", "metrics/calibration.py"):
        path = PACKAGE / module
        assert path not in needed_files(PACKAGE / "stages/train.py")
        assert not any(path.is_relative_to(entry) for entry in listed), module


def test_the_training_key_and_the_stage_depend_on_the_same_code():
    assert sorted(f"src/convlens/{name}" for name in CODE) == [
        entry for entry in entries("train", "deps") if entry.startswith("src/")
    ]


def test_a_comment_elsewhere_trains_nothing(tmp_path, monkeypatch):
    """Not in the export, the pages, the record, the commands, inference or figures."""
    copy = tmp_path / "convlens"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(convlens, "__file__", str(copy / "__init__.py"))
    before = digest_code()
    rooms = ("pages", "tracking", "cli", "plots", "lens", "metrics", "compare")
    files = [file for room in rooms for file in (copy / room).rglob("*.py")]
    for file in [*files, *(copy / "models" / f"{name}.py" for name in ("export", "inference", "classifier"))]:
        file.write_text(file.read_text(encoding="utf-8") + "# a comment\n", encoding="utf-8")
        listed = f"src/{file.relative_to(tmp_path).as_posix()}"
        assert not [entry for entry in entries("train", "deps") if f"{listed}/".startswith(f"{entry}/")]
    assert digest_code() == before
    (copy / "training/fit.py").write_text("# another loop\n", encoding="utf-8")
    assert digest_code() != before


@pytest.mark.parametrize("entry", ["cli", "compare", "pages/comparison.py", "pages/external.py"])
def test_what_only_commands_need_runs_no_stage(entry):
    """A comment changed there is a change of no stage's dependencies."""
    path = PACKAGE / entry
    files = {file for file in (path, *path.rglob("*.py")) if file.is_file()}
    assert files
    listed = {ROOT / dependency for stage in STAGES for dependency in entries(stage, "deps")}
    assert {str(file) for file in files for dependency in listed if file.is_relative_to(dependency)} == set()


def test_the_outputs_are_those_of_the_design():
    found = {entry for stage in STAGES for entry in entries(stage, "outs", "metrics", "plots")}
    assert {
        *("data/photos.parquet", "data/raw", "data/manifest", "data/prepared", "data/model"),
        *("reports/report.html", "reports/feature_maps.html", "reports/summary.md", "reports/registration.json"),
    } <= found
    assert PIPELINE["stages"]["register"]["outs"] == [{"reports/registration.json": {"cache": False}}]


def test_what_python_leaves_beside_the_code_is_no_dependency():
    """Else a stage would run again because its code had been imported."""
    ignored = (ROOT / ".dvcignore").read_text(encoding="utf-8").splitlines()
    assert {"__pycache__", "*.pyc"} <= set(ignored)
