"""Presets: what is committed fits params.yaml, reaches DVC whole through a shell, and is written in place."""

import difflib
import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
from dvc.cli import parse_args
from dvc.utils.cli_parse import to_path_overrides
from dvc.utils.hydra import apply_overrides, get_hydra_sweeps
from photo_files import PARAMS, ROOT

from convlens.errors import ConvLensError
from convlens.params import AugmentParams, load_params, read_yaml
from convlens.presets import list_presets, load_preset, merge, to_arguments, write_preset

COMMITTED = sorted(path.stem for path in (ROOT / "presets").glob("*.yaml"))


def load(name: str, params: Path = PARAMS):
    return load_preset(name, folder=ROOT / "presets", params=params)


def through_a_shell(arguments: str) -> list[str]:
    """The words that `dvc exp run $(convlens preset NAME)` gets."""
    script = f"""for word in $(printf '%s' {shlex.quote(arguments)}); do printf '%s\\n' "$word"; done"""
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def as_dvc_does(arguments: str, params: Path, *more: str) -> list[Any]:
    """The parameters of the experiments that DVC would run, read back from its copy of params.yaml."""
    parsed = parse_args(["exp", "run", "--queue", *through_a_shell(arguments), *more])
    shipped, found = params.read_bytes(), []
    for sweep in get_hydra_sweeps(to_path_overrides(parsed.set_param)):
        params.write_bytes(shipped)
        apply_overrides(params, sweep["params.yaml"])
        found.append(read_yaml(params))
    return found


@pytest.fixture
def params(tmp_path: Path) -> Path:
    copy = tmp_path / "params.yaml"
    copy.write_bytes(PARAMS.read_bytes())
    return copy


def test_presets_are_committed_and_say_what_they_are_for() -> None:
    found = list_presets(ROOT / "presets")
    assert list(found) == COMMITTED
    assert {"dense", "lecture", "thorough"} <= set(found)
    assert [name for name, purpose in found.items() if not (20 < len(purpose) <= 116 and purpose.endswith("."))] == []


@pytest.mark.parametrize("name", COMMITTED)
def test_every_preset_fits_the_shipped_parameters(name: str, params: Path) -> None:
    preset = load(name, params)
    assert preset.merged == merge(read_yaml(PARAMS), preset.values)
    assert preset.merged != read_yaml(PARAMS)


@pytest.mark.parametrize("name", COMMITTED)
def test_every_preset_reaches_dvc_whole(name: str, params: Path) -> None:
    preset = load(name, params)
    arguments = to_arguments(preset.values)
    parsed = parse_args(["exp", "run", *through_a_shell(arguments)])
    apply_overrides(params, to_path_overrides(parsed.set_param)["params.yaml"])
    assert read_yaml(params) == preset.merged


@pytest.mark.parametrize("name", COMMITTED)
def test_every_preset_can_be_swept_over(name: str, params: Path) -> None:
    preset = load(name, params)
    found = as_dvc_does(to_arguments(preset.values), params, "-S", "train.seed=5,6")
    assert found == [merge(preset.merged, {"train": {"seed": seed}}) for seed in (5, 6)]


@pytest.mark.parametrize("name", COMMITTED)
def test_every_preset_is_written_in_place(name: str, params: Path) -> None:
    preset = load(name, params)
    before = params.read_text(encoding="utf-8").splitlines()
    changes = write_preset(preset, params)
    after = params.read_text(encoding="utf-8").splitlines()
    assert read_yaml(params) == preset.merged
    load_params(params)
    comments = [line.partition("#")[2] for line in before]
    assert [line.partition("#")[2] for line in after if "#" in line] == [text for text in comments if text]
    assert {row.name.rpartition(".")[2] for row in changes} >= {
        line.split(":")[0].strip() for line in set(before) - set(after) if not line.strip().startswith(("- ", "size:"))
    }
    assert write_preset(load(name, params), params) == ()
    assert params.read_text(encoding="utf-8").splitlines() == after


@pytest.mark.parametrize("name", ["lecture", "dense"])
def test_the_lecture_knows_no_augmentation(name: str) -> None:
    """Whatever params.yaml has: a new kind of augmentation must be turned off here, too."""
    augment = load(name).values["augment"]
    assert set(augment) == set(AugmentParams.model_fields)
    assert {name: value for name, value in augment.items() if value} == {"min_crop_area": 1.0, "max_crop_aspect": 1.0}


VALUES = {
    "none": None,
    "yes": True,
    "whole": -3,
    "tiny": 1e-05,
    "rate": 0.07,
    "word": "conv_muon",
    "path": "../shared/data-1/cats.zip",
    "looks": ["null", "True", "1e-3", "12", "", "it's", "a,b", "{x:1}", "a=b", "models:/x@y", "naïve"],
    "sizes": [{"until": 0.35, "size": 64}, {"until": 1.0, "size": [96, None]}],
    "empty": [],
}


def test_all_kinds_of_values_survive(params: Path) -> None:
    params.write_text(f"group: {dict.fromkeys(VALUES, 0)}\n".replace("'", ""))
    (found,) = as_dvc_does(to_arguments({"group": VALUES}), params)
    assert found == {"group": VALUES}


@pytest.mark.parametrize("text", ["my photos", "*.png", "what?", "back\\slash", "${data.source}", "two\nlines"])
def test_what_a_shell_would_change_is_refused(text: str) -> None:
    with pytest.raises(
        ConvLensError, match=r"^Expected a value that passes a shell as it is.*Received: data\.source: "
    ):
        to_arguments({"data": {"source": text}})


def write(folder: Path, text: str) -> Path:
    (folder / "presets").mkdir()
    (folder / "presets/mine.yaml").write_text(text)
    return folder / "presets"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("train: {epoch: 3}", "params.yaml with {folder}/mine.yaml: unknown parameter 'train.epoch'."),
        ("training: {epochs: 3}", "params.yaml with {folder}/mine.yaml: unknown parameter 'training'."),
        ("train: {epochs: 0}", "expected train.epochs to be greater than or equal to 1. Received: 0."),
        ("train: {epochs: ten}", 'expected train.epochs to be a valid integer. Received: "ten".'),
        ("train: 3", "expected train to be a group of parameters (name: value). Received: 3."),
        ("train: {epochs: null, max_minutes: null}", "Expected a number for epochs, for max_minutes, or for both."),
        ("- train", "Expected groups of parameters in {folder}/mine.yaml, as in "),
        ("# nothing\n", "Expected groups of parameters in {folder}/mine.yaml, as in "),
        ("train: {", "Expected valid YAML in {folder}/mine.yaml."),
    ],
)
def test_a_bad_preset_is_told(text: str, told: str, tmp_path: Path) -> None:
    folder = write(tmp_path, text)
    with pytest.raises(ConvLensError) as caught:
        load_preset("mine", folder=folder, params=PARAMS)
    assert told.format(folder=folder) in str(caught.value)


def test_bad_parameters_are_not_blamed_on_the_preset(tmp_path: Path, params: Path) -> None:
    folder = write(tmp_path, "train: {epochs: 3}")
    params.write_text(re.sub(r"batch_size: \d+", "batch_size: 0", params.read_text()))
    with pytest.raises(ConvLensError, match=r"^\S*params\.yaml: expected train\.batch_size"):
        load_preset("mine", folder=folder, params=params)


@pytest.mark.parametrize(("name", "known"), [("other", "mine"), ("../params", "mine")])
def test_an_unknown_preset_is_told(name: str, known: str, tmp_path: Path) -> None:
    folder = write(tmp_path, "# Mine.\ntrain: {epochs: 3}")
    with pytest.raises(ConvLensError) as caught:
        load_preset(name, folder=folder, params=PARAMS)
    assert str(caught.value) == f"Expected the name of a preset: {known}. Received: '{name}'."


def test_no_presets_are_told(tmp_path: Path) -> None:
    with pytest.raises(ConvLensError, match=r"^Expected the name of a preset: no file in \S+/\. Received: 'mine'\.$"):
        load_preset("mine", folder=tmp_path, params=PARAMS)


def test_written_parameters_keep_their_layout(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(PARAMS.read_bytes())
    folder = write(tmp_path, "# Mine.\nrobustness: {shift: [4, 16]}\ntrain: {epochs: null, max_minutes: 2.5}")
    before = read_yaml(PARAMS)
    changes = write_preset(load_preset("mine", folder=folder, params=path), path)
    assert [(row.name, *row.values) for row in changes] == [
        ("train.epochs", json.dumps(before["train"]["epochs"]), "null"),
        ("train.max_minutes", json.dumps(before["train"]["max_minutes"]), "2.5"),
        ("robustness.shift", json.dumps(before["robustness"]["shift"]), "[4, 16]"),
    ]
    old = PARAMS.read_text(encoding="utf-8").splitlines()
    new = path.read_text(encoding="utf-8").splitlines()
    difference = [line.split("#")[0].rstrip() for line in difflib.ndiff(old, new) if line[0] in "+-"]
    lost = ["-   epochs: 60", "-   max_minutes:", "-   - 1", "-   - 8"]
    assert sorted(difference) == sorted([*lost, "+   epochs:", "+   max_minutes: 2.5"])
    assert [line.partition("#")[2] for line in old if "#" in line] == [
        line.partition("#")[2] for line in new if "#" in line
    ]
