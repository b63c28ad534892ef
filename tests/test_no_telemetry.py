"""Nothing is told to anyone: the pipeline's own process opens no connection but to this machine."""

import json
import os
import subprocess
import sys
from pathlib import Path

from photo_files import ROOT
from small_training import write_photo, write_training

from convlens.environment import DEFAULTS

# Stands in a new process before anything of ours; what would go out is noted, and refused.
GUARD = """
import json, socket, sys, threading
asked = []
real_connect, real_lookup = socket.socket.connect, socket.getaddrinfo
HERE = ("127.0.0.1", "::1", "localhost", None, "", "0.0.0.0", b"localhost")

def connect(self, address):
    if self.family != socket.AF_UNIX and address[0] not in HERE:
        asked.append(str(address))
        raise OSError("refused by the test")
    return real_connect(self, address)

def look_up(host, *arguments, **options):
    if host not in HERE and host != socket.gethostname():
        asked.append(str(host))
        raise socket.gaierror("refused by the test")
    return real_lookup(host, *arguments, **options)

socket.socket.connect = socket.socket.connect_ex = connect
socket.getaddrinfo = look_up
"""
WORK = """
import contextlib, io
from pathlib import Path
from convlens.environment import prepare_environment
prepare_environment()
import pandas as pd
import dvc.analytics, mlflow.telemetry.utils
from convlens.cli.main import main
from convlens.params import load_params
from convlens.stages.register import register
rows = [{"path": f"{label}/{at}.jpg", "label": label, "sha256": f"{label}{at}", "format": "JPEG", "width": 60,
         "height": 50, "decodes": True, "usable": True, "cause": "", "brightness": 0.5, "sharpness": 500.0}
        for label in ("cats", "dogs") for at in range(5)]
params = load_params(Path("params.yaml"))
from convlens.data.expectations import check_photos
check_photos(pd.DataFrame(rows), params.validate_, docs=Path("docs"))
register(**{name: Path(path) for name, path in json.loads(sys.argv[1]).items()}, params=params)
with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
    main(["predict", "photo.png", "--model", "data/model"])
for thread in threading.enumerate():
    if thread is not threading.main_thread() and not thread.daemon:
        thread.join(5)
print(json.dumps({"asked": asked, "mlflow": mlflow.telemetry.utils.is_telemetry_disabled(),
                  "dvc": dvc.analytics.is_enabled()}))
"""


def run_guarded(code: str, folder: Path, *arguments: str) -> dict:
    environment = {name: value for name, value in os.environ.items() if name not in DEFAULTS}
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "DVC_ROOT", "DVC_TEST", "CI", "GITHUB_ACTIONS"):
        environment.pop(name, None)
    path = os.pathsep.join(str(ROOT / name) for name in ("src", "tests"))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", GUARD + code, *arguments],
        cwd=folder,
        env={**environment, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr
    told: dict = json.loads(done.stdout.splitlines()[-1])
    return told


def test_checking_registering_and_predicting_tell_nobody(tmp_path: Path) -> None:
    """MLflow, DVC and Great Expectations with nothing set by the user: their telemetry is off, and nothing goes out."""
    paths = {name: str(path) for name, path in write_training(tmp_path).items()}
    write_photo(tmp_path / "photo.png", 0.9)
    assert run_guarded(WORK, tmp_path, json.dumps(paths)) == {"asked": [], "mlflow": True, "dvc": False}


def test_the_guard_sees_who_goes_out(tmp_path: Path) -> None:
    code = """
import contextlib, urllib.request
for address in ("http://telemetry.example/", "http://192.0.2.1/"):
    with contextlib.suppress(OSError):
        urllib.request.urlopen(address, timeout=1)
print(json.dumps({"asked": asked}))
"""
    assert run_guarded(code, tmp_path) == {"asked": ["telemetry.example", "192.0.2.1"]}


def test_repository_switches_dvc_s_telemetry_off() -> None:
    lines = [line.strip() for line in (ROOT / ".dvc/config").read_text().splitlines()]
    assert {"analytics = false", "check_update = false"} <= set(lines)


def test_servers_listen_on_this_machine_only() -> None:
    """Targets and documentation never open a server to others, nor switch MLflow's check of hosts off."""
    makefile = (ROOT / "Makefile").read_text().replace("\\\n", " ")
    servers = [line for line in makefile.splitlines() if "mlflow ui" in line or "mlflow models serve" in line]
    assert len([line for line in servers if "@$(IN_VENV)" in line]) == 2
    assert all("--host 127.0.0.1" in line for line in servers if "@$(IN_VENV)" in line)
    assert all("MLFLOW_DISABLE_TELEMETRY=true" in line for line in servers if "@$(IN_VENV)" in line)
    places = [ROOT / "Makefile", ROOT / "README.md", *(ROOT / ".github").rglob("*.yml"), *(ROOT / "src").rglob("*.py")]
    for place in places:
        text = place.read_text()
        assert "0.0.0.0" not in text, place
        assert "disable-security-middleware" not in text, place
