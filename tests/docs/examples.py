"""The worked examples of CONTRIBUTING.md: files written, changes applied, commands run, as the text says."""

import re
import sys
from pathlib import Path

from docs.blocks import COMMANDS, Block
from pipeline.clone import Clone


def change_text(text: str, diff: str) -> str:
    """Apply a diff without line numbers; `@@` stands between its parts, and `…` for the rest of a line.

    Raises:
        ValueError: what a part keeps or removes is not there, or not just once.
    """
    for part in "\n".join(diff.splitlines()).split("\n@@\n"):
        marked = [(line[:1] or " ", line[1:]) for line in part.splitlines()]
        before = "".join(f"{words}\n" for mark, words in marked if mark in " -")
        after = "".join(f"{words}\n" for mark, words in marked if mark in " +")
        if "…" in part:
            before, after = (words.replace("… ", "").replace(" …", "").rstrip("\n") for words in (before, after))
            text = replace_once(text, before, after)
        else:
            text = replace_once(f"\n{text}", f"\n{before}", f"\n{after}")[1:]
    return text


def replace_once(text: str, before: str, after: str) -> str:
    count = len(re.findall(f"(?={re.escape(before)})", text))
    if count != 1:
        raise ValueError(f"this is {f'there {count} times' if count else 'not there'}:\n{before}")
    return text.replace(before, after)


def perform(block: Block, clone: Clone) -> str:
    """Do what a block says; what its commands print."""
    action, _, path = block.mark.partition(": ")
    if action == "new file":
        write_new(clone.folder / path, block.text)
    elif action == "change":
        file = clone.folder / path
        file.write_text(change_text(file.read_text(encoding="utf-8"), block.text), encoding="utf-8")
    elif block.language in COMMANDS and block.is_run:
        return run(block.text, clone)
    return ""


def write_new(path: Path, text: str) -> None:
    if path.exists():
        raise ValueError(f"{path} is there already")
    path.write_text(text, encoding="utf-8")


def run(script: str, clone: Clone) -> str:
    """Run commands with the code of the copy, as in its activated environment."""
    folders = f"{clone.folder / 'src'}:{clone.folder / 'tests'}"
    environment = {"PYTHONPATH": folders, "PATH": f"{Path(sys.executable).parent}:{clone.environment['PATH']}"}
    return clone.run("bash", "-e", "-c", script, **environment).stdout
