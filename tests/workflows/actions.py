"""What the actions do that the workflows use: checkout, caches, artifacts."""

import glob
import hashlib
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workflows.github import Event, GitHub


class ActionError(Exception):
    """An action failed."""


def check_out(github: "GitHub", event: "Event", workspace: Path, given: dict[str, str]) -> None:
    """Clone; without `ref` what the event is about (a pull request: not its merge, but its commit)."""
    from workflows.runner import use_environment

    if given.get("persist-credentials") != "false":
        raise ActionError("Leave no token in the clone: persist-credentials: false.")
    _git(workspace.parent, "clone", "--quiet", str(github.origin), str(workspace))
    ref = given.get("ref") or event.commit
    branches = _git(workspace, "branch", "--remotes", "--format=%(refname:lstrip=3)").split()
    _git(workspace, "checkout", "--quiet", *(["-B", ref, f"origin/{ref}"] if ref in branches else ["--detach", ref]))
    use_environment(workspace, github.folder / "programs")


def restore_cache(github: "GitHub", _event: "Event", workspace: Path, given: dict[str, str]) -> dict[str, str]:
    """The cache of that key, else the latest whose key begins with it, else one that begins with a restore key."""
    for start in (given["key"], *given.get("restore-keys", "").split()):
        found = sorted((github.folder / "caches").glob(f"{start}*"), key=lambda path: path.stat().st_mtime)
        if found:
            exact = github.folder / "caches" / given["key"]
            chosen = exact if exact in found else found[-1]
            _copy(chosen, workspace)
            return {"cache-primary-key": given["key"], "cache-hit": str(chosen == exact).lower()}
    return {"cache-primary-key": given["key"], "cache-hit": ""}


def save_cache(github: "GitHub", _event: "Event", workspace: Path, given: dict[str, str]) -> None:
    for name in given["path"].split():
        if (workspace / name).is_dir():
            _copy(workspace / name, github.folder / "caches" / given["key"] / name)


def upload(github: "GitHub", _event: "Event", workspace: Path, given: dict[str, str]) -> None:
    """Keep files; several paths lie below what they have in common, there or not, and hidden files are left out."""
    wanted = [workspace / name for name in given["path"].split()]
    found = [path for path in wanted if path.exists()]
    if not found and given.get("if-no-files-found") != "ignore":
        raise ActionError(f"No files: {given['path']}")
    files = [file for path in found for file in ([path] if path.is_file() else sorted(path.rglob("*")))]
    kept = [file for file in files if file.is_file() and not _hidden(file, workspace)]
    root = _common(wanted)
    for file in kept:
        place = github.folder / "artifacts" / given["name"] / file.relative_to(root)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, place)


def download(github: "GitHub", _event: "Event", workspace: Path, given: dict[str, str]) -> None:
    source = github.folder / "artifacts" / given["name"]
    if not source.is_dir():
        raise ActionError(f"Artifact not found for name: {given['name']}")
    _copy(source, workspace / given.get("path", "."))


def hash_files(workspace: Path, patterns: Sequence[str]) -> str:
    """One digest of the files that fit; empty if none does."""
    found = sorted({name for pattern in patterns for name in glob.glob(pattern, root_dir=workspace, recursive=True)})
    contents = [(workspace / name).read_bytes() for name in found if (workspace / name).is_file()]
    if not contents:
        return ""
    return hashlib.sha256(b"".join(hashlib.sha256(content).digest() for content in contents)).hexdigest()


ACTIONS = {
    "actions/checkout": check_out,
    "actions/setup-python": lambda *_: None,
    "actions/cache/restore": restore_cache,
    "actions/cache/save": save_cache,
    "actions/upload-artifact": upload,
    "actions/download-artifact": download,
}


def _common(paths: Sequence[Path]) -> Path:
    """The deepest folder that holds all of these; a single folder itself."""
    if len(paths) == 1 and paths[0].is_dir():
        return paths[0]
    return next(place for place in paths[0].parents if all(path.is_relative_to(place) for path in paths))


def _hidden(path: Path, root: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(root).parts)


def _copy(source: Path, target: Path) -> None:
    shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise ActionError(f"git {' '.join(arguments)}: {done.stderr}")
    return done.stdout
