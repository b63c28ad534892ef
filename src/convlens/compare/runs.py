"""Two runs to compare: revisions, experiments, and the results of each."""

import json
import shlex
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from convlens.data.prepared import CARD_FILE, SPLITS_FILE, Prepared
from convlens.data.validation import MANIFEST_FILE, RESULT_FILE, load_result
from convlens.errors import ConvLensError
from convlens.files import read_json
from convlens.metrics.evaluation import METRICS, TABLES, load_metrics, load_predictions
from convlens.models.files import CARD, FILE, HISTORY, load_card, load_history
from convlens.params import flatten_params

# --- Files of a revision, read through DVC without checking anything out ---
#
# A revision is `workspace`, anything Git understands, or the name of a DVC experiment. What is in Git comes from the
# commit; what DVC tracks comes from the cache, or from the remote if there is one.

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
        """Read a file that every run has, in Git.

        Raises:
            NoResultsError: it is not there.
        """
        try:
            return bytes(self._files.read_bytes(path))
        except OSError as error:
            raise self._lacks(path) from error

    def fetch(self, paths: Sequence[str], folder: Path) -> bool:
        """Copy files, tracked by DVC or Git, into a folder; whether all could be had."""
        folder.mkdir(parents=True, exist_ok=True)
        missing = []
        for path in paths:
            try:
                (folder / PurePosixPath(path).name).write_bytes(self._files.read_bytes(path))
            except Exception:  # each kind of remote fails in its own way
                missing.append(path)
        self.absent += missing
        return not missing

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


# --- where a revision keeps its files, what DVC recorded of them, and which of them are on this disk ---

Lock = Mapping[str, Any]


class Places:
    """Where a revision keeps its files: its own dvc.yaml says so, on the command lines of the stages."""

    def __init__(self, revision: Revision) -> None:
        stages = revision.read_yaml("dvc.yaml").get("stages", {})
        self._words = {stage: shlex.split(entry.get("cmd", "")) for stage, entry in stages.items()}
        self._revision = revision.name

    def find(self, stage: str, name: str) -> str:
        """Find the path that a stage is given for one of its parameters.

        Raises:
            NoResultsError: there is no such stage, or it takes no such path.
        """
        option, words = f"--{name.replace('_', '-')}", self._words.get(stage, [])
        if option not in words[:-1]:
            raise NoResultsError(
                f"Expected a stage '{stage}' with {option} in dvc.yaml at the revision '{self._revision}'. Received: "
                "none. Its results are of an earlier version of ConvLens or of another pipeline: run `dvc repro` there "
                "with this version, or name another revision."
            )
        return words[words.index(option) + 1]


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

    def find(self, path: str) -> Path | None:
        """Where the content of a file lies; its name there may be another."""
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


# --- what one run left behind: parameters, numbers, predictions, facts about data and model ---

MAPS_METRICS = "maps_metrics.json"  # in the folder of the feature maps


@dataclass(frozen=True)
class Files:
    """Large files of a run that lie on this disk, read only when they are needed; None or empty where they do not.

    Attributes:
        test_shards: arrays of the test photos, uint8 (n, size, size, 3) each, in the order of their rows.
        model: the network.
        manifest: facts about all photos.
        listing: the list that `ingest` wrote, with the data's own columns.
    """

    test_shards: tuple[Path, ...] = ()
    model: Path | None = None
    manifest: Path | None = None
    listing: Path | None = None


@dataclass(frozen=True)
class Snapshot:
    """One run, as a revision holds it.

    Attributes:
        name: of the revision, as the user wrote it.
        params: content of params.yaml.
        metrics: content of metrics.json.
        history: one row per epoch.
        commit: of the revision, 40 hexadecimal digits; empty for the workspace.
        outdated: parameters (dotted) that have other values in params.yaml than the results were made with.
        card: card of the model; empty if it cannot be had.
        prepared_card: card of the prepared photos; empty if it cannot be had.
        validation: result of the data checks; empty if there is none.
        maps: numbers about the filters (maps_metrics.json); empty if they cannot be had.
        predictions: one row per test photo: path, label, probability_<class> …; None if it cannot be had.
        photos: one row per photo: path, label, split, row, sha256; None if it cannot be had.
        absent: files that DVC tracks and that cannot be had.
        places: paths of some outputs by what they are: prepared, model, predictions, manifest, report, feature_maps.
        outputs: what dvc.lock says of them all, by path.
        code: digests of the stages' source files by path, and the stages that depend on each.
        files: large files on this disk.
        seconds: how long the training took; None if nobody knows.
    """

    name: str
    params: Mapping[str, Any]
    metrics: Mapping[str, Any]
    history: pd.DataFrame
    commit: str = ""
    outdated: tuple[str, ...] = ()
    card: Mapping[str, Any] = field(default_factory=dict)
    prepared_card: Mapping[str, Any] = field(default_factory=dict)
    validation: Mapping[str, Any] = field(default_factory=dict)
    maps: Mapping[str, Any] = field(default_factory=dict)
    predictions: pd.DataFrame | None = None
    photos: pd.DataFrame | None = None
    absent: tuple[str, ...] = ()
    places: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[str, Output] = field(default_factory=dict)
    code: Mapping[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict)
    files: Files = Files()
    seconds: float | None = None

    def output(self, kind: str) -> Output | None:
        """What dvc.lock says of the output of a kind that `places` names."""
        return self.outputs.get(self.places.get(kind, ""))


def explain_fetch(run: Snapshot) -> str:
    """Say how to get a run's files; those of an experiment come another way than a commit's, and no name tells."""
    if not run.commit:
        return "Bring them with `dvc pull`, or make them with `dvc repro`."
    return (
        f"Bring them with `dvc fetch --all-commits` (an experiment: `dvc exp pull origin {run.name}`), or make them "
        f"again: `git switch --detach {run.name}` (an experiment: `dvc exp apply {run.name}`), then `dvc repro`."
    )


def read_snapshot(root: Path, name: str) -> Snapshot:
    """Read what a revision holds, each artefact by its owner.

    Raises:
        NoResultsError: it has no results, or those of an earlier version of ConvLens.
        ConvLensError: there is no such revision.
    """
    revision = Revision(root, name)
    params, lock = revision.read_yaml("params.yaml"), revision.read_yaml("dvc.lock")
    given = Places(revision)
    places = {
        "prepared": given.find("train", "prepared"),
        "model": given.find("train", "model_folder"),
        "training": given.find("train", "training"),
        "evaluation": given.find("evaluate", "evaluation"),
        "manifest": given.find("validate", "manifest"),
        "listing": given.find("validate", "photos"),
        "validation": given.find("validate", "report"),
    }
    pages = {PurePosixPath(row["path"]).name: row["path"]
             for row in lock.get("stages", {}).get("report", {}).get("outs", [])}  # fmt: skip
    kinds = {"report": "report.html", "feature_maps": "feature_maps.html", "maps": "feature_maps"}
    places |= {kind: pages[name] for kind, name in kinds.items() if name in pages}
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as temporary:
        copies = {kind: Path(temporary) / kind for kind in places}

        def fetch(kind: str, *names: str) -> bool:
            return kind in places and revision.fetch([f"{places[kind]}/{file}" for file in names], copies[kind])

        for kind, file in (("evaluation", METRICS), ("training", HISTORY)):  # in Git; without them there is no run
            copies[kind].mkdir()
            (copies[kind] / file).write_bytes(revision.read(f"{places[kind]}/{file}"))
        found["metrics"] = load_metrics(copies["evaluation"])
        found["history"] = load_history(copies["training"])
        if fetch("model", CARD):
            found["card"] = load_card(copies["model"])
        if fetch("prepared", CARD_FILE, SPLITS_FILE):
            prepared = Prepared.load(copies["prepared"])
            found |= {"prepared_card": prepared.card, "photos": prepared.splits}
        if fetch("evaluation", TABLES["predictions"][0]):
            found["predictions"] = load_predictions(copies["evaluation"])
        if fetch("validation", RESULT_FILE):
            found["validation"] = load_result(copies["validation"])
        if fetch("maps", MAPS_METRICS):
            found["maps"] = read_json(copies["maps"] / MAPS_METRICS)
    disk = Disk(revision, lock)
    files = Files(
        test_shards=disk.match(f"{places['prepared']}/test/images-*.npy"),
        model=disk.find(f"{places['model']}/{FILE}"),
        manifest=disk.find(f"{places['manifest']}/{MANIFEST_FILE}"),
        listing=disk.find(places["listing"]),
    )
    return Snapshot(
        name=name,
        params=params,
        commit=revision.commit,
        outdated=list_outdated(params, lock),
        absent=tuple(revision.absent),
        places=places,
        outputs=list_outputs(lock),
        code=_list_code(lock),
        files=files,
        **found,
    )


def _list_code(lock: Lock) -> dict[str, tuple[str, tuple[str, ...]]]:
    found: dict[str, tuple[str, tuple[str, ...]]] = {}
    for stage, entry in lock.get("stages", {}).items():
        for row in entry.get("deps", []):
            if row["path"].startswith("src/"):
                _, users = found.get(row["path"], ("", ()))
                found[row["path"]] = (row.get("md5", ""), (*users, stage))
    return found


# --- Which photos a data set has gained and lost between two runs, told by content ---


@dataclass(frozen=True)
class PhotoChanges:
    """Differences between the photos of two runs; each as paths, in their order.

    Attributes:
        added: in the run alone.
        removed: in the base alone.
        relabeled: in both, with another class.
        moved: in both, in another split.
    """

    added: tuple[str, ...]
    removed: tuple[str, ...]
    relabeled: tuple[str, ...]
    moved: tuple[str, ...]


def find_photo_changes(base: Snapshot, head: Snapshot) -> PhotoChanges | None:
    """What changed among the photos that are used; None where a list of photos cannot be had."""
    if base.photos is None or head.photos is None:
        return None
    before, after = (photos.drop_duplicates("sha256").set_index("sha256")[["path", "label", "split"]]
                     for photos in (base.photos, head.photos))  # fmt: skip
    both = after.join(before, how="inner", rsuffix="_base")
    return PhotoChanges(
        added=_paths(after.loc[after.index.difference(before.index)]),
        removed=_paths(before.loc[before.index.difference(after.index)]),
        relabeled=_paths(both[both["label"] != both["label_base"]]),
        moved=_paths(both[both["split"] != both["split_base"]]),
    )


def _paths(photos: pd.DataFrame) -> tuple[str, ...]:
    return tuple(sorted(photos["path"]))
