"""How ConvLens treats the process it runs in: quiet dependencies, no telemetry. Called by entry points only."""

import atexit
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from convlens.errors import ConvLensError

DEFAULTS = {
    # Nobody is told what is trained here, unless the user asks for it.
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "1",
    "DVC_NO_ANALYTICS": "1",
    # TensorFlow's start-up remarks, and Git's advice through MLflow, are no news to our users.
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "GIT_PYTHON_REFRESH": "quiet",
    "MPLBACKEND": "agg",
}


def prepare_environment() -> None:
    """Set the environment variables that keep dependencies quiet, where the user's stay, and those of Keras."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    prepare_keras()


# What the networks are made for; Keras reads other values from ~/.keras/keras.json when it is imported.
KERAS_SETTINGS = {"floatx": "float32", "epsilon": 1e-7, "image_data_format": "channels_last", "nnx_enabled": False}
KERAS_BACKEND = "tensorflow"


def prepare_keras() -> None:
    """Have Keras compute with TensorFlow, channels last and float32, whatever the user's settings say.

    Before Keras is imported. Where `keras.json` differs, Keras gets a home without one for the time of this process;
    weights that it fetches stay in the user's.

    Raises:
        ConvLensError: Keras is loaded already, with another backend: in a program of the user's own.
    """
    if "keras" in sys.modules:
        chosen = sys.modules["keras"].config.backend()
        if chosen != KERAS_BACKEND:
            raise ConvLensError(
                f"Expected Keras with {KERAS_BACKEND}. Received: {chosen}, which this process has loaded. Set "
                f"KERAS_BACKEND={KERAS_BACKEND} before Keras is imported."
            )
        return
    os.environ["KERAS_BACKEND"] = KERAS_BACKEND
    home = Path(os.environ.get("KERAS_HOME") or os.path.join(os.path.expanduser("~"), ".keras"))
    try:
        chosen = json.loads((home / "keras.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):  # none, or one that Keras passes over
        return
    if not isinstance(chosen, dict) or any(chosen.get(name, value) != value for name, value in KERAS_SETTINGS.items()):
        with suppress(OSError):  # a home that cannot be written to
            (home / "models").mkdir(exist_ok=True)
        os.environ["KERAS_HOME"] = own = tempfile.mkdtemp(prefix="convlens-keras-")
        atexit.register(shutil.rmtree, own, ignore_errors=True)
        Path(own, "models").symlink_to((home / "models").absolute())


def repository_root() -> str:
    """The folder that holds the tracking store and the checkpoints.

    DVC runs `--temp` and `--queue` experiments in a copy and names the real repository in `DVC_ROOT`.
    """
    return os.environ.get("DVC_ROOT", os.getcwd())


def cluster_address() -> str:
    """Address of the Dask scheduler whose workers read the photos, from `CONVLENS_CLUSTER`; '' means this machine.

    No parameter: where photos are read changes no result, so it must neither run a stage again nor be recorded.
    """
    return os.environ.get("CONVLENS_CLUSTER", "").strip()


CPU_INFO = Path("/proc/cpuinfo")


def cpu_flags(cpu_info: Path = CPU_INFO) -> frozenset[str]:
    """What this processor can do, in Linux's words; nothing where no such file says it.

    `flags` is what x86 calls them, `Features` what ARM does.
    """
    if not cpu_info.is_file():
        return frozenset()
    lines = cpu_info.read_text(errors="replace").splitlines()
    return frozenset(next((line for line in lines if line.startswith(("flags", "Features"))), "").split())


@contextmanager
def hold_stderr(*, replay: bool = True) -> Iterator[None]:
    """Keep back what libraries print, such as TensorFlow's remarks from C++ that no setting silences.

    Args:
        replay: show it if the block fails, for whoever must find out why.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield
        except (KeyboardInterrupt, ConvLensError):
            raise  # there is nothing to find out, or the message says it all
        except BaseException:
            sys.stderr.flush()
            file.seek(0)
            os.write(kept, file.read() if replay else b"")
            raise
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)


# --- secrets: what must not leave this machine with a record ---

TELLING = (
    r"(?:SECRET|TOKEN|PASSWORD|PASSWD|PASSPHRASE|CREDENTIAL|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY|SIGNATURE|AUTH(?!OR))"
)
MIN_LENGTH = 6  # shorter values are words like `true`, which stand in every text
HIDDEN = "…"
_USER = re.compile(r"(\w+://)[^/@\s]+@")
_QUERY = re.compile(rf"([?&][\w.-]*(?:{TELLING}|sig|key)[\w.-]*=)[^&\s\"'#]+", re.IGNORECASE)
_ASSIGNED = re.compile(rf"([\w.-]*{TELLING}[\w.-]*[\"']?\s*[:=]\s*)([\"'])[^\"'\n]+\2", re.IGNORECASE)
_NAME = re.compile(TELLING, re.IGNORECASE)
_PLACE = re.compile(r"_(?:FILE|PATH|DIR|URL|URI|SOCK)$", re.IGNORECASE)  # where a secret is kept is none


def hide_passwords(text: str) -> str:
    """`https://user:secret@host` becomes `https://…@host`, and `?token=abc` becomes `?token=…`."""
    return _QUERY.sub(rf"\1{HIDDEN}", _USER.sub(rf"\1{HIDDEN}@", text))


def hide_secrets(text: str) -> str:
    """Hide passwords in addresses, texts assigned to names that tell, and values of telling environment variables."""
    text = _ASSIGNED.sub(rf"\1\2{HIDDEN}\2", hide_passwords(text))
    for value in _secret_values():
        text = text.replace(value, HIDDEN)
    return text


def _secret_values() -> list[str]:
    """The longest first: one may be part of another."""
    found = {value for name, value in os.environ.items() if _NAME.search(name) and not _PLACE.search(name)}
    return sorted((value for value in found if len(value) >= MIN_LENGTH), key=lambda value: (-len(value), value))
