"""What the networks cost, and how many of their filters are of use."""

from collections.abc import Callable, Sequence

from convlens.comparison.compare import RunsCompared
from convlens.comparison.sections import UNKNOWN, Section, name_run
from convlens.comparison.snapshot import Snapshot
from convlens.report.wording import show_bytes

Show = Callable[[Snapshot], str]


def describe_cost(compared: RunsCompared) -> Section:
    """Time of the training, size of the model and of the pages."""
    facts: Sequence[tuple[str, Show]] = (
        ("epochs", lambda run: f"{len(run.history):,}"),
        ("training time", lambda run: _show_time(run.seconds)),
        ("parameters", lambda run: f"{run.card['num_parameters']:,}" if "num_parameters" in run.card else UNKNOWN),
        ("size of the model", lambda run: _show_size(run, "model")),
        ("size of the report", lambda run: _show_size(run, "report")),
        ("size of the feature-map page", lambda run: _show_size(run, "feature_maps")),
    )
    return Section("cost", "Time and size", head=_head(compared), rows=_list_rows(compared, facts))


def describe_filters(compared: RunsCompared) -> Section:
    """Filters that never fire, and if asked for, which were born and died."""
    facts: Sequence[tuple[str, Show]] = (
        ("filters", lambda run: _show_number(run, "num_filters", ",")),
        ("never fire", lambda run: _show_number(run, "num_dead_filters", ",")),
        ("mean selectivity", lambda run: _show_number(run, "mean_selectivity", ".3f")),
    )
    known = [run.maps for run in compared.runs if run.maps]
    said = _say_matched(compared)
    return Section(
        "filters",
        "Filters",
        head=_head(compared) if known else (),
        rows=_list_rows(compared, facts) if known else (),
        sentences=tuple(said),
    )


def _say_matched(compared: RunsCompared) -> list[str]:
    if compared.filters is not None:
        return [compared.filters.sentence]
    if compared.filters_note:
        return [f"Which were born and died is not compared. {compared.filters_note}"]
    if len(compared.runs) > 2:
        return []
    if any(run.files.model is None for run in compared.runs):
        return ["Which were born and died is not compared: a network is not in DVC's cache (`dvc fetch`)."]
    return ["Which were born and died is not compared: `--filters` does, and shows both networks some photos."]


def _head(compared: RunsCompared) -> tuple[str, ...]:
    return ("", *(name_run(run) for run in compared.runs))


def _list_rows(compared: RunsCompared, facts: Sequence[tuple[str, Show]]) -> tuple[tuple[str, ...], ...]:
    return tuple((name, *(show(run) for run in compared.runs)) for name, show in facts)


def _show_number(run: Snapshot, name: str, form: str) -> str:
    return format(run.maps[name], form) if name in run.maps else UNKNOWN


def _show_size(run: Snapshot, kind: str) -> str:
    output = run.output(kind)
    return UNKNOWN if output is None or output.size is None else show_bytes(output.size)


def _show_time(seconds: float | None) -> str:
    if seconds is None:
        return UNKNOWN
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
