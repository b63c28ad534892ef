"""Compares revisions of the repository at hand: reading, comparing and showing in one go."""

from collections.abc import Sequence
from dataclasses import replace

from convlens.comparison.compare import RunsCompared, compare_runs
from convlens.comparison.describe import describe
from convlens.comparison.markdown import render_markdown
from convlens.comparison.revisions import find_root
from convlens.comparison.snapshot import Snapshot, read_snapshot
from convlens.comparison.text import render_text
from convlens.params import load_params


def compare_revisions(names: Sequence[str]) -> RunsCompared:
    """Compare revisions with the first of them, as the workspace's params.yaml says.

    Raises:
        ConvLensError: no repository, no such revision, or one without results.
    """
    root = find_root()
    params = load_params(root / "params.yaml")
    snapshots = _add_durations([read_snapshot(root, name) for name in names])
    return compare_runs(snapshots, evaluate=params.evaluate, compare=params.compare)


def render(compared: RunsCompared, *, markdown: bool) -> str:
    """The comparison as Markdown, or as text for a terminal."""
    sections = describe(compared)
    return render_markdown(sections) if markdown else render_text(sections)


def _add_durations(snapshots: Sequence[Snapshot]) -> list[Snapshot]:
    """Times are no results and in no commit: MLflow has those of the trainings that were recorded there."""
    from convlens.tracking.durations import find_durations

    keys = {str(run.card["key"]) for run in snapshots if "key" in run.card}
    seconds = find_durations(sorted(keys)) if keys else {}
    return [replace(run, seconds=seconds.get(str(run.card.get("key")))) for run in snapshots]
