import copy
import difflib
import json
import re
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.utils.hydra import apply_overrides
from photo_files import PARAMS, ROOT

from convlens.errors import ConvLensError
from convlens.params import (
    DataParams,
    Group,
    Params,
    PreprocessParams,
    flatten_params,
    load_params,
    name_source,
    parse_group,
    read_model_name,
    read_yaml,
)
from convlens.presets import to_arguments


def write(folder: Path, values: Any) -> Path:
    path = folder / "params.yaml"
    path.write_text(values if isinstance(values, str) else yaml.safe_dump(values), encoding="utf-8")
    return path


def changed(name: str, value: Any) -> dict[str, Any]:
    """The shipped values with one of them changed; `...` takes it away."""
    values: dict[str, Any] = copy.deepcopy(read_yaml(PARAMS))
    *groups, last = name.split(".")
    inner = values
    for group in groups:
        inner = inner[group]
    if value is ...:
        del inner[last]
    else:
        inner[last] = value
    return values


def with_text(name: str, text: str) -> str:
    """The shipped file with other words after the first parameter of that name."""
    changed, count = re.subn(rf"(\n  {name}:) \S+", rf"\1 {text}", PARAMS.read_text(encoding="utf-8"), count=1)
    assert count == 1
    return changed


def groups_in(kind: Any) -> Iterator[type[Group]]:
    """The groups that a field's type holds."""
    if isinstance(kind, type) and issubclass(kind, Group):
        yield kind
    elif isinstance(kind, types.UnionType) or typing.get_origin(kind):
        for inner in typing.get_args(kind):
            yield from groups_in(inner)


def leaf_fields(group: type[Group], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for attribute, field in group.model_fields.items():
        name = f"{prefix}{field.alias or attribute}"
        inner = list(groups_in(field.annotation))
        if field.annotation not in inner:
            yield name, field
        for other in inner:
            yield from leaf_fields(other, f"{name}.")


def test_the_shipped_file_is_valid() -> None:
    params = load_params(PARAMS)
    assert params.data.source == "data/cards/synthetic.yaml"
    assert params.model.residual.training_sizes[-1].until == 1


def test_the_shipped_file_names_every_parameter() -> None:
    """No parameter has a hidden default; only a bound that is left out bounds nothing."""
    dumped = load_params(PARAMS).model_dump(mode="json", by_alias=True)
    assert dumped == read_yaml(PARAMS)
    bounds = {f"register.criteria.{section}" for section in ("evaluation", "robustness", "label_errors")}
    optional = [name for name, field in leaf_fields(Params) if not field.is_required()]
    assert [name for name in optional if name.rpartition(".")[0] not in bounds] == []


def difference(copy: Path) -> list[str]:
    """The lines that a copy of the shipped file has lost and won."""
    lines = difflib.ndiff(PARAMS.read_text().splitlines(), copy.read_text().splitlines())
    return [line for line in lines if line[0] in "+-"]


def test_the_shipped_file_stands_in_the_form_that_dvc_writes(tmp_path: Path) -> None:
    """`dvc exp run -S` of a value that stands there already, of each parameter, changes nothing."""
    copy = tmp_path / "params.yaml"
    copy.write_bytes(PARAMS.read_bytes())
    words = to_arguments(read_yaml(PARAMS)).split()
    apply_overrides(copy, [word for word in words if "=" in word and "e-" not in word])  # 3e-05 is 0.00003
    assert difference(copy) == []


@pytest.mark.parametrize(
    ("override", "lost", "won"),
    [
        ("train.epochs=3", "  epochs: 60", "  epochs: 3"),
        ("train.max_minutes=2.5", "  max_minutes:      ", "  max_minutes: 2.5  "),
        ("model.architecture=classic", "  architecture: residual  ", "  architecture: classic  "),
        ("model.dense.units=[128]", "    - 512", "    - 128"),
        ("robustness.shift=[1,4,8,32]", "  - 16", "  - 32"),
        ("register.criteria.evaluation.accuracy.min=0.9", "        min: 0.8", "        min: 0.9"),
        (
            "data.source=data/somewhere/far/away/all/the/cats/and/dogs/of/the/country.zip",
            "  source: data/cards/synthetic.yaml  #",
            "  source: data/somewhere/far/away/all/the/cats/and/dogs/of/the/country.zip",
        ),
    ],
)
def test_an_override_of_dvc_changes_one_line(override: str, lost: str, won: str, tmp_path: Path) -> None:
    copy = tmp_path / "params.yaml"
    copy.write_bytes(PARAMS.read_bytes())
    apply_overrides(copy, [override])
    changed = [line for line in difference(copy) if line[0] != "?"]
    assert [line[:2] for line in changed] == ["- ", "+ "]
    assert changed[0][2:].startswith(lost)
    assert changed[1][2:].startswith(won)
    comments = [line.partition("#")[2] for line in changed]
    assert comments[0] == comments[1]


def test_every_parameter_is_described() -> None:
    fields = dict(leaf_fields(Params))
    assert len(fields) > 50
    assert [name for name, field in fields.items() if not (field.description or "").strip().endswith(".")] == []


def test_every_group_is_described() -> None:
    groups = {inner for field in Params.model_fields.values() for inner in groups_in(field.annotation)}
    assert [group.__name__ for group in groups if not group.__doc__] == []


def test_groups_are_found_by_their_name_in_the_file() -> None:
    params = load_params(PARAMS)
    for name in read_yaml(PARAMS):
        assert isinstance(params.group(name), Group)
    assert params.group("validate") is params.validate_
    assert params.group("preprocess") is params.preprocess


def test_parameters_cannot_be_changed() -> None:
    params = load_params(PARAMS)
    with pytest.raises(ValueError, match="frozen"):
        params.preprocess.seed = 1


@pytest.mark.parametrize(
    ("text", "value"), [("1e-3", 0.001), ("1E-3", 0.001), ("1.e-3", 0.001), ("1", 1.0), (".5", 0.5)]
)
def test_numbers_are_read_as_dvc_reads_them(text: str, value: float, tmp_path: Path) -> None:
    assert load_params(write(tmp_path, with_text("learning_rate", text))).train.learning_rate == value


UNEXPECTED = [
    ("train.epochs", "ten", "a valid integer"),
    ("train.epochs", "10", "a valid integer"),
    ("train.epochs", 1.5, "a valid integer"),
    ("train.epochs", True, "a valid integer"),
    ("train.epochs", 0, "greater than or equal to 1"),
    ("train.learning_rate", True, "a valid number"),
    ("train.learning_rate", None, "a valid number"),
    ("train.learning_rate", float("inf"), "a finite number"),
    ("train.learning_rate", float("nan"), "a finite number"),
    ("train.device", "tpu", "'auto', 'cpu' or 'gpu'"),
    ("train", 3, "a group of parameters (name: value)"),
    ("train", [1], "a group of parameters (name: value)"),
    ("augment.flip", 1, "a valid boolean"),
    ("augment.flip", "yes", "a valid boolean"),
    ("data.source", 3, "a valid string"),
    ("data.source", "", "a text with at least 1 character"),
    ("evaluate.confidence", 1.0, "less than 1"),
    ("validate.max_megapixels", 500, "less than or equal to 178"),
    ("model.dense.units", "512", "a list"),
    ("model.dense.units", [], "a list with at least 1 item"),
    ("model.transfer.weights_sha256", "0", "a text that matches '^[0-9a-f]{64}$'"),
    ("model.transfer.fine_tune_rate", 0, "greater than 0"),
    ("model.transfer.frozen_fraction", 1.1, "less than or equal to 1"),
    ("register.criteria.evaluation.accuracy.end", "middle", "'lower' or 'upper'"),
    ("register.criteria.slices.min_accuracy", 1.1, "less than or equal to 1"),
    ("register.criteria.champion.verdict", "worse", "'no_worse', 'better' or 'any'"),
    ("register.model_name", "a/b", "a text that matches '^[^/:@]+$'"),
]

OTHERWISE = [
    (
        "register.min_accuracy",
        0.9,
        "register: Expected the demand on the accuracy as criteria.evaluation.accuracy.min. "
        "Received: min_accuracy: 0.9, its former name.",
    ),
    (
        "register.criteria.evaluation.accuracy",
        {"end": "lower"},
        "register.criteria.evaluation.accuracy: Expected min, max or both. Received: neither.",
    ),
    (
        "register.criteria.evaluation.accuracy",
        {"min": 0.9, "max": 0.8},
        "register.criteria.evaluation.accuracy: Expected min up to max. Received: min 0.9, max 0.8.",
    ),
    *(
        (name, 1, f"unknown parameter '{name}'. Did you mean '{meant}'? Remove it, or correct its spelling.")
        for name, meant in (
            ("trian", "train"),
            ("train.epoch", "train.epochs"),
            ("model.epochs", "train.epochs"),
            ("register.criteria.champion.max_los", "register.criteria.champion.max_loss"),
        )
    ),
    ("train.zzz", 1, "unknown parameter 'train.zzz'. Remove it, or correct its spelling."),
    ("train.epochs", ..., "parameter 'train.epochs' is missing. Add it; src/convlens/params.py describes it."),
    ("evaluate", ..., "parameter 'evaluate' is missing. Add it; src/convlens/params.py describes it."),
    ("train.epochs", "x" * 500, f'expected train.epochs to be a valid integer. Received: "{"x" * 76}....'),
    ("model.dense.units", [9, 0], "expected model.dense.units.1 to be greater than or equal to 1. Received: 0."),
    (
        "preprocess.test_fraction",
        0.99,
        "preprocess: Expected validation_fraction + test_fraction below 1, so that photos are left for training. "
        f"Received: {load_params(PARAMS).preprocess.validation_fraction} + 0.99.",
    ),
    (
        "model.residual.training_sizes",
        [{"until": 0.5, "size": 64}],
        "model.residual: Expected training_sizes whose `until` rise and end at 1.0. Received: [0.5].",
    ),
    (
        "model.transfer.weights",
        "data/backbone.weights.h5",
        "model.transfer: Expected weights_sha256 to be the file's digest (`sha256sum FILE`), as weights is "
        "'data/backbone.weights.h5'. Received: null.",
    ),
    (
        "model.transfer.weights_sha256",
        "0" * 64,
        f"model.transfer: Expected weights_sha256 to be null, as weights is 'imagenet'. Received: {'0' * 64}.",
    ),
]


def refuse(folder: Path, name: str, value: Any) -> str:
    write(folder, changed(name, value))
    with pytest.raises(ConvLensError) as caught:
        load_params(Path("params.yaml"))
    return str(caught.value)


@pytest.mark.parametrize(("name", "value", "expected"), UNEXPECTED)
def test_a_bad_value_gives_one_clear_line(
    name: str, value: Any, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    told = refuse(tmp_path, name, value)
    assert told == f"params.yaml: expected {name} to be {expected}. Received: {json.dumps(value)}."


@pytest.mark.parametrize(("name", "value", "told"), OTHERWISE)
def test_other_errors_give_one_clear_line(
    name: str, value: Any, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert refuse(tmp_path, name, value) == f"params.yaml: {told}"


def test_every_mistake_is_told_at_once(tmp_path: Path) -> None:
    values = changed("train.epochs", 0)
    values["train"]["color"] = 1
    del values["data"]["source"]
    with pytest.raises(ConvLensError) as caught:
        load_params(write(tmp_path, values))
    lines = str(caught.value).splitlines()
    assert len(lines) == 3
    assert all(line.startswith(f"{tmp_path}/params.yaml: ") for line in lines)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [1,", "Expected valid YAML in .*params.yaml. Received: .*line 1"),
        ("a: 1\na: 2\n", "Expected valid YAML in .*duplicate key"),
        ("a: 1\n---\nb: 2\n", "Expected valid YAML"),
        ("a: !!python/object:os.system 1\n", "Expected valid YAML"),
        ("\t- a", "Expected valid YAML"),
        ("", r"expected the file to be a group of parameters \(name: value\). Received: null"),
        ("- a\n", r"expected the file to be a group of parameters .*Received: \[\"a\"\]"),
        ("just words", 'expected the file to be a group .*Received: "just words"'),
        ("? [1, 2]\n: 3\n", "Expected plain values in|Expected valid YAML"),
    ],
)
def test_a_file_that_is_no_params_file(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(ConvLensError, match=words) as caught:
        load_params(write(tmp_path, text))
    assert "\n" not in str(caught.value)
    assert "params.yaml" in str(caught.value)


def test_a_file_that_is_not_there_or_not_text(tmp_path: Path) -> None:
    with pytest.raises(
        ConvLensError, match=r"Expected a YAML file at .*params\.yaml\. Received: nothing there\. Run from"
    ):
        load_params(tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConvLensError, match="Expected valid YAML"):
        load_params(tmp_path / "params.yaml")


def test_a_date_in_the_file_is_a_text(tmp_path: Path) -> None:
    assert load_params(write(tmp_path, with_text("source", "2024-05-01"))).data.source == "2024-05-01"
    with pytest.raises(ConvLensError, match=r'expected train.epochs to be a valid integer. Received: "2024-05-01"'):
        load_params(write(tmp_path, with_text("epochs", "2024-05-01")))


def test_where_names_the_file_in_errors() -> None:
    with pytest.raises(ConvLensError, match=r"^my file: parameter 'image_size' is missing"):
        parse_group(PreprocessParams, {}, where="my file")


def test_the_pipeline_and_the_schema_know_the_same_groups() -> None:
    used = {
        name.partition(".")[0]
        for stage in yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"].values()
        for name in stage.get("params", [])
    }
    no_stages = {"compare"}
    assert used | no_stages == {field.alias or name for name, field in Params.model_fields.items()}


def test_params_are_flat_texts() -> None:
    nested = {"train": {"epochs": 3, "optimizer": "adam", "sizes": [{"until": 1.0, "size": 64}]}, "flip": True}
    assert flatten_params(nested) == {
        "train.epochs": "3",
        "train.optimizer": "adam",
        "train.sizes": '[{"until": 1.0, "size": 64}]',
        "flip": "true",
    }


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("data/cards/synthetic.yaml", "synthetic"),
        ("../photos/", "photos"),
        ("C:\\Fotos\\Meine Katzen", "Meine-Katzen"),
        ("photos.tar.gz", "photos"),
        ("s3://bucket/2024.05", "2024.05"),
        ("../a:b@c", "a-b-c"),
        ("https://me:secret@host/photos.zip?token=secret#secret", "photos"),
        ("https://me:secret@host", "host"),
        ("..", "convlens"),
    ],
)
def test_a_model_is_named_after_its_photos(tmp_path: Path, source: str, name: str) -> None:
    params = load_params(PARAMS)
    assert params.model_copy(update={"data": DataParams(source=source)}).model_name == name
    assert name_source(source) == name
    where = tmp_path / "params.yaml"
    where.write_text(f"data:\n  source: {json.dumps(source)}\nregister:\n  model_name:\ntrain:\n  epochs: nonsense\n")
    assert read_model_name(where) == name
    where.write_text("data:\n  source: photos\nregister:\n  model_name: mine\n")
    assert read_model_name(where) == "mine"
