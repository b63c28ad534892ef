"""What a packaged model needs to run, taken from the lock file."""

from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

from convlens.errors import ConvLensError

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
    pinned = [requirement for requirement in _read(lock) if requirement.name.lower() in names]
    here = {item.name.lower() for item in pinned if item.marker is None or item.marker.evaluate()}
    missing = [name for name in names if name not in here and not name.startswith("tensorflow")]
    if missing or not here & {"tensorflow", "tensorflow-cpu"}:
        lacking = ", ".join(missing) or "tensorflow"
        raise ConvLensError(
            f"Expected {lacking} in {lock}, for this platform. Received: no such line. Run `make lock`."
        )
    return [str(requirement) for requirement in pinned]


def _read(lock: Path) -> Iterator[Requirement]:
    for line in lock.read_text(encoding="utf-8").splitlines():
        text = line.split(" --hash")[0].split(" #")[0].rstrip("\\ ").strip()
        if text and not text.startswith(("-", "#")):
            try:
                requirement = Requirement(text)
            except InvalidRequirement:
                continue  # an option of pip, no package
            if str(requirement.specifier).startswith("=="):
                yield requirement
