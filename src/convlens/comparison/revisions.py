"""Files of a revision, read through DVC without checking anything out.

A revision is `workspace`, anything Git understands, or the name of a DVC experiment. What is in Git comes from the
commit; what DVC tracks comes from the cache, or from the remote if there is one.
"""

from pathlib import Path
from typing import Any

from convlens.errors import ConvLensError

WORKSPACE = "workspace"


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
        name: as the user wrote it.
        commit: 40 hexadecimal digits; empty for the workspace.
        absent: DVC's files that were asked for, and that neither the cache nor a remote has.
    """

    def __init__(self, root: Path, name: str) -> None:
        """Find the revision.

        Raises:
            ConvLensError: there is none of this name.
        """
        from dvc.api import DVCFileSystem

        self.name = name
        self.commit = "" if name == WORKSPACE else _resolve(root, name)
        self.absent: list[str] = []
        self._files = DVCFileSystem(str(root), rev=self.commit or None)

    def read(self, path: str) -> bytes:
        """A file that every run has, in Git.

        Raises:
            ConvLensError: it is not there.
        """
        try:
            return bytes(self._files.read_bytes(path))
        except OSError as error:
            raise ConvLensError(
                f"Expected {path} at the revision '{self.name}'. Received: nothing there. Run the pipeline there "
                "(`dvc repro`) and commit its results, or name a revision that has some."
            ) from error

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
            "none here. `dvc exp list --all-commits` names the experiments; `git fetch` brings commits."
        ) from error
