"""A newcomer's folder: the reproduced clone, committed, with photos of their own around it; and how they type."""

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.clone import Clone

TESTS = Path(__file__).parents[1]
SHIM = """\
#!/bin/sh
PYTHONPATH="{tests}:{source}" exec "{python}" "{script}" "{folder}" {name} "$@"
"""
ACTIVATE = 'PATH="{stand_ins}:{bin}:$PATH"\n'


@dataclass
class Reader:
    """Types what a document shows, block by block.

    Attributes:
        clone: where.
        replaced: what stands in the document for a place that is not there.
        last: the last completed block of commands.
    """

    clone: Clone
    replaced: dict[str, str]
    last: subprocess.CompletedProcess[str] | None = field(default=None)

    def run(self, language: str, text: str) -> subprocess.CompletedProcess[str]:
        """Run a block; its two outputs come as one."""
        for shown, real in self.replaced.items():
            text = text.replace(shown, real)
        start = [sys.executable, "-c"] if language == "python" else ["bash", "-e", "-o", "pipefail", "-c"]
        stand_ins = self.clone.folder.parent / "stand-ins"
        path = f"{stand_ins}:{self.clone.environment['PATH']}"
        self.last = self.clone.run(*start, text, check=False, PATH=path, STAND_INS=str(stand_ins), COLUMNS="120")
        return self.last


def make_reader(reproduced: Clone, folder: Path) -> Reader:
    """Copy the clone into an empty folder and put everything beside it that the documents mention."""
    shutil.copytree(reproduced.folder, folder / "convlens", symlinks=True)
    clone = Clone(folder / "convlens")
    clone.commit("Results")
    photos = {name: sorted((clone.folder / "data/raw").rglob(f"{name}/*.*")) for name in ("cats", "dogs")}
    cats, dogs = photos.values()
    for home in (folder / "photos", clone.folder / "photos", clone.folder / "holiday-photos"):
        copy(cats[:4], home / "cats")
        copy(dogs[:4], home / "dogs")
    for files, name in ((cats[:3], "kitten"), (dogs[:3], "dogs"), (dogs[3:4], "rabbits")):
        copy(files, clone.folder / "shelter" / name)
    for source, name in zip(
        [*cats[:2], *dogs[:2]], ("photo.jpg", "photo1.jpg", "photo2.png", "other.png"), strict=True
    ):
        shutil.copy(source, clone.folder / name)  # the content says what it is, not the suffix
    make_stand_ins(clone)
    return Reader(clone, {"/mnt/storage": str(folder / "storage")})


def copy(files: list[Path], folder: Path) -> None:
    folder.mkdir(parents=True)
    for file in files:
        shutil.copy(file, folder)


def make_stand_ins(clone: Clone) -> None:
    """Programs that check heavy work instead of doing it, and an environment to activate that has them first."""
    stand_ins, real = clone.folder.parent / "stand-ins", Path(sys.executable).parent
    values = {"tests": TESTS, "source": TESTS.parent / "src", "python": sys.executable, "folder": clone.folder}
    stand_ins.mkdir()
    for name in ("make", "dvc", "mlflow"):
        shim = stand_ins / name
        shim.write_text(SHIM.format(script=TESTS / "docs/stand_in.py", name=name, **values))
        shim.chmod(0o755)
    home = clone.folder / ".venv/bin"
    home.mkdir(parents=True)
    for program in ("convlens", "python", "dvc"):
        (home / program).symlink_to(stand_ins / program if program == "dvc" else real / program)
    (home / "activate").write_text(ACTIVATE.format(stand_ins=stand_ins, bin=real))


def matches(shown: str, printed: str) -> bool:
    """Whether a shown output is what was printed; `…` stands for anything."""
    lines = [re.escape(line.rstrip()).replace("…", ".*?") for line in shown.strip().splitlines()]
    pattern = "\n".join(lines).replace("\n.*?\n", "\n(?s:.*?)\n")
    told = "\n".join(line.rstrip() for line in printed.strip().splitlines())
    return re.fullmatch(pattern, told) is not None
