"""The machine and the packages that a run was recorded with."""

import functools
import os
import platform
from importlib.metadata import distributions
from typing import Any


@functools.cache
def describe_environment() -> dict[str, Any]:
    """Python, operating system, processor and the version of every installed package; no names of people or hosts."""
    known = [item.metadata for item in distributions()]  # a file is parsed each time one asks
    packages = {str(item["Name"]): str(item["Version"]) for item in known if item["Name"]}
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "machine": platform.machine(),
        "num_processors": os.cpu_count(),
        "packages": dict(sorted(packages.items(), key=lambda item: item[0].lower())),
    }
