import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from photo_files import ROOT

from convlens.environment import hold_stderr, prepare_keras
from convlens.errors import ConvLensError


@pytest.mark.parametrize(
    ("error", "replay", "shown"),
    [
        (ValueError("?"), True, "a remark\n"),
        (ValueError("?"), False, ""),
        (ConvLensError("Expected …"), True, ""),
        (KeyboardInterrupt(), True, ""),
    ],
)
def test_remarks_are_shown_only_where_something_must_be_found_out(capfd, error, replay, shown):
    with pytest.raises(type(error)):
        remark(error, replay=replay)
    os.write(2, b"and on\n")
    assert capfd.readouterr().err == f"{shown}and on\n"


def remark(error, *, replay):
    with hold_stderr(replay=replay):
        os.write(2, b"a remark\n")
        raise error


def test_remarks_of_what_goes_well_are_dropped(capfd):
    with hold_stderr():
        os.write(2, b"a remark\n")
    assert capfd.readouterr().err == ""


PROBE = """
import json, os
from convlens.environment import prepare_environment
prepare_environment()
import keras
c = keras.config
print(json.dumps([c.backend(), c.floatx(), c.image_data_format(), c.epsilon(), os.environ.get("KERAS_HOME", "")]))
"""


def test_the_users_settings_of_keras_do_not_leak_in(tmp_path):
    """Another backend, channels first, and a float type with which Keras cannot even be imported."""
    home = tmp_path / ".keras"
    home.mkdir()
    values = {"backend": "jax", "floatx": "half", "image_data_format": "channels_first", "epsilon": 0.01}
    (home / "keras.json").write_text(json.dumps(values))
    environment = {**os.environ, "HOME": str(tmp_path), "KERAS_BACKEND": "torch", "PYTHONPATH": str(ROOT / "src")}
    environment.pop("KERAS_HOME", None)
    done = subprocess.run([sys.executable, "-c", PROBE], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    *settings, own = json.loads(done.stdout)
    assert settings == ["tensorflow", "float32", "channels_last", 1e-7]
    assert own != str(home)
    assert not Path(own).exists()
    assert (home / "models").is_dir()
    assert json.loads((home / "keras.json").read_text()) == values


def test_keras_with_another_backend_in_a_program_of_ones_own_is_told(monkeypatch):
    loaded = SimpleNamespace(config=SimpleNamespace(backend=lambda: "jax"))
    monkeypatch.setitem(sys.modules, "keras", loaded)
    with pytest.raises(ConvLensError, match=r"^Expected Keras with tensorflow\. Received: jax, which this process"):
        prepare_keras()
