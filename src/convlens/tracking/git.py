"""Which code a run was made with: tags, and what differs from the commit."""

import hashlib
import os
import subprocess

from convlens.tracking.secrets import hide_secrets

# What the pipeline itself writes while it runs is no change to the code.
WRITTEN_BY_STAGES = (":(exclude)dvc.lock", ":(exclude)reports")
# A record shows changes of these and of nothing else: other files of a working tree are nobody's business.
CODE = ("params.yaml", "dvc.yaml", "src", "presets", "data/cards")
CHANGES_FILE = "config/changes.diff"  # artifact of the run
CHANGES_TAG = "convlens.git_changes"
MAX_CHANGES = 200_000  # characters
GIT_SECONDS = 10


def git_tags() -> dict[str, str]:
    """Commit, whether tracked files differed from it and how, and the DVC experiment; only what is known."""
    tags = {}
    commit = _git("rev-parse", "HEAD")
    if commit:
        status = _git("status", "--porcelain", "--untracked-files=no", "--", ".", *WRITTEN_BY_STAGES)
        changes = describe_changes()
        tags = {"mlflow.source.git.commit": commit, "convlens.git_dirty": str(bool(status or changes)).lower()}
        tags |= {CHANGES_TAG: digest_changes(changes)} if changes else {}
    names = {"convlens.dvc_experiment": "DVC_EXP_NAME", "convlens.dvc_baseline": "DVC_EXP_BASELINE_REV"}
    return tags | {tag: os.environ[name] for tag, name in names.items() if os.environ.get(name)}


def describe_changes() -> str:
    """How code and parameters differ from the commit, as a patch without secrets; '' if they do not.

    New files of the code, which no patch of tracked files has, are named in comments before it.
    """
    patch = _git("diff", "HEAD", "--no-color", "--no-ext-diff", "--no-textconv", "--", *CODE) or ""
    unknown = (_git("ls-files", "--others", "--exclude-standard", "--", *CODE) or "").splitlines()
    named = "".join(f"# not in git: {name}\n" for name in unknown)
    text = hide_secrets(f"{named}{patch}\n" if patch else named)
    return (
        text if len(text) <= MAX_CHANGES else f"{text[:MAX_CHANGES]}\n# … and {len(text) - MAX_CHANGES:,} characters\n"
    )


def digest_changes(changes: str) -> str:
    """A short name for the changes."""
    return hashlib.sha256(changes.encode("utf-8", "replace")).hexdigest()[:12]


def _git(*arguments: str) -> str | None:
    """What Git prints; None where there is no Git, no repository or no commit."""
    command = ["git", "-c", "core.quotePath=false", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, timeout=GIT_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode("utf-8", "replace").strip("\n") if done.returncode == 0 else None
