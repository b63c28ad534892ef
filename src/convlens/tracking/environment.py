"""What is recorded of machine, packages, git and values, without secrets."""

import datetime
import functools
import getpass
import hashlib
import os
import platform
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, distributions, version
from pathlib import Path
from typing import Any

import psutil
from mlflow.system_metrics.metrics.base_metrics_monitor import BaseMetricsMonitor
from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor
from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor
from packaging.requirements import InvalidRequirement, Requirement

from convlens.environment import hide_secrets
from convlens.errors import ConvLensError

# --- How ConvLens's numbers and parameters are called in MLflow: one naming for live and replayed records ---
#
# The MLflow UI makes a section of what stands before the first `/`, and sorts the sections: first `curves/` (one step
# per epoch), then `robustness/`, `label_errors/` and `test/` (the evaluation).


def epoch_metrics(values: Mapping[str, float]) -> dict[str, float]:
    """Metrics of one epoch by their MLflow names: `train_loss` becomes `curves/train_loss`.

    Args:
        values: columns of history.csv or timing.csv for one epoch, with or without `epoch`.
    """
    return {f"curves/{name}": float(value) for name, value in values.items() if name != "epoch"}


def evaluation_metrics(values: Mapping[str, Any], *, section: str = "test") -> dict[str, float]:
    """The numbers of a metrics.json by their MLflow names, `test/accuracy`; what is undefined is left out."""
    return {
        f"{section}/{name}": float(value)
        for name, value in values.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


# --- The machine and the packages that a run was trained or recorded with ---

# By tag; the first of the packages that is installed counts.
SHOWN = {
    "convlens": ("convlens",),
    "tensorflow": ("tensorflow", "tensorflow-cpu"),
    "keras": ("keras",),
    "numpy": ("numpy",),
    "pillow": ("pillow",),
    "mlflow": ("mlflow",),
    "dvc": ("dvc",),
}


@functools.cache
def describe_environment() -> dict[str, Any]:
    """Python, operating system, processor and the version of every installed package; no names of people or hosts."""
    known = [item.metadata for item in distributions()]  # a file is parsed each time one asks
    packages = {str(item["Name"]): str(item["Version"]) for item in known if item["Name"]}
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "machine": platform.machine(),
        "num_processors": num_processors(),
        "packages": dict(sorted(packages.items(), key=lambda item: item[0].lower())),
    }


def machine_tags() -> dict[str, str]:
    """The machine and the versions of the packages that make the numbers, as tags of the run that it trains."""
    memory = psutil.virtual_memory().total / 1e9
    machine = f"{platform.system()} {platform.machine()}, {num_processors()} processors, {memory:.0f} GB"
    versions = {f"convlens.version.{name}": _version(packages) for name, packages in SHOWN.items()}
    versions["convlens.version.python"] = platform.python_version()
    return {"convlens.machine": machine, **{name: text for name, text in versions.items() if text}}


def num_processors() -> int:
    """Those that this process may use; a container may have fewer than its host."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _version(packages: tuple[str, ...]) -> str:
    for package in packages:
        try:
            return version(package)
        except PackageNotFoundError:
            continue
    return ""


# --- Which code a run was made with: tags, and what differs from the commit ---

# What the pipeline itself writes while it runs is no change to the code.
WRITTEN_BY_STAGES = (":(exclude)dvc.lock", ":(exclude)reports")
# A record shows changes of these and of nothing else: other files of a working tree are nobody's business.
CODE = ("params.yaml", "dvc.yaml", "src", "presets", "data/cards")
CHANGES_FILE = "config/changes.diff"  # artifact of the run
CHANGES_TAG = "convlens.git_changes"
MAX_CHANGES = 200_000  # characters
GIT_SECONDS = 10


def git_tags() -> dict[str, str]:
    """Commit, whether tracked files differed from it and how, and the DVC experiment; only what is known."""
    tags = {}
    commit = _git("rev-parse", "HEAD")
    if commit:
        status = _git("status", "--porcelain", "--untracked-files=no", "--", ".", *WRITTEN_BY_STAGES)
        changes = describe_changes()
        tags = {"mlflow.source.git.commit": commit, "convlens.git_dirty": str(bool(status or changes)).lower()}
        tags |= {CHANGES_TAG: digest_changes(changes)} if changes else {}
    names = {"convlens.dvc_experiment": "DVC_EXP_NAME", "convlens.dvc_baseline": "DVC_EXP_BASELINE_REV"}
    return tags | {tag: os.environ[name] for tag, name in names.items() if os.environ.get(name)}


def describe_changes() -> str:
    """How code and parameters differ from the commit, as a patch without secrets; '' if they do not.

    New files of the code, which no patch of tracked files has, are named in comments before it.
    """
    patch = _git("diff", "HEAD", "--no-color", "--no-ext-diff", "--no-textconv", "--", *CODE) or ""
    unknown = (_git("ls-files", "--others", "--exclude-standard", "--", *CODE) or "").splitlines()
    named = "".join(f"# not in git: {name}\n" for name in unknown)
    text = hide_secrets(f"{named}{patch}\n" if patch else named)
    return (
        text if len(text) <= MAX_CHANGES else f"{text[:MAX_CHANGES]}\n# … and {len(text) - MAX_CHANGES:,} characters\n"
    )


def digest_changes(changes: str) -> str:
    """A short name for the changes."""
    return hashlib.sha256(changes.encode("utf-8", "replace")).hexdigest()[:12]


def _git(*arguments: str) -> str | None:
    """What Git prints; None where there is no Git, no repository or no commit."""
    command = ["git", "-c", "core.quotePath=false", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, timeout=GIT_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode("utf-8", "replace").strip("\n") if done.returncode == 0 else None


# --- Who does something, and when: for the record of decisions ---


def user_name() -> str:
    """The user's ordinary name on this machine; `unknown` in a container whose user has none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return "unknown"


def utc_now(after: str = "") -> str:
    """The present moment as `2026-03-01T12:30:00.123Z`; later than `after` even if that clock was ahead."""
    now = datetime.datetime.now(datetime.UTC)
    if after:
        now = max(now, datetime.datetime.fromisoformat(after) + datetime.timedelta(milliseconds=1))
    return now.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def show_moment(moment: str) -> str:
    """`2026-03-01 12:30 UTC`, of what `utc_now` gives."""
    return f"{moment[:10]} {moment[11:16]} UTC"


# --- How busy the machine is while it trains, under the names that MLflow's page of system metrics looks for ---
#
# MLflow's own thread for this waits for its server without end when a run ends; here only its gauges are used.

PREFIX = "system/"
SWITCH = "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING"
INTERVAL = "MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL"
SECONDS = 10.0
DIGITS = 3
GAUGES = (CPUMonitor, DiskMonitor, NetworkMonitor, GPUMonitor)


class SystemSampler:
    """Takes samples of processor, memory, disk, network and, with `nvidia-ml-py` installed, GPU.

    Args:
        step: of the first sample; a run that is resumed goes on counting.
        gauges: classes of gauges; one that does not work on this machine is left out.
    """

    def __init__(self, step: int = 0, gauges: Iterable[type[BaseMetricsMonitor]] = GAUGES) -> None:
        self.step = step
        self._gauges = [gauge for gauge in map(_start, gauges if _is_wanted() else ()) if gauge is not None]
        self._seconds = _interval()
        self._next = time.monotonic()

    @property
    def seconds_left(self) -> float | None:
        """Until the next sample is due; None if there will be none."""
        return max(0.0, self._next - time.monotonic()) if self._gauges else None

    def sample(self) -> dict[str, float]:
        """The present values by their MLflow names, with units; the next sample is due one interval later."""
        self._next = time.monotonic() + self._seconds
        self.step += 1
        values: dict[str, float] = {}
        for gauge in self._gauges:
            values |= _read(gauge)
        return {f"{PREFIX}{name}": round(float(value), DIGITS) for name, value in values.items()}


def next_step(steps: Iterable[tuple[str, set[int]]]) -> int:
    """The step after the last sample of a run, from the steps of its metrics by name."""
    return max((max(found) + 1 for name, found in steps if name.startswith(PREFIX) and found), default=0)


def _is_wanted() -> bool:
    return os.environ.get(SWITCH, "true").strip().lower() not in ("false", "0")


def _interval() -> float:
    try:
        return max(1.0, float(os.environ.get(INTERVAL, "")))
    except ValueError:
        return SECONDS


def _start(gauge: type[BaseMetricsMonitor]) -> BaseMetricsMonitor | None:
    """A gauge after its first reading, from which the next one counts; None where there is nothing to read."""
    try:
        started = gauge()
        _read(started)
    except Exception:  # each has failures of its own: no GPU, no network, no permission
        return None
    return started


def _read(gauge: BaseMetricsMonitor) -> dict[str, float]:
    try:
        gauge.collect_metrics()
        values: dict[str, float] = gauge.aggregate_metrics()
    except Exception:  # a figure about the machine is worth no failure
        return {}
    gauge.clear_metrics()
    return values


# --- What a packaged model needs to run, taken from the lock file ---

# What the loader, the network and MLflow's own loading of the model import. One of the two TensorFlow packages
# serves each platform; the markers of the lock say which.
NEEDED = ("h5py", "keras", "mlflow", "numpy", "pandas", "pillow", "tensorflow", "tensorflow-cpu")


def pinned_requirements(lock: Path, names: tuple[str, ...] = NEEDED) -> list[str]:
    """The lines `name==version ; marker` of the lock file for these packages, for every platform the lock serves.

    Raises:
        ConvLensError: no lock file, or one that lacks a package this platform needs.
    """
    if not lock.is_file():
        raise ConvLensError(f"Expected the lock file {lock}. Received: nothing there. Restore it from the repository.")
    pinned = [requirement for requirement in _read_requirements(lock) if requirement.name.lower() in names]
    here = {item.name.lower() for item in pinned if item.marker is None or item.marker.evaluate()}
    missing = [name for name in names if name not in here and not name.startswith("tensorflow")]
    if missing or not here & {"tensorflow", "tensorflow-cpu"}:
        lacking = ", ".join(missing) or "tensorflow"
        raise ConvLensError(
            f"Expected {lacking} in {lock}, for this platform. Received: no such line. Run `make lock`."
        )
    return [str(requirement) for requirement in pinned]


def _read_requirements(lock: Path) -> Iterator[Requirement]:
    for line in lock.read_text(encoding="utf-8").splitlines():
        text = line.split(" --hash")[0].split(" #")[0].rstrip("\\ ").strip()
        if text and not text.startswith(("-", "#")):
            try:
                requirement = Requirement(text)
            except InvalidRequirement:
                continue  # an option of pip, no package
            if str(requirement.specifier).startswith("=="):
                yield requirement
