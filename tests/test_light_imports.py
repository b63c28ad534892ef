"""Heavy packages have one home each, and importing a module does nothing. Told by fresh processes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from photo_files import ROOT

HEAVY = ("tensorflow", "keras", "mlflow", "great_expectations", "matplotlib")
TABLES = ("pandas", "pyarrow", "sklearn", "scipy")

REPORT = """
import json, os, sys, threading, warnings
before = dict(os.environ)
warnings.simplefilter("ignore")
for name in {modules!r}:
    __import__(name)
changed = {{key for key in before.keys() | os.environ.keys() if before.get(key) != os.environ.get(key)}}
print(json.dumps({{"loaded": sorted(sys.modules), "changed": sorted(changed), "threads": threading.active_count()}}))
"""


def import_fresh(folder: Path, *modules: str) -> dict:
    """Import modules in a new process with `folder` as its working directory; what it then holds."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "TF_", "KERAS_"))
    }
    done = subprocess.run(
        [sys.executable, "-c", REPORT.format(modules=modules)],
        cwd=folder,
        env={**environment, "PYTHONPATH": str(ROOT / "src"), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    found: dict = json.loads(done.stdout.splitlines()[-1])
    return found


def module_names() -> list[str]:
    files = sorted((ROOT / "src" / "convlens").rglob("*.py"))
    parts = [file.relative_to(ROOT / "src").with_suffix("").parts for file in files]
    return [".".join(part[:-1] if part[-1] == "__init__" else part) for part in parts]


@pytest.mark.parametrize(
    ("modules", "absent"),
    [
        (("convlens", "convlens.params", "convlens.progress", "convlens.environment"), (*HEAVY, *TABLES)),
        (("convlens.pipeline", "convlens.cli.main"), (*HEAVY, *TABLES)),
        (("convlens.data.loader", "convlens.data.facts", "convlens.data.workers"), (*HEAVY, *TABLES)),
        (("convlens.data.synthetic.recipe",), (*HEAVY, *TABLES)),
        (("convlens.stages.ingest", "convlens.stages.preprocess", "convlens.data.prepared"), HEAVY),
    ],
    ids=["foundation", "entry points", "workers", "painter", "photos"],
)  # fmt: skip
def test_light_modules_stay_light(modules: tuple[str, ...], absent: tuple[str, ...], tmp_path: Path) -> None:
    found = import_fresh(tmp_path, *modules)
    assert [name for name in absent if name in found["loaded"]] == []
    assert found["changed"] == []
    assert found["threads"] == 1


def test_importing_everything_leaves_no_trace(tmp_path: Path) -> None:
    names = module_names()
    assert "convlens.data.loader" in names
    own = [name for name in names if name != "convlens.tracking.packaged_model"]  # MLflow runs it
    import_fresh(tmp_path, *own)
    assert list(tmp_path.iterdir()) == []
