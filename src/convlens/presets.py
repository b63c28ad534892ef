"""Presets: named sets of ordinary parameters, laid over `params.yaml`.

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

from convlens.compare.runs import ParameterRow, list_differences
from convlens.errors import ConvLensError
from convlens.params import Params, load_params, parse_group, read_yaml

PARAMS = Path("params.yaml")
FOLDER = Path("presets")
WORD = re.compile(r"[A-Za-z][\w./-]*", re.ASCII)  # what Hydra's grammar takes for text without quotes
NO_TEXT = ("true", "false", "null", "nan", "inf")  # what it takes for something else, in any case of letters
UNSAFE = re.compile(r"[\s*?\\$]")  # what the shell would split or expand, or Hydra take for something else


@dataclass(frozen=True)
class Preset:
    """A preset that fits the present parameters.

    Attributes:
        name: of its file, without `.yaml`.
        purpose: the first line of its comment.
        values: the part of params.yaml that it holds.
        merged: all parameters with the preset laid over them.
        params: the same, checked.
    """

    name: str
    purpose: str
    values: Mapping[str, Any]
    merged: Mapping[str, Any]
    params: Params


def list_presets(folder: Path = FOLDER) -> dict[str, str]:
    """Names of the presets, sorted, with what each is for."""
    return {path.stem: _read_purpose(path) for path in sorted(folder.glob("*.yaml"))}


def load_preset(name: str, *, folder: Path = FOLDER, params: Path = PARAMS) -> Preset:
    """Read a preset and check it together with the present parameters.

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
    merged = merge(read_yaml(params), values)
    checked = parse_group(Params, merged, where=f"{params} with {path}")
    return Preset(name, names[name], values, merged, checked)


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
        write_text(path, _edit(path.read_text(encoding="utf-8"), preset.values))
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
