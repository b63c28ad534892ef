"""Files of a revision, read through DVC without checking anything out.

A revision is `workspace`, anything Git understands, or the name of a DVC experiment. What is in Git comes from the
commit; what DVC tracks comes from the cache, or from the remote if there is one.
"""

import shlex
import subprocess
from functools import cached_property
from pathlib import Path
from typing import Any

from convlens.errors import ConvLensError

WORKSPACE = "workspace"


class NoResultsError(ConvLensError):
    """A revision without results of the pipeline, as every repository has before its first run."""


def find_root() -> Path:
    """The root of the repository that the working directory is in.

    Raises:
        ConvLensError: it is in none that both Git and DVC know.
    """
    from dvc.exceptions import NotDvcRepoError
    from dvc.repo import Repo
    from dvc.scm import NoSCM

    try:
        with Repo() as repo:
            root, scm = Path(repo.root_dir), repo.scm
    except NotDvcRepoError as error:
        raise ConvLensError(f"Expected a repository of DVC. Received: {Path.cwd()}, which is in none.") from error
    if isinstance(scm, NoSCM):
        raise ConvLensError(f"Expected a repository of Git, which has revisions. Received: {root}, which is none.")
    return root


class Revision:
    """A revision and its files.

    Attributes:
        root: of the repository.
        name: as the user wrote it.
        commit: 40 hexadecimal digits; empty for the workspace.
        absent: DVC's files that were asked for, and that neither the cache nor a remote has.
    """

    def __init__(self, root: Path, name: str) -> None:
        """Find the revision.

        Raises:
            ConvLensError: there is none of this name.
        """
        self.root = root
        self.name = name
        self.commit = "" if name == WORKSPACE else _resolve(root, name)
        self.absent: list[str] = []

    @cached_property
    def _files(self) -> Any:
        from dvc.api import DVCFileSystem
        from dvc.exceptions import NotDvcRepoError

        try:
            return DVCFileSystem(str(self.root), rev=self.commit or None)
        except NotDvcRepoError as error:
            raise self._lacks("a repository of DVC") from error

    def read(self, path: str) -> bytes:
        """A file that every run has, in Git.

        Raises:
            NoResultsError: it is not there.
        """
        found = self.read_if_there(path)
        if found is None:
            raise self._lacks(path)
        return found

    def read_if_there(self, path: str) -> bytes | None:
        """A file in Git; None if it is not there."""
        try:
            return bytes(self._files.read_bytes(path))
        except OSError:
            return None

    def read_tracked(self, path: str) -> bytes | None:
        """A file that DVC tracks; None if it cannot be had."""
        try:
            return bytes(self._files.read_bytes(path))
        except Exception:  # each kind of remote fails in its own way
            self.absent.append(path)
            return None

    def read_yaml(self, path: str) -> dict[str, Any]:
        """The plain content of a YAML file in Git."""
        from ruamel.yaml import YAML

        return dict(YAML(typ="safe").load(self.read(path)) or {})

    def _lacks(self, what: str) -> NoResultsError:
        return NoResultsError(
            f"Expected {what} at the revision '{self.name}'. Received: nothing there. Run the pipeline there "
            "(`dvc repro`) and commit its results, or name a revision that has some."
        )


def _resolve(root: Path, name: str) -> str:
    """The commit of a name, looked up as `dvc metrics diff` does: first Git's names, then those of experiments."""
    from dvc.repo import Repo
    from dvc.scm import RevError, resolve_rev

    try:
        with Repo(str(root)) as repo:
            return str(resolve_rev(repo.scm, name))
    except RevError as error:
        raise ConvLensError(
            f"Expected `workspace`, a Git revision or the name of a DVC experiment. Received: '{name}', which is "
            f"none here. {_say_where(root, name)} `dvc exp list --all-commits` names the experiments."
        ) from error


def _say_where(root: Path, name: str) -> str:
    """How to get a branch, tag or commit that was never fetched, as in the clone of a CI job or of a fork."""
    remote = _ask_git(root, "for-each-ref", "--format=%(refname:short)", f"refs/remotes/*/{name}").split()
    if remote:
        return f"There is '{remote[0]}': name that."
    shallow = _ask_git(root, "rev-parse", "--is-shallow-repository") == "true"
    more = " This clone is shallow; `git fetch --unshallow` brings its older commits." if shallow else ""
    return f"`git fetch origin {shlex.quote(name.removeprefix('origin/'))}` brings what the remote has.{more}"


def _ask_git(root: Path, *arguments: str) -> str:
    """What Git prints; nothing if it cannot answer."""
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)
    return done.stdout.strip()
