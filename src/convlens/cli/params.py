"""The command `convlens params`: every parameter, from the schema; `docs/parameters.md` is what it prints."""

import difflib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from convlens.errors import ConvLensError
from convlens.params import Params, read_yaml

PARAMS = Path("params.yaml")
PAGE = """\
# Parameters

Everything that a run depends on stands in [`params.yaml`](../params.yaml); there are no hidden defaults. This page is
made from the schema: `convlens params --markdown > docs/parameters.md`. In a terminal `convlens params train` shows a
group, `convlens params train.optimizer` one parameter. A value that is unknown, of the wrong type or out of range is
refused. How to change one: [Change something, see what it did](experiments.md).
"""
NOTHING = "null"


@dataclass(frozen=True)
class ParameterHelp:
    """A parameter for people.

    Attributes:
        name: dotted.
        value: in params.yaml; empty if the file has none of this name.
        takes: which values it takes.
        text: what it does.
    """

    name: str
    value: str
    takes: str
    text: str


@click.command()
@click.argument("name", required=False)
@click.option("--markdown", is_flag=True, help="Print the page docs/parameters.md.")
def params(name: str | None, markdown: bool) -> None:
    """Say what parameters mean and take.

    NAME is a parameter or a group, such as train.optimizer or train; left out, all are listed.
    """
    values = read_yaml(PARAMS) if PARAMS.is_file() else {}
    known = list_parameters(values if isinstance(values, Mapping) else {})
    if markdown:
        click.echo(render_page(known), nl=False)
        return
    chosen = [each for each in known if name in (None, each.name) or each.name.startswith(f"{name}.")]
    if not chosen:
        names = [each.name for each in known]
        close = difflib.get_close_matches(name or "", [*names, *(each.rpartition(".")[0] for each in names)], n=1)
        meant = f" Did you mean '{close[0]}'?" if close else " `convlens params` lists them."
        raise ConvLensError(f"Expected the name of a parameter or of a group. Received: '{name}'.{meant}")
    click.echo("\n\n".join(_render_text(each) for each in chosen))


def list_parameters(values: Mapping[str, Any]) -> list[ParameterHelp]:
    """List all parameters in the order of the file.

    Args:
        values: the content of params.yaml, as far as there is one.
    """
    schema = Params.model_json_schema(by_alias=True)
    return list(_walk(schema, schema["$defs"], "", values))


def render_page(known: list[ParameterHelp]) -> str:
    """Render the page, a section a group."""
    parts = [PAGE]
    for group in dict.fromkeys(each.name.partition(".")[0] for each in known):
        words = (Params.model_fields.get(group) or Params.model_fields[f"{group}_"]).annotation
        text = str(getattr(words, "__doc__", "")).partition("\n")[0]
        rows = [each for each in known if each.name.partition(".")[0] == group]
        cells = [(f"`{row.name}`", row.takes, row.value and f"`{row.value}`", row.text) for row in rows]
        lines = [" | ".join(cell.replace("|", "\\|") for cell in line) for line in cells]
        head = "| Parameter | Takes | `params.yaml` | What it is |\n| --- | --- | --- | --- |\n"
        parts.append(f"## {group}\n\n{text}\n\n{head}" + "".join(f"| {line} |\n" for line in lines))
    return "\n".join(parts)


def _render_text(row: ParameterHelp) -> str:
    value = f" = {row.value}" if row.value else ""
    return f"{row.name}{value}\n  {row.takes}\n  {row.text}"


def _walk(node: Mapping[str, Any], definitions: Mapping[str, Any], prefix: str, values: Any) -> Iterator[ParameterHelp]:
    """Yield the fields of a group, those of groups within it after it."""
    for name, field in node.get("properties", {}).items():
        value = values.get(name) if isinstance(values, Mapping) else None
        given = isinstance(values, Mapping) and name in values
        inner = _follow(field, definitions)
        if "properties" in inner:
            yield from _walk(inner, definitions, f"{prefix}{name}.", value)
            continue
        shown = (NOTHING if value is None else _show(value)) if given else ""
        yield ParameterHelp(f"{prefix}{name}", shown, _describe(inner, definitions), inner.get("description", ""))
        for suffix, part in _parts(inner, definitions):
            yield from _walk(part, definitions, f"{prefix}{name}{suffix}.", None)


def _follow(node: Mapping[str, Any], definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    """Resolve a reference; what stands beside it counts before what it leads to."""
    if "$ref" not in node:
        return node
    return {
        **definitions[node["$ref"].rpartition("/")[2]],
        **{key: item for key, item in node.items() if key != "$ref"},
    }


def _parts(node: Mapping[str, Any], definitions: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield groups that are values of a list, a mapping or a choice, and how the name goes on to them."""
    for suffix, part in (("[]", node.get("items")), (".METRIC", node.get("additionalProperties"))):
        if isinstance(part, Mapping) and "properties" in _follow(part, definitions):
            yield suffix, _follow(part, definitions)
    for choice in node.get("anyOf", ()):
        if "properties" in _follow(choice, definitions):
            yield "", _follow(choice, definitions)


def _describe(node: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    """Say which values a field takes."""
    node = _follow(node, definitions)
    if "anyOf" in node:
        return " or ".join(_describe(choice, definitions) for choice in node["anyOf"])
    if "enum" in node or "const" in node:
        return " | ".join(json.dumps(item).strip('"') for item in node.get("enum", [node.get("const")]))
    kind = node.get("type")
    if kind == "array":
        fewest = f", at least {node['minItems']}" if node.get("minItems") else ""
        return f"list of: {_describe(node['items'], definitions)}{fewest}"
    if kind == "object":
        inside = node.get("properties") or {}
        return "{" + ", ".join(inside) + "}" if inside else "for each metric: {min, max, end}"
    words = {"integer": "whole number", "number": "number", "boolean": "true | false", "null": NOTHING}
    return f"{words.get(str(kind), 'text')}{_describe_range(node)}"


def _describe_range(node: Mapping[str, Any]) -> str:
    ends = (("minimum", "from"), ("exclusiveMinimum", "above"), ("maximum", "to"), ("exclusiveMaximum", "below"))
    return "".join(f" {word} {node[name]:g}" for name, word in ends if name in node)


def _show(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
