"""What was done differently: parameters, and the code of the stages."""

from convlens.comparison.compare import RunsCompared
from convlens.comparison.sections import Section, name_run, plain, show_value
from convlens.comparison.snapshot import Snapshot
from convlens.report.wording import show_count

MAX_ROWS = 60
FEW_ROWS = 8
MAX_PATHS = 12


def describe_parameters(compared: RunsCompared) -> Section:
    """The parameters that differ, and the source files that do."""
    names = tuple(name_run(run) for run in compared.runs)
    rows = tuple((plain(row.name), *map(show_value, row.values)) for row in compared.parameters)
    sentences = (*_say_hidden(len(rows)), *_say_code(compared.runs))
    if not rows:
        return Section("parameters", "Parameters", "all are the same", sentences=sentences, folded=False)
    return Section(
        "parameters",
        "Parameters",
        f"{len(rows)} {'differs' if len(rows) == 1 else 'differ'}",
        ("", *names),
        rows[:MAX_ROWS],
        sentences,
        folded=len(rows) > FEW_ROWS,
        numbers=False,
    )


def _say_hidden(num_rows: int) -> list[str]:
    return [f"{num_rows - MAX_ROWS} more are not shown."] if num_rows > MAX_ROWS else []


def _say_code(runs: tuple[Snapshot, ...]) -> list[str]:
    """Source files of the stages that are not the same everywhere: they change results, too."""
    if any(not run.code for run in runs):
        return []
    paths = sorted({path for run in runs for path in run.code})
    changed = [path for path in paths if len({run.code.get(path, ("",))[0] for run in runs}) > 1]
    if not changed:
        return []
    stages = list(dict.fromkeys(stage for run in runs for path in changed for stage in run.code.get(path, ("", ()))[1]))
    shown = ", ".join(f"`{plain(path)}`" for path in changed[:MAX_PATHS])
    more = f" and {len(changed) - MAX_PATHS} more" if len(changed) > MAX_PATHS else ""
    names = ", ".join(map(plain, stages))
    used = f"the stage {names}" if len(stages) == 1 else f"{show_count(len(stages), 'stage')}: {names}"
    return [f"The code differs, too, that made the results: {shown}{more}, used by {used}."]
