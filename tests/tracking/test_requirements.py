from pathlib import Path

import pytest

from convlens.errors import ConvLensError
from convlens.tracking.environment import NEEDED, pinned_requirements

PROJECT_LOCK = Path(__file__).parents[2] / "requirements.txt"
LOCK = """\
# made by uv
h5py==3.14.0 \\
    --hash=sha256:00
keras==3.15.1
mlflow==3.17.2 --hash=sha256:00
numpy==2.4.6 ; python_version < '3.12'
numpy==2.5.5 ; python_version >= '3.12'
pandas==3.0.6
Pillow==13.0.0
requests==2.34.2
tensorflow==2.21.0 ; sys_platform == 'sunos'
tensorflow-cpu==2.21.0 ; sys_platform != 'sunos'
-r other.txt
"""


def test_pins_what_models_need_for_every_platform(tmp_path: Path) -> None:
    lock = tmp_path / "lock.txt"
    lock.write_text(LOCK)
    assert pinned_requirements(lock) == [
        "h5py==3.14.0",
        "keras==3.15.1",
        "mlflow==3.17.2",
        'numpy==2.4.6; python_version < "3.12"',
        'numpy==2.5.5; python_version >= "3.12"',
        "pandas==3.0.6",
        "Pillow==13.0.0",
        'tensorflow==2.21.0; sys_platform == "sunos"',
        'tensorflow-cpu==2.21.0; sys_platform != "sunos"',
    ]


def test_the_project_s_lock_has_them_all() -> None:
    names = {line.split("==")[0] for line in pinned_requirements(PROJECT_LOCK)}
    assert names == set(NEEDED)


@pytest.mark.parametrize(
    ("lost", "named"),
    [("keras==3.15.1\n", "keras"), ("tensorflow-cpu==2.21.0 ; sys_platform != 'sunos'\n", "tensorflow")],
)
def test_missing_package_is_told(tmp_path: Path, lost: str, named: str) -> None:
    lock = tmp_path / "lock.txt"
    lock.write_text(LOCK.replace(lost, ""))
    with pytest.raises(ConvLensError, match=f"Expected {named} in "):
        pinned_requirements(lock)
