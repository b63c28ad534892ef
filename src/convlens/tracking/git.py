"""Which code a run was made with, as tags."""

import os
import subprocess

# What the pipeline itself writes while it runs is no change to the code.
WRITTEN_BY_STAGES = (":(exclude)dvc.lock", ":(exclude)reports")
GIT_SECONDS = 10


def git_tags() -> dict[str, str]:
    """Commit, whether tracked files differed from it, and the DVC experiment; only what is known."""
    tags = {}
    commit = _git("rev-parse", "HEAD")
    if commit:
        changes = _git("status", "--porcelain", "--untracked-files=no", "--", ".", *WRITTEN_BY_STAGES)
        tags = {"mlflow.source.git.commit": commit, "convlens.git_dirty": str(changes != "").lower()}
    experiment = os.environ.get("DVC_EXP_NAME")
    return tags | ({"convlens.dvc_experiment": experiment} if experiment else {})


def _git(*arguments: str) -> str | None:
    """What Git prints; None where there is no Git, no repository or no commit."""
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, timeout=GIT_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
