"""`tools/environment.sh` with tiny locks: real venv, real uv and pip, nothing to download."""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import pytest
from house.imports import ROOT
from interrupts import ctrl_c_is_heard

PROJECT = """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]

[project]
name = "tiny"
version = "0.1"
"""
BACKEND = """\
import os
import pathlib
import time
import zipfile

def build_editable(folder, config_settings=None, metadata_directory=None):
    if "STARTED" in os.environ:
        pathlib.Path(os.environ["STARTED"]).touch()
        time.sleep(600)
    name = "tiny-0.1-py3-none-any.whl"
    files = {
        "tiny-0.1.dist-info/METADATA": "Metadata-Version: 2.1\\nName: tiny\\nVersion: 0.1\\n",
        "tiny-0.1.dist-info/WHEEL": "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
    }
    files["tiny-0.1.dist-info/RECORD"] = "".join(f"{file},,\\n" for file in files)
    with zipfile.ZipFile(f"{folder}/{name}", "w") as wheel:
        for file, text in files.items():
            wheel.writestr(file, text)
    return name
"""


def make_wheel(folder: Path, name: str, version: str, file: str, content: bytes) -> str:
    """Pack one file as a wheel; its line in a lock."""
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        entry = zipfile.ZipInfo(file)
        entry.external_attr = 0o100755 << 16  # a program stays one
        wheel.writestr(entry, content)
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", f"{file},,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
    digest = hashlib.sha256(Path(str(wheel.filename)).read_bytes()).hexdigest()
    return f"{name}=={version} --hash=sha256:{digest}\n"


@pytest.fixture(scope="session")
def wheels(tmp_path_factory):
    """A folder with wheels of uv, as it is installed here, and of a package, and what names each in a lock."""
    folder = tmp_path_factory.mktemp("wheels")
    uv = distribution("uv")
    (program,) = (file for file in uv.files or [] if file.name == "uv" and file.parent.name == "bin")
    content = Path(str(program.locate())).read_bytes()
    lines = {
        "uv": make_wheel(folder, "uv", uv.version, f"uv-{uv.version}.data/scripts/uv", content),
        "parcel": make_wheel(folder, "parcel", "1.0", "parcel.py", b"CONTENT = 'a gift'\n"),
    }
    return folder, lines


@pytest.fixture
def project(tmp_path, wheels, monkeypatch):
    (tmp_path / "tools").mkdir()
    (tmp_path / "src").mkdir()
    shutil.copy(ROOT / "tools/environment.sh", tmp_path / "tools")
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    (tmp_path / "backend.py").write_text(BACKEND)
    folder, lines = wheels
    (tmp_path / "tools/uv.txt").write_text(lines["uv"])
    for lock in ("requirements.txt", "requirements-dev.txt", "requirements-gpu.txt"):
        (tmp_path / lock).write_text(f"# {lock}\n{lines['parcel']}")
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_", "PYTHONDONT"))]:
        monkeypatch.delenv(name)
    # As a user behind a company's index would have it: in pip's own settings.
    (tmp_path / "pip.conf").write_text(f"[global]\nno-index = true\nfind-links = {folder}\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    monkeypatch.setenv("PYTHON", sys.executable)
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path


def setup(project, kind="runtime", **environment):
    return subprocess.run(
        ["sh", "tools/environment.sh", kind],
        cwd=project,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )


def installer(project):
    """Which program has installed the package of the lock."""
    (told,) = project.glob(".venv/lib/python*/site-packages/parcel-1.0.dist-info/INSTALLER")
    return told.read_text().strip()


def has_bytecode(project):
    return any(project.glob(".venv/lib/python*/site-packages/__pycache__/parcel.*"))


def test_it_makes_repairs_and_extends(project):
    first = setup(project)
    assert first.returncode == 0, first.stderr
    assert "installing the packages of requirements.txt" in first.stderr
    assert "could not" not in first.stderr
    assert installer(project) == "uv"
    assert not has_bytecode(project)
    assert (project / ".venv/complete-runtime").is_file()

    assert setup(project).stderr == ""  # complete: nothing to do

    (project / ".venv/complete-runtime").unlink()  # as if the installation had been interrupted
    (project / ".venv/half-written").touch()
    repaired = setup(project, PYTHONDONTWRITEBYTECODE="1")
    assert "incomplete or out of date; making it anew" in repaired.stderr
    assert not (project / ".venv/half-written").exists()
    assert has_bytecode(project)  # Python itself may leave none, and would compile at every start

    extended = setup(project, "dev")
    assert "adding the tools for development" in extended.stderr
    assert setup(project).stderr == ""  # what serves development serves the pipeline

    (project / "requirements-dev.txt").write_text("# another lock\n")
    (project / "requirements.txt").write_text("# another lock, too\n")
    assert "making it anew" in setup(project).stderr


def test_where_uv_cannot_pip_does(project):
    """As on a machine for which there is no uv."""
    (project / "tools/uv.txt").write_text("")
    done = setup(project)
    assert done.returncode == 0, done.stderr
    assert "uv could not do it here, as told above; trying pip, which takes longer\n" in done.stderr
    assert installer(project) == "pip"
    assert setup(project).stderr == ""


def test_a_file_that_is_not_the_locked_one_is_refused(project):
    lock = project / "requirements.txt"
    lock.write_text(lock.read_text()[:-9] + "00000000\n")
    assert setup(project).returncode != 0
    assert not (project / ".venv/complete-runtime").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_installation_that_was_interrupted_is_made_anew(project, number, tmp_path_factory):
    started = tmp_path_factory.mktemp("told") / "started"
    with (
        ctrl_c_is_heard(),
        subprocess.Popen(
            ["sh", "tools/environment.sh", "runtime"],
            cwd=project,
            env={**os.environ, "STARTED": str(started)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as process,
    ):
        while not started.exists() and process.poll() is None:
            time.sleep(0.05)
        os.killpg(process.pid, number)
        told, _ = process.communicate()
    if number == signal.SIGINT:
        assert process.returncode == 130
        assert told.endswith("environment: interrupted. The same command resumes it.\n")
        assert "Traceback" not in told
    else:
        assert process.returncode == -signal.SIGKILL
    assert (project / ".venv").is_dir()
    again = setup(project)
    assert "incomplete or out of date; making it anew" in again.stderr
    assert again.returncode == 0, again.stderr
    assert setup(project).stderr == ""


def test_an_unfit_python_is_told(project):
    old = project / "python3.9"
    old.write_text('#!/bin/sh\nif [ "$1" = --version ]; then echo Python 3.9.1; else exit 1; fi\n')
    old.chmod(0o755)
    done = setup(project, PYTHON=str(old))
    assert done.returncode == 1
    assert done.stderr.startswith("Expected Python 3.11, 3.12 or 3.13. Received: Python 3.9.1.")
    assert not (project / ".venv").exists()


def test_an_unknown_kind_is_told(project):
    assert setup(project, "fast").returncode == 2


@pytest.mark.parametrize("lock", ["requirements.txt", "requirements-gpu.txt", "requirements-dev.txt", "tools/uv.txt"])
def test_the_locks_are_hash_checked_and_name_no_address(lock):
    text = (ROOT / lock).read_text(encoding="utf-8")
    assert "://" not in text
    assert "--index-url" not in text
    packages = [line for line in text.splitlines() if line and not line.startswith((" ", "#"))]
    assert packages
    assert all(line.endswith("\\") for line in packages), "each package is followed by its hashes"


def test_what_the_tests_use_is_what_users_get():
    """The lock for development holds the same versions as the one for users, on more systems perhaps."""

    def pins(lock):
        lines = (ROOT / lock).read_text(encoding="utf-8").splitlines()
        return {line.rstrip(" \\").split(" ; ")[0] for line in lines if "==" in line and not line.startswith(" ")}

    assert pins("requirements.txt") <= pins("requirements-dev.txt")
    assert pins("tools/uv.txt") <= pins("requirements-dev.txt")
