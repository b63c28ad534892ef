"""What the numbers of a benchmark depend on: cores and the processor's instructions for fast multiplication."""

import platform
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from convlens.data.workers import count_workers
from convlens.environment import CPU_INFO, cpu_flags

FEATURES = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "sve", "bf16")
PACKAGES = ("convlens", "tensorflow", "tensorflow-cpu", "keras", "pillow", "numpy")


@dataclass(frozen=True)
class Machine:
    """What a benchmark ran on.

    Attributes:
        num_cores: cores this process may run on.
        system: operating system and processor family, such as `Linux x86_64`.
        features: instructions that decide how fast float32 and bfloat16 are multiplied; empty if unknown.
        packages: versions of what was measured.
    """

    num_cores: int
    system: str
    features: tuple[str, ...]
    packages: dict[str, str]

    @property
    def values(self) -> dict[str, Any]:
        """All of it as plain values."""
        return {**asdict(self), "features": list(self.features)}

    @property
    def heading(self) -> str:
        """One line for people."""
        features = f", {' '.join(self.features)}" if self.features else ""
        packages = ", ".join(f"{name} {number}" for name, number in self.packages.items())
        return f"{self.num_cores} cores ({self.system}{features}); {packages}"


def describe_machine(cpu_info: Path = CPU_INFO) -> Machine:
    """The machine this process runs on."""
    features = tuple(name for name in FEATURES if name in cpu_flags(cpu_info))
    return Machine(count_workers(0), f"{platform.system()} {platform.machine()}", features, _versions())


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # TensorFlow has several packages, of which one is here
            continue
    return found
