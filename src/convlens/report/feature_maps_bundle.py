"""The page's JavaScript modules as one script, so that the page is one file that opens from disk."""

import re
from pathlib import Path

ASSETS = Path(__file__).parent / "assets" / "feature_maps"
ENTRY = "page.js"
STYLES = ("page.css", "filters.css", "views.css", "over_time.css", "print.css")
IMPORT = re.compile(r"^import\s.*?from\s+\"\./([\w-]+\.js)\";\n", re.MULTILINE | re.DOTALL)
EXPORT = re.compile(r"^export (?=(?:async )?function|const|class)", re.MULTILINE)


def bundle_script(folder: Path = ASSETS, entry: str = ENTRY) -> str:
    """All modules that the entry needs, each once, after those it needs itself; imports and exports taken out.

    The modules share one scope then: no two of them may use one name at top level (a test holds this).
    """
    order: list[str] = []
    _visit(folder, entry, order)
    return "\n".join(_strip((folder / name).read_text(encoding="utf-8")) for name in order)


def bundle_style(folder: Path = ASSETS) -> str:
    """The page's style sheets as one; what is for paper comes last."""
    return "".join((folder / name).read_text(encoding="utf-8") for name in STYLES)


def _visit(folder: Path, name: str, order: list[str]) -> None:
    if name in order:
        return
    for needed in IMPORT.findall((folder / name).read_text(encoding="utf-8")):
        _visit(folder, needed, order)
    if name not in order:
        order.append(name)


def _strip(source: str) -> str:
    return EXPORT.sub("", IMPORT.sub("", source)).strip() + "\n"
