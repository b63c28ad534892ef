"""The machine and the packages that a run was trained or recorded with."""

import functools
import os
import platform
from importlib.metadata import PackageNotFoundError, distributions, version
from typing import Any

import psutil

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
