"""Every message in docs/troubleshooting.md is one that the code can say."""

import ast
import re
from functools import cache

import pytest
from docs.blocks import ROOT

TABLE_ROW = re.compile(r"^\| (.+?) \| .+ \|$", re.MULTILINE)
CODE = re.compile(r"(`+)(.+?)\1")
NOT_OURS = {
    "FileNotFoundError: 'dvc'",
    "dvc queue start",
    "'dvc.lock' is invalid",
    "unable to read: 'dvc.lock'",
    "Unable to read RWLock-file",
    "… is busy, it is being blocked by:",
    "dvc repro",
    "… is not a git repository",
    "failed to reproduce 'check': failed to run: …",
    "failed to parse 'stages.ingest.cmd' in 'dvc.yaml': Could not find 'data.source'",
    "ERROR: unexpected error",
    "Parameters '…' are missing from 'params.yaml'.",
    "failed to reproduce 'ingest': [Errno 2] No such file or directory: '…'",
    "'utf-8' codec can't encode character '…'",
    "ingest",
    "dvc.lock",
    "tools/from_zero.sh",
}
GAP = "\x00"


def documented() -> list[str]:
    text = (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8")
    rows = [row for row in TABLE_ROW.findall(text) if "`" in row]
    return [message for row in rows for _, message in CODE.findall(row) if message not in NOT_OURS]


@cache
def said() -> tuple[str, ...]:
    """Texts in the code, with a gap where a value is filled in; and what the shell scripts say."""
    scripts = [ROOT / "tools/environment.sh", ROOT / "tools/from_zero.sh", *(ROOT / "tools/ci").glob("*.sh")]
    texts = [path.read_text(encoding="utf-8").replace("$(", GAP) for path in scripts]
    for path in [*(ROOT / "src").rglob("*.py"), ROOT / "tools/mend_dvc.py"]:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        texts += [spell(node) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr | ast.Constant)]
    return tuple(texts)


def spell(node: ast.AST) -> str:
    if isinstance(node, ast.JoinedStr):
        return "".join(spell(part) for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else GAP


def is_said(message: str) -> bool:
    """Whether a text of the code has the message's parts in their order."""
    parts = [part.strip() for part in message.split("…") if part.strip(" .,'")]
    pattern = re.compile(".*?".join(re.escape(part) for part in parts), flags=re.DOTALL)
    return any(pattern.search(text) for text in said())


@pytest.mark.parametrize("message", documented())
def test_the_message_exists(message: str) -> None:
    assert is_said(message)


def test_a_message_that_nobody_says_is_found() -> None:
    assert not is_said("Expected a unicorn. Received: …")
    assert len(documented()) > 25
