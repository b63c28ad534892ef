"""GitHub for tests: a repository that is pushed to, what happens there, and what is left of a run."""

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HOOK = """\
#!/bin/sh
# Pushes are for jobs whose token may write contents, once Git has been told of the token.
case "$STUB_PERMISSIONS" in
    *'"contents": "write"'*) ;;
    *) echo "Permission denied to github-actions[bot]" >&2; exit 1 ;;
esac
[ -e "$STUB_GH/may-push" ] || { echo "could not read Username" >&2; exit 1; }
"""


@dataclass(frozen=True)
class Event:
    """What happened.

    Attributes:
        name: such as `pull_request`.
        commit: that runs.
        branch: that it is on.
        base: where it goes to (pull_request), or what was there before (push): a commit.
        fork: whether a pull request comes from another repository.
        inputs: of workflow_dispatch.
    """

    name: str
    commit: str
    branch: str = "main"
    base: str = ""
    fork: bool = False
    inputs: Mapping[str, str] = field(default_factory=dict)

    @property
    def payload(self) -> dict[str, Any]:
        """The part of GitHub's event that the workflows read."""
        if self.name == "pull_request":
            repository = "someone/convlens" if self.fork else "team/convlens"
            head = {"sha": self.commit, "ref": self.branch, "repo": {"full_name": repository, "fork": self.fork}}
            return {"number": 7, "pull_request": {"number": 7, "head": head, "base": {"ref": "main", "sha": self.base}}}
        if self.name == "push":
            return {"ref": f"refs/heads/{self.branch}", "before": self.base, "after": self.commit}
        return {"inputs": dict(self.inputs)}

    @property
    def context(self) -> dict[str, Any]:
        """The context `github` of expressions."""
        request = self.name == "pull_request"
        return {
            "event": self.payload,
            "event_name": self.name,
            "sha": self.commit,
            "ref": "refs/pull/7/merge" if request else f"refs/heads/{self.branch}",
            "ref_name": "7/merge" if request else self.branch,
            "base_ref": "main" if request else "",
            "head_ref": self.branch if request else "",
            "repository": "team/convlens",
            "server_url": "https://github.example",
            "run_id": "42",
            "run_attempt": "1",
            "token": "the token",
            "workflow": "",
        }


class GitHub:
    """One repository and what surrounds it.

    Attributes:
        origin: the bare repository.
        folder: keeps artifacts and caches, and what `gh` was asked; what lies in its `programs` stands in for programs
            of the environment `.venv`.
        variables: of the repository, `vars`.
        secrets: of the repository; runs for forks get none.
    """

    def __init__(self, folder: Path, source: Path) -> None:
        self.folder = folder
        self.origin = folder / "origin.git"
        self.variables: dict[str, str] = {}
        self.secrets: dict[str, str] = {}
        for name in ("artifacts", "caches", "gh", "bin", "programs"):
            (folder / name).mkdir(parents=True)
        subprocess.run(["git", "clone", "--quiet", "--bare", str(source), str(self.origin)], check=True)
        self._write_programs()

    def changed(self, event: Event) -> list[str]:
        """Files that differ between the event's commit and its base."""
        if not event.base:
            return []
        return self.git("diff", "--name-only", f"{event.base}...{event.commit}").splitlines()

    def git(self, *arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=self.origin, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    @property
    def state(self) -> dict[str, Any]:
        """What the stand-in of `gh` keeps."""
        path = self.folder / "gh/state.json"
        return json.loads(path.read_text()) if path.is_file() else {"calls": [], "comments": [], "statuses": []}

    def artifact(self, name: str) -> set[str]:
        """The files of an artifact."""
        folder = self.folder / "artifacts" / name
        return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}

    def _write_programs(self) -> None:
        gh, sudo = self.folder / "bin/gh", self.folder / "bin/sudo"
        shutil.copy(Path(__file__).with_name("gh_stub.py"), self.folder / "bin/gh_stub.py")
        gh.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{self.folder}/bin/gh_stub.py" "$@"\n')
        sudo.write_text('#!/bin/sh\nexec "$@"\n')
        hook = self.origin / "hooks/pre-receive"
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(HOOK)
        for program in (gh, sudo, hook):
            program.chmod(0o755)
