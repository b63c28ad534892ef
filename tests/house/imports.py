"""Which of the project's files a module needs, read from its import statements."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src"


def module_file(name: str) -> Path | None:
    """The file of a module of the project, or None if the name is none."""
    path = SOURCE.joinpath(*name.split("."))
    for file in (path.with_suffix(".py"), path / "__init__.py"):
        if file.is_file():
            return file
    return None


def imported_names(file: Path) -> Iterator[str]:
    """The names a file imports anywhere in it, as modules or as things in modules."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def needed_files(file: Path) -> set[Path]:
    """A file and every file of the project that it imports, directly or not."""
    needed: set[Path] = set()
    waiting = [file]
    while waiting:
        current = waiting.pop()
        if current in needed:
            continue
        needed.add(current)
        for name in imported_names(current):
            parts = name.split(".")
            if parts[0] == "convlens":
                found = [module_file(".".join(parts[:count])) for count in range(1, len(parts) + 1)]
                waiting += [path for path in found if path]
    return needed
