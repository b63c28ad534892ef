"""Whether an event starts a workflow, by its branches and paths."""

import re
from collections.abc import Sequence
from typing import Any

SIGNS = {"**": ".*", "*": "[^/]*", "?": "[^/]"}


def starts(workflow: dict[str, Any], event: str, *, branch: str, changed: Sequence[str]) -> bool:
    """Whether the workflow runs.

    Args:
        workflow: the parsed file.
        event: its name, such as `pull_request`.
        branch: that was pushed to, or that the pull request goes to.
        changed: files that differ, from the repository's root.
    """
    if event not in workflow["on"]:
        return False
    filters = workflow["on"][event] or {}
    if not isinstance(filters, dict):
        return True
    if "branches" in filters and not any(matches(branch, pattern) for pattern in filters["branches"]):
        return False
    return "paths" not in filters or any(matches(name, pattern) for name in changed for pattern in filters["paths"])


def matches(name: str, pattern: str) -> bool:
    parts = re.split(r"(\*\*|\*|\?)", pattern)
    return re.fullmatch("".join(SIGNS.get(part, re.escape(part)) for part in parts), name) is not None
