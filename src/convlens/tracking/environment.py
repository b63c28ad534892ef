"""What is recorded of machine, packages and Git, without secrets; imports no MLflow."""

import contextlib
import datetime
import functools
import getpass
import hashlib
import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, distributions, version
from pathlib import Path
from typing import Any

import psutil
from packaging.requirements import InvalidRequirement, Requirement

from convlens.environment import hide_secrets
from convlens.errors import ConvLensError

# --- machine and packages ---

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
    versions: dict[str, str] = {}
    for name, packages in SHOWN.items():
        for package in packages:
            with contextlib.suppress(PackageNotFoundError):
                versions.setdefault(f"convlens.version.{name}", version(package))
    versions["convlens.version.python"] = platform.python_version()
    return {"convlens.machine": machine, **versions}


def num_processors() -> int:
    """Those that this process may use; a container may have fewer than its host."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


# --- Git: the commit, and what differs from it ---

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


# --- who, and when ---


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


# --- what a packaged model needs ---

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
    pinned = []
    for line in lock.read_text(encoding="utf-8").splitlines():
        text = line.split(" --hash")[0].split(" #")[0].rstrip("\\ ").strip()
        with contextlib.suppress(InvalidRequirement):  # an option of pip, a comment, an empty line
            requirement = Requirement(text)
            if requirement.name.lower() in names and str(requirement.specifier).startswith("=="):
                pinned.append(requirement)
    here = {item.name.lower() for item in pinned if item.marker is None or item.marker.evaluate()}
    missing = [name for name in names if name not in here and not name.startswith("tensorflow")]
    if missing or not here & {"tensorflow", "tensorflow-cpu"}:
        lacking = ", ".join(missing) or "tensorflow"
        raise ConvLensError(
            f"Expected {lacking} in {lock}, for this platform. Received: no such line. Run `make lock`."
        )
    return [str(requirement) for requirement in pinned]
