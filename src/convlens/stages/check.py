"""Stage `check`: look at parameters, criteria, photos, Git and the disk, before results are removed.

DVC removes the earlier results of a stage before it runs it, follows every link of a folder, and opens every pipe. So
this stage comes first, and `convlens check` does the same by itself. It loads neither TensorFlow nor MLflow.
"""

import os
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

from convlens.data.cards import find_address, read_card
from convlens.data.sources import ListedPhoto, find_unreadable, list_folder, require_source
from convlens.environment import repository_root
from convlens.errors import ConvLensError, printable
from convlens.files import write_text
from convlens.params import Params, PreprocessParams
from convlens.progress import say
from convlens.tracking.gate import check_criteria

MAX_FILES_TOLD = 3
COPIES = 2  # of the prepared photos: in data/ and in DVC's cache
IN_CONFLICT = ("params.yaml", "dvc.yaml", "dvc.lock")


def check(*, passed: Path, params: Params) -> None:
    """Refuse what could only fail later, all of it at once; parameters have been checked when this is called.

    Args:
        passed: file to write, always the same, which lets DVC run this stage before all others.
        params: all parameters.

    Raises:
        ConvLensError: something is wrong; a line each.
    """
    reach_source(params.data.source)
    if problems := find_problems(params):
        raise ConvLensError("\n".join(problems))
    write_text(passed, "Parameters, criteria, photos, Git and the disk were looked at.\n")
    say(f"check: nothing wrong with parameters, criteria and {params.data.source}.")


def reach_source(source: str) -> None:
    """Let a relative `data.source` lead to the same place in the copy in which DVC runs a queued experiment.

    `dvc exp run --queue` and `--temp` run in `.dvc/tmp/exps/…`, where `../photos` is another place: a link is made
    there. Elsewhere nothing is done.

    Raises:
        ConvLensError: something else is at that place already, or it is no place for a link.
    """
    root, here = os.path.realpath(repository_root()), os.path.realpath(os.getcwd())
    place, target = (Path(os.path.normpath(os.path.join(base, source))) for base in (here, root))
    if here == root or place == target or not target.exists() or (place.exists() and place.is_relative_to(here)):
        return
    # Of a folder in the repository that is not committed, DVC would put every file into the experiment's commit.
    if place.is_relative_to(Path(root, ".dvc/tmp")) and not (place.is_relative_to(here) or place.exists()):
        place.unlink(missing_ok=True)  # a link to where the photos were before
        place.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):  # another experiment of the queue was quicker
            place.symlink_to(target)
    if os.path.realpath(place) != os.path.realpath(target):
        raise ConvLensError(
            f"Expected an absolute path as data.source for experiments that run elsewhere (--queue, --temp). Received: "
            f"{source}. Write data.source={target}."
        )


def find_problems(params: Params | None, source: str = "") -> list[str]:
    """Tell what would make the pipeline fail later, a line each.

    Args:
        params: all parameters; None where they are wrong themselves, which leaves photos and Git to be looked at.
        source: without parameters, the photos; '' for none.
    """
    problems, photos = _check_git(), []
    try:
        photos = _list_photos(params.data.source if params else source)
    except ConvLensError as error:
        problems.append(printable(str(error)))
    if params:
        classes = sorted({photo.label for photo in photos})
        problems += check_criteria(params.register_.criteria, params.robustness, classes)
        problems += _check_disk(len(photos), params.preprocess)
    return problems


def _list_photos(source: str) -> list[ListedPhoto]:
    """The photos of a folder, none of which has been opened; of other sources only what their card says is checked.

    Raises:
        ConvLensError: nothing there, not a card, no folder of class folders, or files that DVC cannot read.
    """
    if not source or find_address(source):
        return []
    path = Path(source)
    require_source(path)
    if path.is_file() and path.suffix in (".yaml", ".yml"):
        read_card(path)
    if path.is_dir() and (unreadable := find_unreadable(path)):
        more = len(unreadable) - MAX_FILES_TOLD
        raise ConvLensError(
            f"Expected files that DVC can read in {source}. Received: {'; '.join(unreadable[:MAX_FILES_TOLD])}"
            f"{f'; and {more:,} more' if more > 0 else ''}. Remove or rename them: DVC stops at such a file, or waits "
            "for it without end."
        )
    return list_folder(path) if path.is_dir() else []


def _check_git() -> list[str]:
    here = Path.cwd()
    if not Path(".dvc").is_dir():
        return [f"Expected a repository of DVC. Received: {here}, which is none. `cd` into the repository's folder."]
    if not _ask_git("rev-parse", "--git-dir"):
        return [
            f"Expected a repository of Git, in which DVC works. Received: {here} without one, as an archive has it. "
            "Clone it instead, or: git init && git add --all && git commit --message Start"
        ]
    torn = sorted(set(_ask_git("diff", "--name-only", "--diff-filter=U", "--", *IN_CONFLICT).split()))
    what = f"Expected no conflict of a merge. Received: one in {', '.join(torn)}. Resolve it, then `git add` it."
    return [what] if torn else []


def _ask_git(*arguments: str) -> str:
    """What Git prints; nothing if it cannot answer."""
    try:
        return subprocess.run(["git", *arguments], capture_output=True, text=True, check=False).stdout
    except OSError:
        return ""


def _check_disk(num_photos: int, params: PreprocessParams) -> list[str]:
    """Whether the arrays of a folder's photos have room, besides those that are there already."""
    prepared = Path("data/prepared")
    present = sum(file.stat().st_size for file in prepared.rglob("*") if file.is_file())
    needed = COPIES * (num_photos * params.image_size**2 * 3 - present)
    free = shutil.disk_usage(".").free
    what = (
        f"Expected {needed / 1e9:,.1f} GB of room for {num_photos:,} photos of {params.image_size}x{params.image_size} "
        f"pixels, here and in DVC's cache. Received: {free / 1e9:,.1f} GB. Make room, or lower preprocess.image_size."
    )
    return [what] if needed > free else []
