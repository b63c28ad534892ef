"""Small repositories in which the scripts of `tools/ci` run, as a workflow's step would run them."""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from pipeline.clone import ROOT, Clone

# In place of GitHub's program: notes what it is asked, a line each, and answers what its file `answer` says.
GH = """\
#!/bin/sh
[ -n "$GH_TOKEN" ] || { echo "gh: set the GH_TOKEN environment variable." >&2; exit 4; }
echo "$*" >>"$STANDS_IN/asked"
cat "$STANDS_IN/answer" 2>/dev/null || true
"""


@dataclass
class Repository(Clone):
    """A repository with the scripts of this one; programs in the folder `bin` beside it stand in for real ones."""

    @property
    def programs(self) -> Path:
        return self.folder.parent / "bin"

    @property
    def environment(self) -> dict[str, str]:
        usual = {name: value for name, value in super().environment.items() if not name.startswith("GITHUB_")}
        path = f"{self.programs}{os.pathsep}{usual['PATH']}"
        return {**usual, "PATH": path, "STANDS_IN": str(self.programs), "GH_TOKEN": "token"}

    @property
    def asked(self) -> list[str]:
        """What `gh` was asked."""
        file = self.programs / "asked"
        return file.read_text().splitlines() if file.is_file() else []

    def stand_in(self, name: str, script: str) -> None:
        """Put a program in the place of a real one."""
        (self.programs / name).write_text(script)
        (self.programs / name).chmod(0o755)

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def read(self, name: str) -> str:
        return (self.folder / name).read_text()

    def head(self, revision: str = "HEAD") -> str:
        return self.run("git", "rev-parse", revision).stdout.strip()


@pytest.fixture
def make_repository(tmp_path: Path) -> Callable[[dict[str, str]], Repository]:
    """Makes a repository with these files and the scripts of this one."""

    def make(files: dict[str, str]) -> Repository:
        folder = tmp_path / "source"
        shutil.copytree(ROOT / "tools/ci", folder / "tools/ci")
        (folder / ".dvc").mkdir()
        (folder / ".dvc/config").write_bytes((ROOT / ".dvc/config").read_bytes())
        (folder / ".dvc/.gitignore").write_text("/config.local\n/tmp\n/cache\n")
        repository = Repository(folder)
        for name, text in {".gitignore": "/ci-results/\n/out.txt\n/folder/\n/.convlens/\n", **files}.items():
            repository.write(name, text)
        repository.programs.mkdir()
        repository.stand_in("gh", GH)
        repository.run("git", "init", "--quiet", "--initial-branch=main")
        repository.commit("Start")
        return repository

    return make
