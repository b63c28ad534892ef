"""A real PostgreSQL of its own on 127.0.0.1, from the machine's packages."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tracking_server import free_port

USER = "postgres"


def find_postgres() -> Path | None:
    """The folder of PostgreSQL's programs; Debian keeps them apart, one folder per version."""
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    found = str(installed[-1]) if installed else shutil.which("initdb")
    return Path(found).parent if found else None


@contextmanager
def serve_postgres(programs: Path) -> Iterator[str]:
    """Start a fresh server; gives the address of its database."""
    folder, port = Path(tempfile.mkdtemp(prefix="convlens-postgres-")), free_port()
    if os.geteuid() == 0:
        shutil.chown(folder, USER)
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c fsync=off"
    data = str(folder / "data")
    try:
        _run(folder, str(programs / "initdb"), "-D", data, "-U", USER, "--auth=trust", "--no-sync", "--encoding=UTF8")
        _run(folder, str(programs / "pg_ctl"), "-D", data, "-l", str(folder / "log"), "-w", "-t", "300", "-o", options,
             "start")  # fmt: skip
        yield f"postgresql://{USER}@127.0.0.1:{port}/postgres"
    finally:
        _run(folder, str(programs / "pg_ctl"), "-D", data, "-m", "immediate", "stop", check=False)
        shutil.rmtree(folder, ignore_errors=True)


def _run(folder: Path, *command: str, check: bool = True) -> None:
    """PostgreSQL refuses to run as root."""
    as_user = ("runuser", "-u", USER, "--") if os.geteuid() == 0 else ()
    done = subprocess.run(
        [*as_user, *command], cwd=folder, stdin=subprocess.DEVNULL, capture_output=check, text=True, check=False
    )
    if check and done.returncode:
        raise AssertionError(f"{' '.join(command)}:\n{done.stdout}{done.stderr}")
