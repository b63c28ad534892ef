"""Compares revisions of the repository at hand: reading, comparing and showing in one go."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from convlens.comparison.compare import FirstResults, RunsCompared, compare_runs
from convlens.comparison.describe import describe
from convlens.comparison.markdown import render_markdown
from convlens.comparison.revisions import NoResultsError, find_root
from convlens.comparison.snapshot import Snapshot, read_snapshot
from convlens.comparison.text import render_text
from convlens.errors import ConvLensError
from convlens.params import CompareParams, EvaluateParams, Group, parse_group, read_yaml
from convlens.stages.outputs import write_text


class _Settings(Group):
    """The groups of params.yaml that a comparison goes by; what is amiss in others is no business of its."""

    evaluate: EvaluateParams
    compare: CompareParams


def compare_revisions(names: Sequence[str], *, filters: bool = False) -> RunsCompared | FirstResults:
    """Compare revisions with the first of them, as the workspace's params.yaml says.

    Args:
        names: the base, then one or more others.
        filters: whether to match the filters of two runs, which loads TensorFlow and both networks.

    Raises:
        ConvLensError: no repository, no such revision, or one other than the first without results.
    """
    root = find_root()
    settings = _read_settings(root / "params.yaml")
    heads = [read_snapshot(root, name) for name in names[1:]]
    try:
        base = read_snapshot(root, names[0])
    except NoResultsError as error:
        return FirstResults(names[0], str(error), tuple(heads))
    snapshots = _add_durations([base, *heads])
    compared = compare_runs(snapshots, evaluate=settings.evaluate, compare=settings.compare)
    return _match_filters(root, compared) if filters and len(heads) == 1 else compared


def render(compared: RunsCompared | FirstResults, *, markdown: bool) -> str:
    """The comparison as Markdown, or as text for a terminal."""
    sections = describe(compared)
    return render_markdown(sections) if markdown else render_text(sections)


def write_page(compared: RunsCompared | FirstResults, path: Path) -> None:
    """The comparison as one HTML file, whole or not at all.

    Raises:
        ConvLensError: the file cannot be written.
    """
    from convlens.comparison.page import render_page

    write_text(path, render_page(compared))


def _read_settings(path: Path) -> _Settings:
    values = read_yaml(path)
    known = {name: values[name] for name in _Settings.model_fields if isinstance(values, dict) and name in values}
    return parse_group(_Settings, known, where=str(path))


def _match_filters(root: Path, compared: RunsCompared) -> RunsCompared:
    from convlens.comparison.filters import compare_filters

    base, head = compared.runs
    try:
        return replace(compared, filters=compare_filters(root, base.name, head.name))
    except ConvLensError as error:  # a network that is not at hand; the rest is worth telling all the same
        return replace(compared, filters_note=str(error))


def _add_durations(snapshots: Sequence[Snapshot]) -> list[Snapshot]:
    """Times are no results and in no commit: MLflow has those of the trainings that were recorded there."""
    from convlens.tracking.durations import find_durations

    keys = {str(run.card["key"]) for run in snapshots if "key" in run.card}
    seconds = find_durations(sorted(keys)) if keys else {}
    return [replace(run, seconds=seconds.get(str(run.card.get("key")))) for run in snapshots]
