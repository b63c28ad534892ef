"""The fenced blocks of the documentation, each with the mark that stands before it.

A mark is an HTML comment, which readers do not see:

    <!-- not run: REASON -->                      it cannot run here; its command lines are parsed
    <!-- run by tests/FILE.py::TEST: REASON -->   that test runs it; its command lines are parsed
    <!-- output -->                               a `text` block: what the commands above print; `…` stands for anything
    <!-- ends with 1: REASON -->                  its last command says no
    <!-- card -->, <!-- workflow -->              what a `yaml` block is, if it is no part of params.yaml
    <!-- new file: PATH -->, <!-- change: PATH -->  a step of a worked example
"""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^\s*```(\w*)\s*$")
MARK = re.compile(r"^\s*<!--(.*?)-->\s*$", re.DOTALL)
COMMANDS = ("console", "sh")


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        file: path of its document below the repository's root.
        line: of its first fence, from 1.
        language: what the fence says.
        text: between the fences.
        mark: the comment before it, in one line; empty if there is none.
        section: the heading it stands under.
    """

    file: str
    line: int
    language: str
    text: str
    mark: str
    section: str

    @property
    def place(self) -> str:
        return f"{self.file}:{self.line}"

    @property
    def is_example(self) -> bool:
        """Whether it is a step of a worked example, which needs the steps before it."""
        return self.file == "CONTRIBUTING.md" and self.section.startswith("Add a")

    @property
    def is_run(self) -> bool:
        """Whether the tests run it as it stands."""
        return self.language in (*COMMANDS, "python") and not self.mark.startswith(("not run", "run by", "new file"))


def documents() -> list[str]:
    """All documents with blocks, the README first."""
    guides = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").glob("*.md"))
    return ["README.md", *guides, "CONTRIBUTING.md"]


def read_blocks(file: str) -> list[Block]:
    """The blocks of a document, in order."""
    return parse_blocks((ROOT / file).read_text(encoding="utf-8"), file)


def parse_blocks(text: str, file: str) -> list[Block]:
    """The blocks of a Markdown text.

    Raises:
        ValueError: a fence is not closed.
    """
    lines, blocks, section, at = text.splitlines(), [], "", 0
    while at < len(lines):
        fence = FENCE.match(lines[at])
        if lines[at].startswith("#"):
            section = lines[at].lstrip("# ").strip()
        if fence:
            end = next((i for i in range(at + 1, len(lines)) if lines[i].strip() == "```"), None)
            if end is None:
                raise ValueError(f"{file}:{at + 1}: this block has no end")
            body = "".join(f"{line}\n" for line in lines[at + 1 : end])
            blocks.append(Block(file, at + 1, fence[1], body, mark_before(lines[:at]), section))
            at = end
        at += 1
    return blocks


def mark_before(lines: list[str]) -> str:
    """The comment right before a block, on one line or several."""
    start = len(lines) - 1
    while start >= 0 and "<!--" not in lines[start]:
        if not lines[start].strip() or start < len(lines) - 4:
            return ""
        start -= 1
    found = MARK.match("\n".join(lines[start:])) if start >= 0 else None
    return " ".join(found[1].split()) if found else ""
