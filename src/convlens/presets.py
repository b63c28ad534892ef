"""Presets: named sets of ordinary parameters, laid over `params.yaml` as it was committed.

DVC leaves in `params.yaml` what an experiment was given, so a preset does not build on what is there: the groups that
presets set are those of the last commit again, whatever an earlier preset or `-S` left in them. Other groups, such as
`data`, stay as they are. Without Git or a commit, all of them do.

A preset is a file `presets/<name>.yaml`: a comment whose first line says what it is for, and a part of params.yaml.
Groups are merged, everything else (lists too) takes the place of what was there. The result is checked like
params.yaml itself, so a preset can hold nothing that params.yaml could not.
"""

import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convlens.errors import ConvLensError
from convlens.params import (
    ParameterRow,
    Params,
    list_differences,
    load_params,
    parse_group,
    read_committed,
    read_yaml,
)

PARAMS = Path("params.yaml")
FOLDER = Path("presets")
WORD = re.compile(r"[A-Za-z][\w./-]*", re.ASCII)  # what Hydra's grammar takes for text without quotes
NO_TEXT = ("true", "false", "null", "nan", "inf")  # what it takes for something else, in any case of letters
UNSAFE = re.compile(r"[\s*?\\$]")  # what the shell would split or expand, or Hydra take for something else


@dataclass(frozen=True)
class Preset:
    """A preset that fits the parameters.

    Attributes:
        name: of its file, without `.yaml`.
        purpose: the first line of its comment.
        values: the part of params.yaml that it holds.
        merged: all parameters with the preset laid over them.
        changes: what leads from params.yaml to these: `values`, and what is taken back to the last commit.
        taken_back: the latter, with the value in params.yaml and the committed one.
        params: all parameters, checked.
    """

    name: str
    purpose: str
    values: Mapping[str, Any]
    merged: Mapping[str, Any]
    changes: Mapping[str, Any]
    taken_back: tuple[ParameterRow, ...]
    params: Params


def list_presets(folder: Path = FOLDER) -> dict[str, str]:
    """Names of the presets, sorted, with what each is for."""
    return {path.stem: _read_purpose(path) for path in sorted(folder.glob("*.yaml"), key=lambda path: path.stem)}


def load_preset(name: str, *, folder: Path = FOLDER, params: Path = PARAMS) -> Preset:
    """Read a preset, lay it over the committed parameters and check the result.

    Raises:
        ConvLensError: there is no such preset, or it does not make valid parameters.
    """
    load_params(params)  # what is wrong with the file itself is not the preset's fault
    names = list_presets(folder)
    if name not in names:
        known = ", ".join(names) or f"no file in {folder}/"
        raise ConvLensError(f"Expected the name of a preset: {known}. Received: '{name}'.")
    path = folder / f"{name}.yaml"
    values = read_yaml(path)
    if not isinstance(values, dict) or not values:
        raise ConvLensError(f"Expected groups of parameters in {path}, as in {params}. Received: {values!r}.")
    now, committed = read_yaml(params), read_committed(params)
    groups = {group for other in names for group in _read_groups(folder / f"{other}.yaml")}
    base = {group: _take_back(value, committed, group) if group in groups else value for group, value in now.items()}
    merged = merge(base, values)
    checked = parse_group(Params, merged, where=f"{params} with {path}")
    own = {one for one, _ in _flatten(values)}
    taken_back = tuple(row for row in list_differences([now, merged]) if row.name not in own)
    changes = merge(_select(merged, {row.name for row in taken_back}), values)
    return Preset(name, names[name], values, merged, changes, taken_back, checked)


def _read_groups(path: Path) -> list[str]:
    """The groups that a preset sets; none of a file that is none."""
    try:
        values = read_yaml(path)
    except ConvLensError:
        return []
    return [*values] if isinstance(values, dict) else []


def _take_back(value: Any, committed: Any, name: str) -> Any:
    """A value as it was committed under a name; names that the commit does not know stay as they are."""
    if not isinstance(committed, Mapping) or name not in committed:
        return value
    before = committed[name]
    if isinstance(value, Mapping) and isinstance(before, Mapping):
        return {inner: _take_back(inside, before, inner) for inner, inside in value.items()}
    return before


def _select(values: Mapping[str, Any], names: set[str], prefix: str = "") -> dict[str, Any]:
    """The part of nested values that has these dotted names."""
    chosen: dict[str, Any] = {}
    for name, value in values.items():
        if f"{prefix}{name}" in names:
            chosen[name] = value
        elif isinstance(value, Mapping) and (inside := _select(value, names, f"{prefix}{name}.")):
            chosen[name] = inside
    return chosen


def merge(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """New nested values: groups merged, everything else replaced."""
    merged = dict(values)
    for name, change in changes.items():
        before = merged.get(name)
        is_group = isinstance(before, Mapping) and isinstance(change, Mapping)
        merged[name] = merge(before or {}, change) if is_group else change
    return merged


def to_arguments(values: Mapping[str, Any]) -> str:
    """Nested parameters as arguments of `dvc exp run`: `-S train.epochs=10 -S …`.

    They survive `$(…)` without quotes around it: no spaces, and quotes only where Hydra, which reads them, needs some.

    Raises:
        ConvLensError: a text that the shell would split or take for a pattern of file names.
    """
    return " ".join(f"-S {name}={_encode(value, name)}" for name, value in _flatten(values))


def write_preset(preset: Preset, path: Path = PARAMS) -> tuple[ParameterRow, ...]:
    """Lay a preset over params.yaml in place; comments stay, and the layout is the one that DVC writes.

    Returns:
        What changed: each parameter with its value before and after.
    """
    from convlens.files import write_text

    changes = list_differences([read_yaml(path), preset.merged])
    if changes:
        write_text(path, _edit(path.read_text(encoding="utf-8"), preset.changes))
    return changes


def _read_purpose(path: Path) -> str:
    first = path.read_text(encoding="utf-8").partition("\n")[0]
    return first.removeprefix("#").strip() if first.startswith("#") else ""


def _flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _encode(value: Any, name: str) -> str:
    """A value in Hydra's override grammar: https://hydra.cc/docs/advanced/override_grammar/basic/."""
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{_encode(item, name)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(_encode(item, name) for item in value) + "]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return _encode_text(value, name) if isinstance(value, str) else repr(value)


def _encode_text(text: str, name: str) -> str:
    if UNSAFE.search(text):
        raise ConvLensError(
            f"Expected a value that passes a shell as it is, without spaces and any of *?\\$. "
            f"Received: {name}: '{text}'. Write the preset into params.yaml instead: convlens preset NAME --write."
        )
    if WORD.fullmatch(text) and text.lower() not in NO_TEXT:
        return text
    return "'" + text.replace("'", r"\'") + "'"


def _edit(text: str, values: Mapping[str, Any]) -> str:
    """Change values of a YAML text, and write it as DVC does: a list item a line, null as nothing."""
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.default_flow_style = False
    document = yaml.load(text)
    _assign(document, values)
    edited = io.StringIO()
    yaml.dump(document, edited)
    return edited.getvalue()


def _assign(document: Any, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        before = document.get(name)
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            _assign(before, value)
        elif isinstance(value, list) and isinstance(before, list):
            before[:] = value  # in place: the comment behind the name belongs to the list
        elif before != value:
            document[name] = value
