"""Where a revision keeps its files, what DVC recorded of them, and which of them are on this disk."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Any

from convlens.comparison.revisions import NoResultsError, Revision
from convlens.tracking.values import flatten_params

Lock = Mapping[str, Any]


class Places:
    """Where a revision keeps its files: its own dvc.yaml says so, on the command lines of the stages."""

    def __init__(self, revision: Revision) -> None:
        stages = revision.read_yaml("dvc.yaml").get("stages", {})
        self._words = {stage: shlex.split(entry.get("cmd", "")) for stage, entry in stages.items()}
        self._revision = revision.name

    def find(self, stage: str, name: str) -> str:
        """The path that a stage is given for one of its parameters.

        Raises:
            NoResultsError: there is no such stage, or it takes no such path.
        """
        path = self.find_if_there(stage, name)
        if path is None:
            raise NoResultsError(
                f"Expected a stage '{stage}' with {_option(name)} in dvc.yaml at the revision '{self._revision}'. "
                "Received: none. Name a revision with the pipeline of ConvLens."
            )
        return path

    def find_if_there(self, stage: str, name: str) -> str | None:
        """The same; None where the pipeline of that time had no such stage or file."""
        words = self._words.get(stage, [])
        return words[words.index(_option(name)) + 1] if _option(name) in words[:-1] else None


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


@dataclass(frozen=True)
class Output:
    """An output of a stage as dvc.lock records it.

    Attributes:
        path: relative to the repository.
        digest: MD5 of its content; ends with `.dir` for a folder.
        size: bytes; None if it was not recorded.
    """

    path: str
    digest: str
    size: int | None


def list_outputs(lock: Lock) -> dict[str, Output]:
    """All outputs of a dvc.lock by their paths."""
    rows = [row for stage in lock.get("stages", {}).values() for row in stage.get("outs", [])]
    return {row["path"]: Output(row["path"], row.get("md5", ""), row.get("size")) for row in rows}


def list_outdated(params: Mapping[str, Any], lock: Lock) -> tuple[str, ...]:
    """Parameters that have other values than the stages ran with; one that no stage has run with yet is new."""
    now = flatten_params(params)
    outdated = set()
    for stage in lock.get("stages", {}).values():
        ran = flatten_params(stage.get("params", {}).get("params.yaml", {}))
        outdated |= {name for name, value in ran.items() if now.get(name, value) != value}
    return tuple(name for name in now if name in outdated)


class Disk:
    """The files of a revision that lie on this disk: in the workspace, or in DVC's cache. Nothing is downloaded."""

    def __init__(self, revision: Revision, lock: Lock) -> None:
        from dvc.repo import Repo

        self._root = None if revision.commit else revision.root
        self._outputs = list_outputs(lock)
        with Repo(str(revision.root)) as repo:
            self._cache = repo.cache.local

    def find(self, path: str | None) -> Path | None:
        """Where the content of a file lies; its name there may be another."""
        if path is None:
            return None
        if self._root is not None:
            return self._root / path if (self._root / path).is_file() else None
        if path in self._outputs:
            return self._find_content(self._outputs[path].digest)
        return next(iter(self.match(path)), None)

    def match(self, pattern: str) -> tuple[Path, ...]:
        """Where the files of a folder lie that a pattern (`data/prepared/test/images-*.npy`) names, in their order."""
        if self._root is not None:
            return tuple(sorted(self._root.glob(pattern)))
        folder = next((name for name in self._outputs if name in map(str, PurePosixPath(pattern).parents)), None)
        found = [self._find_content(row) for name, row in self._list_folder(folder) if fnmatch(name, pattern)]
        return tuple(path for path in found if path is not None) if all(found) else ()

    def _list_folder(self, folder: str | None) -> list[tuple[str, str]]:
        """Path and digest of every file, in the order of the paths."""
        content = None if folder is None else self._find_content(self._outputs[folder].digest)
        if content is None:
            return []
        rows = json.loads(content.read_text(encoding="utf-8"))
        return sorted((f"{folder}/{row['relpath']}", row["md5"]) for row in rows)

    def _find_content(self, digest: str) -> Path | None:
        if self._cache is None or not digest:
            return None
        path = Path(self._cache.oid_to_path(digest))
        return path if path.is_file() else None
