"""Packs the trained network for people who have nothing but MLflow: code, loader, network and requirements in one.

The code travels under a package name made from its own content (`convlens_model_<digest>`). So a loaded model always
runs the loader it was packed with, whatever version of ConvLens the process has, and models of several versions live
side by side in one process.
"""

import ast
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import convlens
from convlens.errors import ConvLensError

ENTRY_MODULE = "convlens.packaged_model"


def shipped_modules(entry: str = ENTRY_MODULE) -> dict[str, Path]:
    """Every module of ConvLens that the packaged model imports, by name, the entry and parent packages included."""
    waiting, found = [entry], dict[str, Path]()
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found[name] = _source(name)
        waiting += _parents(name)
        waiting += [imported for imported in _imports(found[name]) if imported.split(".")[0] == convlens.__name__]
    return dict(sorted(found.items()))


def stage_code(folder: Path) -> tuple[Path, Path]:
    """Copy the shipped modules into `folder` under their new package name.

    Returns:
        The entry file, and the folder of the package.
    """
    modules = shipped_modules()
    content = b"".join(name.encode() + path.read_bytes() for name, path in modules.items())
    package = f"convlens_model_{hashlib.sha256(content).hexdigest()[:12]}"
    root = _source(convlens.__name__).parent
    for path in modules.values():
        copy = folder / package / path.relative_to(root)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(_rename(path.read_text(encoding="utf-8"), package), encoding="utf-8")
    entry = modules[ENTRY_MODULE].relative_to(root)
    return folder / package / entry, folder / package


def _source(module: str) -> Path:
    root = Path(convlens.__file__).parent
    place = root.joinpath(*module.split(".")[1:])
    path = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    if not path.is_file():
        raise ConvLensError(
            f"Expected the source of {module} at {path}. Received: nothing there. Install ConvLens anew."
        )
    return path


def _parents(module: str) -> list[str]:
    parts = module.split(".")
    return [".".join(parts[:length]) for length in range(1, len(parts))]


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def _rename(source: str, package: str) -> str:
    return re.sub(r"(?m)^(\s*(?:from|import)\s+)convlens(?=[.\s])", rf"\1{package}", source)
